//! Everything that needs a database or the real router, in one binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test they are how it fails")]

mod accounts;
mod agents;
mod api;
mod approvals;
mod bench;
mod budgets;
mod bulk;
mod cache;
mod cluster;
mod crash;
mod egress;
mod engine;
mod fake_model;
mod first;
mod forms;
mod gate;
mod gates;
mod gates_in_graphs;
mod guarantees;
mod histories;
mod housekeeping;
mod http;
mod inbox;
mod jobs;
mod keys;
mod limits;
mod locks;
mod messages;
mod models;
mod node_kinds;
mod notices;
mod office;
mod own_network;
mod people;
mod private_postgres;
mod recorded;
mod runs;
mod smoke;
mod stream;
mod tenancy;
mod tidy;
mod tools;
mod workflows;
mod world;
