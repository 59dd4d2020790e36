//! What ended runs say and come to, as it is searched and counted: see the migration `0026_runs_found`.

use sqlx::PgPool;

use crate::{
    db::TenantTx,
    kernel::{OrgId, Result, RunId, Timestamp},
};

/// What has ended so many seconds ago is taken in: a transaction is over by then, whatever its own moment was.
const REST_S: f64 = 120.0;

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

/// Takes in the texts and figures of the next runs that ended, about `most` of them. Whether more are left.
///
/// # Errors
/// When the database does not answer.
pub async fn take_in(tx: &mut TenantTx, most: i64) -> Result<bool> {
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
        select $1, t.id, t.part, 0, lower(t.text)
        from (
            select r.id, 'input' as part, coalesce(a.body, r.input)::text as text
            from runs r
            left join artifacts a
              on a.organization_id = r.organization_id and a.sha256 = decode(r.input ->> '$artifact', 'hex')
            where r.organization_id = $1 and r.id = any($2)
            union all
            select r.id, 'output', coalesce(a.body, r.output)::text
            from runs r
            left join artifacts a
              on a.organization_id = r.organization_id and a.sha256 = decode(r.output ->> '$artifact', 'hex')
            where r.organization_id = $1 and r.id = any($2) and r.output is not null
        ) t
        union all
        select $1, l.run_id, 'log', min(l.seq), lower(string_agg(l.message, E'\n' order by l.seq))
        from (
            select run_id, seq, data ->> 'message' as message,
                   (row_number() over (partition by run_id order by seq) - 1) / 300 as leaf
            from run_events
            where organization_id = $1 and run_id = any($2) and kind = 'log'
        ) l
        group by l.run_id, l.leaf
        on conflict do nothing
        "#,
        org.uuid(),
        &runs,
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

/// Whether the database has an index for texts.
///
/// # Errors
/// When the database does not answer.
pub async fn is_indexed(pool: &PgPool) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"select to_regclass('public.run_texts_trigrams') is not null as "is!""#)
        .fetch_one(pool)
        .await?)
}
