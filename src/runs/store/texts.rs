//! What ended runs say and come to, as it is searched and counted: see the migration `0026_runs_found`.

use sqlx::PgPool;

use crate::{
    db::TenantTx,
    kernel::{OrgId, Result, RunId, Timestamp},
};

/// What has ended so many seconds ago is taken in: a transaction is over by then, whatever its own moment was.
const REST_S: f64 = 120.0;

/// The longest that a statement of the intake may take: nobody waits for it.
const LONGEST_S: u32 = 60;

/// Letters of each text that are taken in of a run that cannot be taken in as a whole.
const CUT_LETTERS: i32 = 64 << 10;
/// And lines of its log.
const CUT_LINES: i64 = 300;

/// The organizations with runs that ended since theirs were taken in.
///
/// # Errors
/// When the database does not answer.
pub async fn behind(keeper: &PgPool) -> Result<Vec<OrgId>> {
    Ok(sqlx::query_scalar!(
        r#"select o.id as "id: OrgId" from organizations o
           left join run_texts_upto u on u.organization_id = o.id
           where exists (
               select from runs r
               where r.organization_id = o.id
                 and r.finished_at >= coalesce(u.at, '-infinity')
                 and r.finished_at < now() - make_interval(secs => $1))"#,
        REST_S,
    )
    .fetch_all(keeper)
    .await?)
}

/// Takes in the texts and figures of the next runs that ended, about `most` of them; with `cut`, only the beginnings of their
/// texts. Whether more are left.
///
/// # Errors
/// When the database does not answer.
pub async fn take_in(tx: &mut TenantTx, most: i64, cut: bool) -> Result<bool> {
    sqlx::query!("select set_config('statement_timeout', $1, true)", format!("{LONGEST_S}s"))
        .fetch_one(tx.conn())
        .await?;
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select id as "id: RunId", finished_at as "at!" from runs
           where organization_id = $1
             and finished_at >= coalesce((select at from run_texts_upto where organization_id = $1), '-infinity')
             and finished_at < now() - make_interval(secs => $3)
           order by finished_at
           fetch first $2 rows with ties"#,
        org.uuid(),
        most,
        REST_S,
    )
    .fetch_all(tx.conn())
    .await?;
    let Some(last) = rows.last().map(|row| row.at) else { return Ok(false) };
    let runs: Vec<_> = rows.iter().map(|row| row.id.uuid()).collect();
    sqlx::query!(
        r#"
        insert into run_texts (organization_id, run_id, part, place, text)
        select $1, t.run_id, t.part, t.place, lower(coalesce(left(t.text, $3::integer), t.text, ''))
        from (
            select r.id as run_id, 'input' as part, 0::bigint as place, coalesce(a.body, r.input)::text as text
            from runs r
            left join artifacts a
              on a.organization_id = r.organization_id and a.sha256 = decode(r.input ->> '$artifact', 'hex')
            where r.organization_id = $1 and r.id = any($2)
            union all
            select r.id, 'output', 0, coalesce(a.body, r.output)::text
            from runs r
            left join artifacts a
              on a.organization_id = r.organization_id and a.sha256 = decode(r.output ->> '$artifact', 'hex')
            where r.organization_id = $1 and r.id = any($2) and r.output is not null
            union all
            select ended.run_id, 'log', min(l.seq), string_agg(l.message, E'\n' order by l.seq)
            from unnest($2::uuid[]) as ended (run_id)
            cross join lateral (
                select e.seq, e.data ->> 'message' as message, (row_number() over (order by e.seq) - 1) / 300 as leaf
                from run_events e
                where e.organization_id = $1 and e.run_id = ended.run_id and e.kind = 'log'
                order by e.seq
                limit $4::bigint
            ) l
            group by ended.run_id, l.leaf
        ) t
        on conflict do nothing
        "#,
        org.uuid(),
        &runs,
        cut.then_some(CUT_LETTERS),
        cut.then_some(CUT_LINES),
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into run_figures
             (organization_id, run_id, created_at, finished_at, state, took_ms, cost_micros, tokens)
         select organization_id, id, created_at, finished_at, state,
                case when state in ('succeeded', 'failed')
                     then extract(epoch from finished_at - started_at)::float8 * 1000 end,
                cost_micros, tokens_in + tokens_out
         from runs
         where organization_id = $1 and id = any($2)
         on conflict do nothing",
        org.uuid(),
        &runs,
    )
    .execute(tx.conn())
    .await?;
    if cut {
        tracing::warn!(organization = %org, ?runs, "only the beginnings of what these runs say can be found in the list");
    }
    // Those that ended at the same moment came along: the next ones ended later.
    reached(tx, last + std::time::Duration::from_micros(1)).await?;
    Ok(rows.len() >= usize::try_from(most).unwrap_or(usize::MAX))
}

/// Remembers that all runs that ended before this moment were taken in.
async fn reached(tx: &mut TenantTx, at: Timestamp) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into run_texts_upto (organization_id, at) values ($1, $2)
         on conflict (organization_id) do update set at = greatest(run_texts_upto.at, excluded.at)",
        org.uuid(),
        at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether the database has an index for texts, and a role that may go by it.
///
/// # Errors
/// When the database does not answer.
pub async fn is_indexed(pool: &PgPool) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select to_regclass('public.run_texts_trigrams') is not null
               and exists (
                   select from pg_proc
                   where pronamespace = 'public'::regnamespace and proname = 'runs_with_text' and prosecdef
               ) as "is!""#,
    )
    .fetch_one(pool)
    .await?)
}
