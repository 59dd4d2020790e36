//! Everything that needs a database or the real router, in one binary.

mod accounts;
mod people;
mod smoke;
mod world;
