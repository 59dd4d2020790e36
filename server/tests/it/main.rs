//! Everything that needs a database or the real router, in one binary.

mod accounts;
mod agents;
mod api;
mod approvals;
mod engine;
mod forms;
mod gate;
mod http;
mod keys;
mod office;
mod people;
mod private_postgres;
mod runs;
mod smoke;
mod stream;
mod tenancy;
mod tidy;
mod workflows;
mod world;
