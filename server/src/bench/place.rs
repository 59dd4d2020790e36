//! Where the benchmark's runs live: an organization with a workflow that runs can name, in a fresh database.

use std::{collections::BTreeMap, sync::Arc};

use agentflow::{
    access::{Actor, Ctx, Role},
    accounts::service::NewAccount,
    db::Db,
    engine::{
        plan::Plan,
        state::Priority,
        store::{self, NewRun},
    },
    kernel::{OrgId, RunId, UserId, WorkflowId},
    keys::service::{self as keys, Wish},
    workflows::{self, NewWorkflow},
};
use serde_json::json;

use super::{cluster::Cluster, graphs};
use crate::{
    config::Config,
    shutdown::Stop,
    startup::{self, Trouble},
    state::State,
};

/// The organization, and all that is needed to work in it.
pub struct Place {
    /// What requests can reach.
    pub state: State,
    /// The organization.
    pub org: OrgId,
    /// The database's address.
    pub url: String,
    workflow: WorkflowId,
}

impl Place {
    /// Migrates the database and makes the organization.
    pub async fn new(cluster: &Cluster, mut config: Config) -> Result<Self, Trouble> {
        // It is no private one, beside which a master key would be kept.
        config.database.url = Some(cluster.url().to_owned().into());
        let db = startup::connect(cluster.url(), config.database.connections).await?;
        let state = State::new(config, db, Stop::default()).await?;
        let account = NewAccount {
            name: "Ben".to_owned(),
            email: "ben@example.com".to_owned(),
            password: "measure-thrice-cut-once-7".to_owned(),
            organization: "Bench".to_owned(),
        };
        let org = agentflow::accounts::service::create(&state.deps, account).await.map_err(said)?;
        let actor = Actor::User { id: UserId::new(), name: "Ben".to_owned() };
        let ctx = Ctx::new(state.deps.clone(), actor, org, Role::Owner, "bench".to_owned());
        let new = NewWorkflow {
            name: "Bench".to_owned(),
            description: String::new(),
            graph: graphs::chain(0)?.graph,
            agents: BTreeMap::new(),
            deploy: true,
        };
        let workflow = workflows::service::create(&ctx.grant().map_err(said)?, new).await.map_err(said)?.id;
        Ok(Self { state, org: ctx.org_id(), url: cluster.url().to_owned(), workflow })
    }

    /// The pools of the benchmark itself.
    pub fn db(&self) -> &Db {
        &self.state.deps.db
    }

    /// Pools like a server's own.
    pub async fn connect(&self) -> Result<Db, Trouble> {
        startup::connect(&self.url, self.state.config.database.connections).await
    }

    /// A run that is not written yet.
    pub fn new_run(&self, plan: &Plan) -> NewRun {
        NewRun {
            id: RunId::new(),
            workflow: self.workflow,
            workflow_version: 1,
            plan: Arc::new(plan.clone()),
            title: "A run".to_owned(),
            trigger: "test",
            started_by: "bench".to_owned(),
            started_by_name: "Ben".to_owned(),
            input: json!({}),
            deadline_s: None,
            retry_of: None,
            priority: Priority::Normal,
            group: None,
            labels: Vec::new(),
        }
    }

    /// Writes `count` runs that wait to be taken up. The first by the product's own way in, the others as copies of it.
    pub async fn submit(&self, plan: &Plan, count: usize) -> Result<Vec<RunId>, Trouble> {
        let first = self.new_run(plan);
        let mut tx = self.db().tenant(self.org).await.map_err(said)?;
        store::start_run(&mut tx, &first, None).await.map_err(said)?;
        tx.commit().await.map_err(said)?;
        let mut runs: Vec<RunId> = (1..count).map(|_| RunId::new()).collect();
        super::store::copy_run(self.db().engine(), self.org, first.id, &runs).await?;
        runs.push(first.id);
        Ok(runs)
    }

    /// The secret of a new API key.
    pub async fn key(&self) -> Result<String, Trouble> {
        let wish = Wish { name: "Bench".to_owned(), role: "admin".to_owned(), days: 1 };
        Ok(keys::create_as_operator(&self.state.deps, self.org, &wish).await.map_err(said)?.secret)
    }
}

/// An error of the product, as one of the benchmark.
pub fn said(error: agentflow::kernel::Error) -> Trouble {
    Trouble::new(format!("The benchmark stopped: {error}"), "")
}
