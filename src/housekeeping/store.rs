//! What housekeeping removes, under the keeper's role, which sees all organizations and may remove in these tables alone.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    db,
    kernel::{OrgId, Result, Timestamp, WorkflowId},
};

/// What is past its time, by name: each statement removes at most `$1` rows. A new table joins in here, with its rights in
/// its migration.
pub(super) const PAST: [(&str, &str); 19] = [
    (
        "answers for repeated requests",
        "delete from idempotency_keys where (organization_id, route, key) in (
             select organization_id, route, key from idempotency_keys
             where created_at < now() - interval '48 hours' limit $1)",
    ),
    (
        "waits of ended runs",
        "delete from event_waits where (organization_id, run_id, step_id) in (
             select w.organization_id, w.run_id, w.step_id from event_waits w
             join runs r on r.organization_id = w.organization_id and r.id = w.run_id
             where r.finished_at < now() - interval '1 day' limit $1)",
    ),
    (
        // One that a run has received stays as long as the run may read it.
        "events that nobody will get",
        "delete from inbound_events where (organization_id, id) in (
             select e.organization_id, e.id from inbound_events e
             where (e.delivered_at < now() - interval '7 days' or e.delivered_at is null and e.expires_at < now())
               and not exists (select from event_waits w where w.organization_id = e.organization_id and w.event_id = e.id)
             limit $1)",
    ),
    (
        "context entries past their time",
        "delete from context_entries where (organization_id, scope, key) in (
             select organization_id, scope, key from context_entries where expires_at < now() limit $1)
           and expires_at < now()",
    ),
    (
        "context entries of removed runs",
        "delete from context_entries where (organization_id, scope, key) in (
             select c.organization_id, c.scope, c.key from context_entries c
             where c.scope <> c.organization_id
               and c.updated_at < now() - interval '1 day'
               and not exists (select from runs r where r.organization_id = c.organization_id and r.id = c.scope)
             limit $1)",
    ),
    (
        "remembered answers past their time",
        "delete from call_cache where (organization_id, key) in (
             select organization_id, key from call_cache where expires_at < now() limit $1)",
    ),
    (
        "old counts of remembered answers",
        "delete from call_cache_hours where (organization_id, hour) in (
             select organization_id, hour from call_cache_hours where hour < now() - interval '400 days' limit $1)",
    ),
    (
        "rate limits that are over",
        "delete from rate_limits where (organization_id, key) in (
             select organization_id, key from rate_limits where blocked_until < now() - interval '1 day' limit $1)",
    ),
    (
        "old notes of credentials' uses",
        "delete from credential_uses where (organization_id, id) in (
             select organization_id, id from credential_uses where at < now() - interval '90 days' limit $1)",
    ),
    (
        // Of one that goes on being used, the last two hundred tasks are kept; this is for those that nobody comes back to.
        "what agents remembered long ago",
        "delete from agent_memories where (organization_id, run_id, step_id) in (
             select organization_id, run_id, step_id from agent_memories
             where created_at < now() - interval '400 days' limit $1)",
    ),
    (
        // A key that is another one each time would let an agent's memory grow without end.
        "what agents with very many keys remembered first",
        "delete from agent_memories where (organization_id, run_id, step_id) in (
             select organization_id, run_id, step_id from (
                 select organization_id, run_id, step_id,
                        row_number() over (partition by organization_id, agent_key order by seq desc) as place
                 from agent_memories) kept
             where place > 20000 limit $1)",
    ),
    (
        // A call that comes back after so long is no call any more. What still counts is given back by the next call.
        "reservations that were given back",
        "delete from budget_reservations where (organization_id, run_id, step_id, attempt, fence, budget_id) in (
             select organization_id, run_id, step_id, attempt, fence, budget_id from budget_reservations
             where released and expires_at < now() - interval '2 days' limit $1)",
    ),
    (
        "budgets of days and months long past",
        "delete from budget_accounts where (organization_id, budget_id, account) in (
             select a.organization_id, a.budget_id, a.account from budget_accounts a
             join budgets b on b.organization_id = a.organization_id and b.id = a.budget_id
             where b.period in ('day', 'month') and a.opened_at < now() - interval '400 days' limit $1)",
    ),
    (
        "budgets of ended runs",
        "delete from budget_accounts where (organization_id, budget_id, account) in (
             select a.organization_id, a.budget_id, a.account from budget_accounts a
             join budgets b on b.organization_id = a.organization_id and b.id = a.budget_id
             where b.subject = 'run' and a.opened_at < now() - interval '1 day'
               and not exists (
                   select from runs r
                   where r.organization_id = a.organization_id
                     and r.id = case when b.subject = 'run' then a.account::uuid end
                     and (r.finished_at is null or r.finished_at > now() - interval '1 day'))
             limit $1)",
    ),
    (
        "messages that were never sent",
        "delete from emails where (organization_id, id) in (
             select organization_id, id from emails
             where state = 'outbox' and created_at < now() - interval '30 days' limit $1)",
    ),
    (
        // A step's own message stays: it is how a repeated attempt knows that it was sent.
        "old notices",
        "delete from emails where (organization_id, id) in (
             select organization_id, id from emails
             where idempotency_key like 'notice/%' and created_at < now() - interval '30 days' limit $1)",
    ),
    (
        "what came back after somebody put it off",
        "delete from approval_snoozes where (organization_id, approval_id, user_id) in (
             select organization_id, approval_id, user_id from approval_snoozes
             where until < now() - interval '1 day' limit $1)",
    ),
    (
        // For a while they still lead to what became of the approval.
        "links that are over",
        "delete from approval_links where (organization_id, token_sha256) in (
             select organization_id, token_sha256 from approval_links
             where expires_at < now() - interval '7 days' limit $1)",
    ),
    (
        "jobs that failed for good",
        "delete from graphile_worker._private_jobs where id in (
             select id from graphile_worker._private_jobs
             where attempts >= max_attempts and locked_at is null and updated_at < now() - interval '30 days' limit $1)",
    ),
];

