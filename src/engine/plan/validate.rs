//! Whether a graph can run, and what is wrong where.
