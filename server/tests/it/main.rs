//! Everything that needs a database or the real router, in one binary.

mod accounts;
mod agents;
mod engine;
mod forms;
mod gate;
mod http;
mod keys;
mod people;
mod private_postgres;
mod smoke;
mod tenancy;
mod tidy;
mod workflows;
mod world;
