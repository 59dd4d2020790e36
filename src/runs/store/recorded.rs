//! What was recorded of runs, for what is taken over from them: their plans, and their steps without payloads.

use std::collections::HashMap;

use sqlx::types::Json;

use crate::{
    db::TenantTx,
    engine::{
        plan::Plan,
        reuse::Recorded,
        state::{StepId, StepKind, StepState},
    },
    kernel::{Error, Money, Result, RunId},
};

/// The plan that a run executes.
///
/// # Errors
/// When the database does not answer.
pub async fn plan(tx: &mut TenantTx, run: RunId) -> Result<Option<Plan>> {
    let org = tx.org();
    let plan = sqlx::query_scalar!(
        r#"
        select a.body as "body: Json<Plan>"
        from runs r
        join artifacts a on a.organization_id = r.organization_id and a.sha256 = r.plan_sha256
        where r.organization_id = $1
          and r.id = $2
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(plan.map(|plan| plan.0))
}

/// What was recorded of a run's steps, for what is taken over from it.
///
/// # Errors
/// When the database does not answer.
pub async fn recorded(tx: &mut TenantTx, run: RunId) -> Result<Vec<Recorded>> {
    let org = tx.org();
    let rows = sqlx::query!(
        "select id, kind, state, node_id from steps where organization_id = $1 and run_id = $2",
        org.uuid(),
        run.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| recorded_step(run, row.id, &row.kind, &row.state, row.node_id)).collect()
}

/// The plans that runs execute, each with its runs. One that none is found for any more is left out.
///
/// # Errors
/// When the database does not answer.
pub async fn plans(tx: &mut TenantTx, runs: &[RunId]) -> Result<Vec<(Vec<RunId>, Plan)>> {
    let org = tx.org();
    let runs: Vec<_> = runs.iter().map(|run| run.uuid()).collect();
    let rows = sqlx::query!(
        r#"
        select array_agg(r.id) as "runs!: Vec<RunId>", a.body as "body: Json<Plan>"
        from runs r
        join artifacts a on a.organization_id = r.organization_id and a.sha256 = r.plan_sha256
        where r.organization_id = $1
          and r.id = any($2)
        group by a.organization_id, a.sha256
        "#,
        org.uuid(),
        &runs,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.runs, row.body.0)).collect())
}

/// A recorded step, and what it cost.
#[derive(Debug)]
pub struct Spent {
    /// The step.
    pub recorded: Recorded,
    /// What it is about.
    pub about: Option<String>,
    /// Whether it began.
    pub began: bool,
    /// What it cost.
    pub cost: Money,
}

/// What was recorded of the steps of several runs, with what they cost.
///
/// # Errors
/// When the database does not answer.
pub async fn spent(tx: &mut TenantTx, runs: &[RunId]) -> Result<HashMap<RunId, Vec<Spent>>> {
    let org = tx.org();
    let runs: Vec<_> = runs.iter().map(|run| run.uuid()).collect();
    let rows = sqlx::query!(
        r#"
        select run_id as "run: RunId", id, kind, state, node_id, detail ->> 'about' as about,
               started_at is not null as "began!", cost_micros
        from steps
        where organization_id = $1
          and run_id = any($2)
        "#,
        org.uuid(),
        &runs,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut spent: HashMap<RunId, Vec<Spent>> = HashMap::new();
    for row in rows {
        let recorded = recorded_step(row.run, row.id, &row.kind, &row.state, row.node_id)?;
        let step = Spent { recorded, about: row.about, began: row.began, cost: Money(row.cost_micros) };
        spent.entry(row.run).or_default().push(step);
    }
    Ok(spent)
}

fn recorded_step(run: RunId, id: String, kind: &str, state: &str, node: String) -> Result<Recorded> {
    let unknown = |what: &str| Error::internal(format!("unknown {what} of a step of {run}"));
    Ok(Recorded {
        id: StepId::from_text(id),
        kind: StepKind::parse(kind).ok_or_else(|| unknown("kind"))?,
        state: StepState::parse(state).ok_or_else(|| unknown("state"))?,
        node,
    })
}

/// The titles of runs. One that there is not is left out.
///
/// # Errors
/// When the database does not answer.
pub async fn titles(tx: &mut TenantTx, runs: &[RunId]) -> Result<HashMap<RunId, String>> {
    let org = tx.org();
    let runs: Vec<_> = runs.iter().map(|run| run.uuid()).collect();
    let rows = sqlx::query!(
        r#"select id as "id: RunId", title from runs where organization_id = $1 and id = any($2)"#,
        org.uuid(),
        &runs,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.title)).collect())
}
