//! An organization at work, for the tests of runs and approvals: people with roles, keys, workflows, and what became of
//! a run.

use std::{collections::BTreeMap, time::Duration};

use agentflow::{
    access::{Actor, Ctx, OrgRef, Role},
    accounts::service::NewAccount,
    approvals::{self, Approval, ApprovalFilter},
    engine::{plan::Graph, state::RunState},
    kernel::{RunId, UserId, WorkflowId},
    keys::service::Wish,
    runs::{self, RunDetail, RunPayloads, service::Start},
    workflows::{self, NewWorkflow},
};
use serde_json::{Value, json};

use crate::world::World;

/// An organization and its owner.
pub struct Office {
    /// The owner.
    pub owner: Ctx,
}

/// A run as it is seen: its tree, and what came out.
#[derive(Debug)]
pub struct Ran {
    pub detail: RunDetail,
    pub output: Option<Value>,
    pub output_bytes: u64,
}

impl std::ops::Deref for Ran {
    type Target = RunDetail;

    fn deref(&self) -> &RunDetail {
        &self.detail
    }
}

impl Office {
    /// An organization with this name.
    pub async fn new(world: &World, name: &str) -> Self {
        let slug = name.to_lowercase();
        let account = NewAccount {
            name: "Ana".to_owned(),
            email: format!("ana@{slug}.example"),
            password: crate::people::PASSWORD.to_owned(),
            organization: name.to_owned(),
        };
        let org: OrgRef = agentflow::accounts::service::create(world.deps(), account).await.expect("account");
        Self::owned(world, org).await
    }

    /// The organization of somebody who signed up.
    pub async fn of(world: &World, slug: &str) -> Self {
        let org: OrgRef = agentflow::orgs::service::by_slug(world.deps(), slug).await.expect("organization");
        Self::owned(world, org).await
    }

    /// As its owner.
    async fn owned(world: &World, org: OrgRef) -> Self {
        let id: UserId = sqlx::query_scalar("select user_id from memberships where organization_id = $1")
            .bind(org.id)
            .fetch_one(&mut world.owner().await)
            .await
            .expect("owner");
        let actor = Actor::User { id, name: "Ana".to_owned() };
        Self { owner: Ctx::new(world.deps().clone(), actor, org, Role::Owner, "test".to_owned()) }
    }

    /// Somebody of the organization with this role. They never sign in, so they need no password.
    pub async fn member(&self, world: &World, name: &str, role: Role) -> Ctx {
        let id = UserId::new();
        let mut owner = world.owner().await;
        sqlx::query("insert into users (id, email, name, password_hash) values ($1, $2, $3, '-')")
            .bind(id)
            .bind(format!("{name}-{id}@example.com").to_lowercase())
            .bind(name)
            .execute(&mut owner)
            .await
            .expect("user");
        sqlx::query("insert into memberships (organization_id, user_id, role) values ($1, $2, $3)")
            .bind(self.owner.org_id())
            .bind(id)
            .bind(role.as_str())
            .execute(&mut owner)
            .await
            .expect("membership");
        self.acting(Actor::User { id, name: name.to_owned() }, role)
    }

    /// Somebody or something that acts in the organization.
    pub fn acting(&self, actor: Actor, role: Role) -> Ctx {
        Ctx::new(self.owner.deps().clone(), actor, self.owner.org().clone(), role, "test".to_owned())
    }

    /// The secret of a new key.
    pub async fn key(&self, role: Role) -> String {
        let wish = Wish { name: "A program".to_owned(), role: role.as_str().to_owned(), days: 1 };
        let key = agentflow::keys::service::create_as_operator(self.owner.deps(), self.owner.org_id(), &wish).await;
        key.expect("key").secret
    }

    /// A deployed workflow.
    pub async fn workflow(&self, name: &str, input: Value, nodes: Value) -> WorkflowId {
        let graph: Graph =
            serde_json::from_value(json!({ "input": input, "title": "{{ input.title }}", "nodes": nodes }))
                .expect("graph");
        let new = NewWorkflow {
            name: name.to_owned(),
            description: String::new(),
            graph,
            agents: BTreeMap::new(),
            deploy: true,
        };
        workflows::service::create(&self.owner.grant().expect("owner"), new).await.expect("workflow").id
    }

    /// A deployed workflow that brings its agents along.
    pub async fn with_agents(&self, name: &str, nodes: Value, agents: Value) -> WorkflowId {
        let new = NewWorkflow {
            name: name.to_owned(),
            description: String::new(),
            graph: serde_json::from_value(json!({ "nodes": nodes })).expect("graph"),
            agents: serde_json::from_value(agents).expect("agents"),
            deploy: true,
        };
        let made = workflows::service::create(&self.owner.grant().expect("owner"), new).await.expect("workflow");
        assert_eq!(made.deployed_version, Some(1), "the graph is valid");
        made.id
    }

    /// A workflow that ends at once.
    pub async fn simple(&self) -> WorkflowId {
        self.workflow("Simple", any(), json!([start(), { "id": "end", "kind": "end", "after": ["start"] }])).await
    }

    /// A workflow that asks before it ends, with the approval as given (its kind and place are added).
    pub async fn asking(&self, name: &str, mut approval: Value) -> WorkflowId {
        let fields = approval.as_object_mut().expect("object");
        for (key, value) in [("id", json!("ask")), ("kind", json!("approval")), ("after", json!(["start"]))] {
            fields.insert(key.to_owned(), value);
        }
        let end = json!({
            "id": "end", "kind": "end", "after": ["ask"], "output": { "did": "{{ steps.ask.output.payload }}" },
        });
        self.workflow(name, any(), json!([start(), approval, end])).await
    }

    /// Starts a run.
    pub async fn start(&self, workflow: WorkflowId, input: Value) -> RunId {
        let start = Start { workflow, version: None, input, priority: None, labels: Vec::new(), idempotency_key: None };
        runs::service::start(&self.owner.grant().expect("owner"), start).await.expect("start").run
    }

    /// A run as it is now.
    pub async fn run(&self, run: RunId) -> Ran {
        let grant = self.owner.grant().expect("owner");
        let detail = runs::service::find(&grant, run).await.expect("run");
        let RunPayloads { output, output_bytes, .. } =
            runs::service::payloads(&grant, run, false).await.expect("payloads");
        Ran { detail, output, output_bytes }
    }

    /// Waits until a run has this state.
    pub async fn until(&self, run: RunId, wanted: RunState) -> Ran {
        for _ in 0..600 {
            let detail = self.run(run).await;
            if detail.view.state == wanted {
                return detail;
            }
            assert!(!detail.view.state.is_end(), "{run} is {}: {:?}", detail.view.state, detail.view.error);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{run} is not {wanted} after half a minute");
    }

    /// What a run asks, once it asks.
    pub async fn asked(&self, run: RunId) -> Approval {
        let filter = ApprovalFilter::default();
        loop {
            self.until(run, RunState::Waiting).await;
            let grant = self.owner.grant().expect("owner");
            let page = approvals::service::list(&grant, &filter, None, 200).await.expect("list");
            // A run whose last answer has not begun to act still waits, and asks nothing.
            if let Some(asked) = page.items.into_iter().find(|approval| approval.run_id == run) {
                return asked;
            }
        }
    }
}

/// Any object is an input.
pub fn any() -> Value {
    json!({ "type": "object" })
}

/// Where a graph begins.
pub fn start() -> Value {
    json!({ "id": "start", "kind": "start" })
}
