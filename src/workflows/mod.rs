//! Workflows: graphs of nodes. Every save is an immutable version; one version is deployed.
