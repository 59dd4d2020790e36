//! Integrations: connections to providers of models, and credentials of tools. No answer here has a secret.

use agentflow::{
    access::Role,
    connections::{ModelConnection, OperatorProvider, ProviderChoice},
    credentials::Credential,
    kernel::{ConnectionId, CredentialId},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    connections::service::{self as connections, NewConnection},
    credentials::service::{self as credentials, NewCredential},
};

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationsPage {
    /// One's own role.
    pub role: Role,
    /// Whether this server has a master key: without one it keeps no secrets.
    pub can_store: bool,
    /// The providers that the operator has set up.
    pub operator: Vec<OperatorProvider>,
    /// The organization's own connections, in the order of asking.
    pub connections: Vec<ModelConnection>,
    /// The providers to choose from.
    pub providers: Vec<ProviderChoice>,
    /// The credentials of tools, by name.
    pub credentials: Vec<Credential>,
}

/// Everything that the page shows.
#[server]
pub async fn load_integrations(org: String) -> Result<IntegrationsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(IntegrationsPage {
        role: cx.role(),
        can_store: cx.deps().vault.can_seal(),
        operator: cx.deps().connections.operator().to_vec(),
        connections: connections::list(&cx.grant()?).await?,
        providers: connections::providers(),
        credentials: credentials::list(&cx.grant()?).await?,
    })
}

/// Adds a connection to a provider, once its test has passed. A box that is not ticked is not sent.
#[server]
pub async fn add_model_connection(
    org: String,
    provider: String,
    #[server(default)] label: String,
    #[server(default)] secret: String,
    #[server(default)] base_url: String,
    #[server(default)] models: String,
    #[server(default)] rank: String,
    #[server(default)] anyway: bool,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let new = NewConnection { provider, label, secret: secret.into(), base_url, models, rank, anyway };
    connections::add(&cx.fresh_grant("store a key")?, &new).await?;
    Ok(())
}

/// Replaces the key of a connection, once its test has passed.
#[server]
pub async fn replace_model_key(
    org: String,
    connection: ConnectionId,
    secret: String,
    #[server(default)] anyway: bool,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let grant = cx.fresh_grant("store a key")?;
    Ok(connections::replace_key(&grant, connection, &secret.into(), anyway).await?)
}

/// Changes a connection, but for its key and its address.
#[server]
pub async fn change_model_connection(
    org: String,
    connection: ConnectionId,
    label: String,
    #[server(default)] models: String,
    #[server(default)] rank: String,
    #[server(default)] enabled: bool,
) -> Result<(), ApiError> {
    let change = connections::Change { label, models, rank, enabled };
    Ok(connections::change(&door::ctx(&org).await?.grant()?, connection, &change).await?)
}

/// Asks a provider for a few words; the page shows what came of it.
#[server]
pub async fn test_model_connection(org: String, connection: ConnectionId) -> Result<(), ApiError> {
    Ok(connections::test(&door::ctx(&org).await?.grant()?, connection).await?)
}

/// Removes a connection and its key.
#[server]
pub async fn remove_model_connection(org: String, connection: ConnectionId) -> Result<(), ApiError> {
    Ok(connections::remove(&door::ctx(&org).await?.grant()?, connection).await?)
}

/// Keeps a credential for tools.
#[server]
pub async fn add_credential(
    org: String,
    name: String,
    kind: String,
    #[server(default)] detail: String,
    #[server(default)] hosts: String,
    secret: String,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let new = NewCredential { name, kind, detail, hosts, secret: secret.into() };
    credentials::create(&cx.fresh_grant("store a secret")?, &new).await?;
    Ok(())
}

/// Changes a credential's name, hosts and, where one is sent, its value.
#[server]
pub async fn change_credential(
    org: String,
    credential: CredentialId,
    name: String,
    #[server(default)] hosts: String,
    #[server(default)] secret: String,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let secret = (!secret.is_empty()).then(|| secret.into());
    let change = credentials::Change { name, hosts, secret };
    Ok(credentials::change(&cx.fresh_grant("change a credential")?, credential, &change).await?)
}

/// Throws a credential's value away.
#[server]
pub async fn disconnect_credential(org: String, credential: CredentialId) -> Result<(), ApiError> {
    Ok(credentials::disconnect(&door::ctx(&org).await?.grant()?, credential).await?)
}

/// Removes a credential that nobody uses.
#[server]
pub async fn remove_credential(org: String, credential: CredentialId) -> Result<(), ApiError> {
    Ok(credentials::remove(&door::ctx(&org).await?.grant()?, credential).await?)
}
