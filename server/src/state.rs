//! What every request can reach.

use std::sync::Arc;

use agentflow::{
    accounts::{
        admission::SignUps,
        password::{Cost, Passwords},
    },
    connections::ModelConnections,
    credentials::Vault,
    db::Db,
    deps::Deps,
    egress::Egress,
    engine::handle::Engine,
    expressions::Expressions,
    guardrails::Known,
    live::Hub,
    mail::Mail,
    mcp::Connections,
    models::Models,
    tools::registry::Tools,
};
use app::shell::Assets;
use axum::extract::FromRef;
use leptos::config::LeptosOptions;

use crate::{config::Config, master_key, shutdown::Stop, startup::Trouble};

/// What every request can reach. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct State {
    /// What operations work with.
    pub deps: Deps,
    /// The settings.
    pub config: Arc<Config>,
    /// The names of the styles, the glue and the WASM, with their hashes.
    pub assets: Assets,
    /// The wish to stop: readiness ends with it, and streams do.
    pub stop: Stop,
    /// What Leptos wants to know.
    pub leptos: LeptosOptions,
}

impl State {
    /// Everything that requests need, around an open database whose schema is up to date.
    ///
    /// # Errors
    /// When a part of it cannot be made from the settings, or what is sealed in the database does not open with them.
    pub async fn new(config: Config, db: Db, stop: Stop) -> Result<Self, Trouble> {
        let passwords = Passwords::new(Cost::default()).map_err(|error| Trouble::new(error.message, ""))?;
        let live = Hub::default();
        let engine = Engine::new(Arc::new(live.clone()));
        let unusable = |message: String| Trouble::new(message, "Correct the setting, or unset it.");
        let egress = Egress::new(config.egress.clone()).map_err(|error| unusable(error.to_string()))?;
        let mail = Mail::new(&config.mail).map_err(unusable)?;
        let known = Known::of_operator(config.secrets());
        let vault = Vault::new(db.clone(), master_key::find(&config, &db).await?, known.clone());
        master_key::fits(&vault).await?;
        let connections = ModelConnections::new(db.clone(), vault.clone()).beside(&config.models);
        let mcp = Connections::new(egress.clone(), config.mcp.clone());
        let models = Models::new(config.models.clone(), &egress, Arc::new(connections.clone())).map_err(unusable)?;
        let expressions = config.expression_worker.clone().map_or_else(Expressions::default, Expressions::in_workers);
        let sign_ups = SignUps::new(config.accounts.sign_up_is_open);
        let runs_per_organization = config.engine.max_runs_per_organization;
        let tools = Tools::new(&config.tools).await;
        let deps = Deps {
            connections,
            db,
            egress,
            engine,
            expressions,
            known,
            live,
            mail,
            mcp,
            models,
            passwords,
            runs_per_organization,
            sign_ups,
            tools,
            vault,
        };
        Ok(Self {
            deps,
            config: Arc::new(config),
            assets: crate::http::assets::names(),
            stop,
            leptos: LeptosOptions::builder().output_name("agentflow").build(),
        })
    }
}
