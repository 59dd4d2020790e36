//! The one statement that goes to somebody else's database. None of ours stands here.

use futures::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, postgres::PgArguments, query::QueryScalar};

use super::Question;

/// What a database answered.
pub(super) struct Rows {
    /// The rows as JSON.
    pub rows: Vec<Value>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Asks. It can neither write nor be several statements: the transaction is read-only, the text stands inside of ours,
/// and the extended protocol takes one statement.
pub(super) async fn rows(
    conn: &mut PgConnection,
    question: &Question<'_>,
    max_bytes: usize,
) -> Result<Rows, sqlx::Error> {
    let timeout_ms = question.timeout.as_millis();
    let begin = format!(
        "begin transaction read only; set local statement_timeout = {timeout_ms}; set local lock_timeout = {timeout_ms}; \
         set local idle_in_transaction_session_timeout = '60s'"
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *conn).await?;
    // On a line of its own, so that a comment at the end of the text does not take the rest with it.
    let text = format!(
        "select pg_catalog.row_to_json(agentflow_row)::text from (\n{}\n) as agentflow_row limit {}",
        question.sql.trim().trim_end_matches(';'),
        question.max_rows + 1
    );
    let mut query = sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).persistent(false);
    for value in question.params {
        query = bound(query, value);
    }
    let mut found = Rows { rows: Vec::new(), truncated: false };
    let mut bytes = 0;
    {
        let mut rows = query.fetch(&mut *conn);
        while let Some(row) = rows.try_next().await? {
            bytes += row.len();
            if found.rows.len() == question.max_rows || bytes > max_bytes {
                found.truncated = true;
                break;
            }
            found.rows.push(serde_json::from_str(&row).map_err(|error| sqlx::Error::Decode(error.into()))?);
        }
    }
    Ok(found)
}

/// Ends a connection in an orderly way, which may take a moment.
pub(super) async fn close(conn: PgConnection) {
    drop(conn.close().await);
}

type Scalar<'q> = QueryScalar<'q, Postgres, String, PgArguments>;

fn bound<'q>(query: Scalar<'q>, value: &'q Value) -> Scalar<'q> {
    match value {
        Value::Null => query.bind(None::<String>),
        Value::Bool(yes) => query.bind(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => query.bind(whole),
            None => query.bind(number.as_f64()),
        },
        Value::String(text) => query.bind(text.as_str()),
        other => query.bind(sqlx::types::Json(other)),
    }
}
