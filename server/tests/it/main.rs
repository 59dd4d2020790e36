//! Everything that needs a database or the real router, in one binary.

mod smoke;
mod world;
