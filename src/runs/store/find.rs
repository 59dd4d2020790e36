//! Statements that search one run. They read whole payloads and give ids alone. JSON is searched as people read it: the
//! escapes of line breaks, tabs, quotes and backslashes are undone first (a backslash by way of U+0001, which JSON never
//! holds as it is).

use crate::{
    db::TenantTx,
    engine::state::StepId,
    kernel::{Result, RunId},
    runs::find::{Hit, Places},
};

/// Where in a run's own values a text is; nothing where there is no such run.
///
/// # Errors
/// When the database does not answer.
pub async fn in_run(tx: &mut TenantTx, run: RunId, text: &str) -> Result<Option<Places>> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"
        select position(lower($3) in lower(r.title)) > 0 as "title!",
               position(lower($3) in lower(replace(replace(replace(replace(replace(replace(
                   coalesce(i.body, r.input)::text,
                   '\\', chr(1)), '\n', chr(10)), '\r', chr(13)), '\t', chr(9)), '\"', '"'), chr(1), '\'))) > 0 as "input!",
               coalesce(position(lower($3) in lower(replace(replace(replace(replace(replace(replace(
                   coalesce(o.body, r.output)::text,
                   '\\', chr(1)), '\n', chr(10)), '\r', chr(13)), '\t', chr(9)), '\"', '"'), chr(1), '\'))) > 0, false)
                   as "output!",
               coalesce(position(lower($3) in lower(r.error ->> 'message')) > 0, false) as "error!"
        from runs r
        left join artifacts i on i.organization_id = $1 and i.sha256 = decode(r.input ->> '$artifact', 'hex')
        left join artifacts o on o.organization_id = $1 and o.sha256 = decode(r.output ->> '$artifact', 'hex')
        where r.organization_id = $1
          and r.id = $2
        "#,
        org.uuid(),
        run.uuid(),
        text,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Places { name: row.title, input: row.input, output: row.output, error: row.error, lines: 0 }))
}

/// The steps of a run in which a text is, in the order in which they came to be.
///
/// # Errors
/// When the database does not answer.
pub async fn in_steps(tx: &mut TenantTx, run: RunId, text: &str) -> Result<Vec<Hit>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        with logged as (
          select step_id, count(*) as lines
          from run_events
          where organization_id = $1
            and run_id = $2
            and kind = 'log'
            and step_id is not null
            and position(lower($3) in lower(data ->> 'message')) > 0
          group by step_id
        ), searched as (
          select s.id, s.name, s.ordinal,
                 position(lower($3) in lower(s.name)) > 0 or position(lower($3) in lower(s.id)) > 0 as in_name,
                 coalesce(position(lower($3) in lower(replace(replace(replace(replace(replace(replace(
                     coalesce(i.body, s.input)::text,
                     '\\', chr(1)), '\n', chr(10)), '\r', chr(13)), '\t', chr(9)), '\"', '"'), chr(1), '\'))) > 0, false)
                     as in_input,
                 coalesce(position(lower($3) in lower(replace(replace(replace(replace(replace(replace(
                     coalesce(o.body, s.output)::text,
                     '\\', chr(1)), '\n', chr(10)), '\r', chr(13)), '\t', chr(9)), '\"', '"'), chr(1), '\'))) > 0, false)
                     as in_output,
                 coalesce(position(lower($3) in lower(s.error ->> 'message')) > 0, false) as in_error,
                 coalesce(l.lines, 0) as lines
          from steps s
          left join artifacts i on i.organization_id = $1 and i.sha256 = decode(s.input ->> '$artifact', 'hex')
          left join artifacts o on o.organization_id = $1 and o.sha256 = decode(s.output ->> '$artifact', 'hex')
          left join logged l on l.step_id = s.id
          where s.organization_id = $1
            and s.run_id = $2
        )
        select id as "id!", name as "name!", in_name as "in_name!", in_input as "in_input!", in_output as "in_output!",
               in_error as "in_error!", lines as "lines!"
        from searched
        where in_name or in_input or in_output or in_error or lines > 0
        order by ordinal, id
        "#,
        org.uuid(),
        run.uuid(),
        text,
    )
    .fetch_all(tx.conn())
    .await?;
    let hits = rows.into_iter().map(|row| Hit {
        id: StepId::from_text(row.id),
        name: row.name,
        places: Places {
            name: row.in_name,
            input: row.in_input,
            output: row.in_output,
            error: row.in_error,
            lines: row.lines.unsigned_abs(),
        },
    });
    Ok(hits.collect())
}

/// How many lines of a run's log have a text and are of no step.
///
/// # Errors
/// When the database does not answer.
pub async fn lines_of_no_step(tx: &mut TenantTx, run: RunId, text: &str) -> Result<u64> {
    let org = tx.org();
    let count = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from run_events
        where organization_id = $1
          and run_id = $2
          and kind = 'log'
          and step_id is null
          and position(lower($3) in lower(data ->> 'message')) > 0
        "#,
        org.uuid(),
        run.uuid(),
        text,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count.unsigned_abs())
}