/// Removes a batch. Returns how many rows went.
pub(super) async fn remove(keeper: &PgPool, statement: &'static str, most: i64) -> Result<u64> {
    Ok(sqlx::query(statement).bind(most).execute(keeper).await?.rows_affected())
}

/// All organizations, with the days that they keep ended runs, where they say so.
pub(super) async fn organizations(keeper: &PgPool) -> Result<Vec<(OrgId, Option<i32>)>> {
    let rows = sqlx::query!(r#"select id as "id: OrgId", retention_days from organizations order by id"#)
        .fetch_all(keeper)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.retention_days)).collect())
}

/// The workflows that say themselves how many days their ended runs are kept: at the deployed version, else the newest.
pub(super) async fn workflows_with_days(keeper: &PgPool, org: OrgId) -> Result<Vec<(WorkflowId, i32)>> {
    let rows = sqlx::query!(
        r#"select w.id as "id: WorkflowId", (v.graph ->> 'retention_days')::integer as "days!"
           from workflows w
           join workflow_versions v on v.organization_id = w.organization_id and v.workflow_id = w.id
               and v.version = coalesce(w.deployed_version, w.latest_version)
           where w.organization_id = $1 and v.graph ->> 'retention_days' ~ '^[0-9]{1,4}$'"#,
        org.uuid(),
    )
    .fetch_all(keeper)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.days)).collect())
}

/// The runs that one number of days is about.
pub(super) enum Kept {
    /// Those of this workflow.
    Of(WorkflowId),
    /// Those of all others.
    AllBut(Vec<WorkflowId>),
}

/// A place in the runs of an organization, the oldest first.
#[derive(Clone, Copy, Default)]
pub(super) struct Place(Option<(Timestamp, Uuid)>);

/// What became of a page of runs.
pub(super) struct Page {
    /// Where the next one begins.
    pub last: Place,
    /// How many were removed.
    pub removed: u64,
}

/// From this many steps on, a page of runs is large enough.
const STEPS: i64 = 20_000;

