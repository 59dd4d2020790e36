//! The ways to providers that an organization has: the operator's keys, and its own.

use async_trait::async_trait;

use super::ProviderSettings;
use crate::{
    engine::port::CallScope,
    kernel::{OrgId, Result},
};

/// One way to a provider: whose key, at which address.
#[derive(Debug, Clone)]
pub struct Connection {
    /// What tells it from the others: `operator`, or the id of the organization's connection.
    pub id: String,
    /// Who is asked first: the lower number. Those of one number share the work.
    pub rank: i16,
    /// Whether the operator has set its address: then it may be one of this machine or network.
    pub by_operator: bool,
    /// The provider with the key.
    pub provider: ProviderSettings,
}

/// Where an organization's own connections are found.
#[async_trait]
pub trait Connections: Send + Sync + 'static {
    /// The organization's own connections that are switched on. Cheap: called before each model call.
    async fn of(&self, org: OrgId) -> Result<Vec<Connection>>;

    /// Notes that a run calls a model through one of them, named by its id, before it does.
    async fn used(&self, _scope: &CallScope, _connection: &str) {}
}

/// No organization has any of its own.
pub struct OperatorOnly;

#[async_trait]
impl Connections for OperatorOnly {
    async fn of(&self, _: OrgId) -> Result<Vec<Connection>> {
        Ok(Vec::new())
    }
}
