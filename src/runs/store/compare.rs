//! Statements about two runs: which of their steps differ, and what a run is related to. No payload leaves the database.

use super::{Row, RunSummary};
use crate::{
    db::TenantTx,
    engine::{
        journal::Usage,
        state::{StepId, StepKind, StepState},
    },
    kernel::{Error, Money, Result, RunId, Timestamp},
    runs::compare::{Pair, Side},
};

/// The steps of two runs, set side by side by their ids, in no order. Large values are kept by their digests, so those
/// are what is compared.
///
/// # Errors
/// When the database does not answer.
pub async fn pairs(tx: &mut TenantTx, one: RunId, other: RunId) -> Result<Vec<Pair>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select coalesce(b.id, a.id) as "id!", coalesce(b.kind, a.kind) as "kind!", coalesce(b.name, a.name) as "name!",
               a.ordinal as "ordinal_a?", a.state as "state_a?", a.started_at as "started_a?",
               a.finished_at as "finished_a?", a.tokens_in as "in_a?", a.tokens_out as "out_a?", a.cost_micros as "cost_a?",
               b.ordinal as "ordinal_b?", b.state as "state_b?", b.started_at as "started_b?",
               b.finished_at as "finished_b?", b.tokens_in as "in_b?", b.tokens_out as "out_b?", b.cost_micros as "cost_b?",
               nullif(a.input, 'null'::jsonb) is distinct from nullif(b.input, 'null'::jsonb) as "input!",
               nullif(a.output, 'null'::jsonb) is distinct from nullif(b.output, 'null'::jsonb) as "output!",
               a.error ->> 'code' is distinct from b.error ->> 'code' as "error!"
        from (select * from steps where organization_id = $1 and run_id = $2) a
        full join (select * from steps where organization_id = $1 and run_id = $3) b on b.id = a.id
        "#,
        org.uuid(),
        one.uuid(),
        other.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let pairs = rows.into_iter().map(|row| {
        let a = row.ordinal_a.zip(row.state_a).map(|(ordinal, state)| {
            side(ordinal, &state, (row.started_a, row.finished_a), (row.in_a, row.out_a, row.cost_a))
        });
        let b = row.ordinal_b.zip(row.state_b).map(|(ordinal, state)| {
            side(ordinal, &state, (row.started_b, row.finished_b), (row.in_b, row.out_b, row.cost_b))
        });
        Ok(Pair {
            id: StepId::from_text(row.id),
            kind: StepKind::parse(&row.kind).ok_or_else(|| unknown("kind", &row.kind))?,
            name: row.name,
            sides: [a.transpose()?, b.transpose()?],
            input: row.input,
            output: row.output,
            error: row.error,
            depth: 0,
        })
    });
    pairs.collect()
}

type Times = (Option<Timestamp>, Option<Timestamp>);
type Sums = (Option<i64>, Option<i64>, Option<i64>);

fn side(ordinal: i32, state: &str, (started_at, finished_at): Times, (tokens_in, out, cost): Sums) -> Result<Side> {
    Ok(Side {
        ordinal,
        state: StepState::parse(state).ok_or_else(|| unknown("state", state))?,
        started_at,
        finished_at,
        usage: Usage {
            tokens_in: tokens_in.unwrap_or_default().unsigned_abs(),
            tokens_out: out.unwrap_or_default().unsigned_abs(),
            cost: Money(cost.unwrap_or_default()),
        },
    })
}

fn unknown(what: &str, word: &str) -> Error {
    Error::internal(format!("unknown {what} {word} of a step"))
}

/// The run that a run does again, and those that do it again, the newest first: two hundred at most.
///
/// # Errors
/// When the database does not answer.
pub async fn related(tx: &mut TenantTx, run: RunId) -> Result<Vec<RunSummary>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select r.id as "id: RunId", r.title, r.workflow_id as "workflow_id: _", w.name as workflow_name,
               r.workflow_version, r.state, r.waiting_on, r.trigger, r.started_by_name as started_by,
               r.created_at, r.started_at, r.finished_at, r.tokens_in, r.tokens_out, r.cost_micros,
               r.error as "error: _", r.labels
        from runs r
        join workflows w on w.organization_id = r.organization_id and w.id = r.workflow_id
        where r.organization_id = $1
          and (r.retry_of = $2
               or r.id = (select own.retry_of from runs own where own.organization_id = $1 and own.id = $2))
        order by r.created_at desc, r.id desc
        limit 200
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(RunSummary::try_from).collect()
}

/// How many runs do a run again.
///
/// # Errors
/// When the database does not answer.
pub async fn count_again(tx: &mut TenantTx, run: RunId) -> Result<u64> {
    let org = tx.org();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from runs where organization_id = $1 and retry_of = $2"#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count.unsigned_abs())
}