/// Looks at the next runs that are older than this, and removes those that ended as long ago and that no living run
/// refers to. `None` at the end. By the time they were made: no run ends before, and there is an index for it.
pub(super) async fn remove_runs(
    keeper: &PgPool,
    org: OrgId,
    which: &Kept,
    days: i32,
    place: Place,
    most: i64,
) -> Result<Option<Page>> {
    let (of, all_but) = match which {
        Kept::Of(workflow) => (Some(workflow.uuid()), Vec::new()),
        Kept::AllBut(others) => (None, others.iter().map(|workflow| workflow.uuid()).collect()),
    };
    let (after, after_id) = place.0.unzip();
    let mut tx = db::begin(keeper).await?;
    let page = sqlx::query!(
        r#"select id, created_at from runs
           where organization_id = $1
             and created_at < now() - make_interval(days => $2)
             and ($3::uuid is null or workflow_id = $3)
             and workflow_id <> all($4)
             and (created_at, id) > (coalesce($5, '-infinity'::timestamptz), coalesce($6, $1))
           order by created_at, id
           limit $7"#,
        org.uuid(),
        days,
        of,
        &all_but,
        after,
        after_id,
        most,
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(last) = page.last().map(|row| Place(Some((row.created_at, row.id)))) else { return Ok(None) };
    let ids: Vec<Uuid> = page.into_iter().map(|row| row.id).collect();
    // Whoever is about to retry one has locked it: it stays.
    let ended = sqlx::query!(
        r#"select id, created_at, (
               select count(*) from steps s where s.organization_id = r.organization_id and s.run_id = r.id
           ) as "steps!"
           from runs r
           where organization_id = $1
             and id = any($2)
             and state in ('succeeded', 'failed', 'cancelled')
             and finished_at < now() - make_interval(days => $3)
             and not exists (
                 select from runs c
                 where c.organization_id = r.organization_id and c.retry_of = r.id
                   and c.state not in ('succeeded', 'failed', 'cancelled')
             )
           order by created_at, id
           for update skip locked"#,
        org.uuid(),
        &ids,
        days,
    )
    .fetch_all(&mut *tx)
    .await?;
    // Those that fit into a short transaction, and one at least; the next page begins behind them.
    let mut steps = 0;
    let fitting = ended.iter().take_while(|run| {
        let fits = steps < STEPS;
        steps += run.steps;
        fits
    });
    let fitting: Vec<_> = fitting.collect();
    let last = match fitting.last() {
        Some(run) if fitting.len() < ended.len() => Place(Some((run.created_at, run.id))),
        _ => last,
    };
    let gone: Vec<Uuid> = fitting.iter().map(|run| run.id).collect();
    sqlx::query!(
        "update runs set retry_of = null where organization_id = $1 and retry_of = any($2)",
        org.uuid(),
        &gone,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from context_entries where organization_id = $1 and scope = any($2)", org.uuid(), &gone)
        .execute(&mut *tx)
        .await?;
    let removed = sqlx::query!("delete from runs where organization_id = $1 and id = any($2)", org.uuid(), &gone)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    tx.commit().await?;
    Ok(Some(Page { last, removed }))
}

/// How long the search for references may take, in one organization.
const SEARCH: Duration = Duration::from_secs(600);

/// Removes the artifacts of an organization that are older than a day and that nothing refers to. Returns how many.
///
/// A reference is never younger than its artifact by more than a moment: whoever stores a value that is there already
/// makes it young again. So what was not referred to when it was searched for, and is old still, can go.
pub(super) async fn remove_artifacts(keeper: &PgPool, org: OrgId) -> Result<u64> {
    let mut tx = db::begin(keeper).await?;
    let candidates = sqlx::query_scalar!(
        r#"select encode(a.sha256, 'hex') as "hash!" from artifacts a
           where a.organization_id = $1
             and a.created_at < now() - interval '1 day'
             and not exists (
                 select from runs r where r.organization_id = a.organization_id and r.plan_sha256 = a.sha256
             )"#,
        org.uuid(),
    )
    .fetch_all(&mut *tx)
    .await?;
    if candidates.is_empty() {
        return Ok(0);
    }
    sqlx::query!("select set_config('statement_timeout', $1, true)", SEARCH.as_millis().to_string())
        .fetch_one(&mut *tx)
        .await?;
    // A reference is a small value: large ones, which are not in the row itself, are not even read.
    let removed = sqlx::query!(
        r#"with held as (
             select case when pg_column_size(v) < 1000 then v ->> '$artifact' end as hash
             from (
                 select input from runs where organization_id = $1
                 union all
                 select output from runs where organization_id = $1
                 union all
                 select input from steps where organization_id = $1
                 union all
                 select output from steps where organization_id = $1
                 union all
                 select data from inbound_events where organization_id = $1
             ) as held(v)
           )
           delete from artifacts a
           where a.organization_id = $1
             and a.created_at < now() - interval '1 day'
             and encode(a.sha256, 'hex') = any($2)
             and not exists (select from held where held.hash = encode(a.sha256, 'hex'))"#,
        org.uuid(),
        &candidates,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    tx.commit().await?;
    Ok(removed)
}
