//! The statements of test cases.

use sqlx::types::Json;

use crate::{
    access::Actor,
    agents::cases::{Check, TestCase},
    db::TenantTx,
    kernel::{AgentId, Error, Result, TestCaseId},
};

/// The test cases of an agent, by name.
pub async fn list(tx: &mut TenantTx, agent: AgentId) -> Result<Vec<TestCase>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select id as "id: TestCaseId", name, prompt, expects as "expects: Json<Check>", created_by_name, updated_at
           from agent_test_cases where organization_id = $1 and agent_id = $2 order by lower(name), id"#,
        org.uuid(),
        agent.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TestCase {
            id: row.id,
            name: row.name,
            prompt: row.prompt,
            check: row.expects.0,
            created_by: row.created_by_name,
            updated_at: row.updated_at,
        })
        .collect())
}

/// How many test cases an agent has.
pub async fn count(tx: &mut TenantTx, agent: AgentId) -> Result<i64> {
    let org = tx.org();
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from agent_test_cases where organization_id = $1 and agent_id = $2"#,
        org.uuid(),
        agent.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// A new test case.
pub async fn insert(
    tx: &mut TenantTx,
    agent: AgentId,
    (id, name, prompt): (TestCaseId, &str, &str),
    check: &Check,
    by: &Actor,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into agent_test_cases
             (organization_id, agent_id, id, name, prompt, expects, created_by, created_by_name)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        org.uuid(),
        agent.uuid(),
        id.uuid(),
        name,
        prompt,
        Json(check) as _,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    Ok(())
}

/// Changes a test case. False when the agent has none such.
pub async fn update(
    tx: &mut TenantTx,
    agent: AgentId,
    (id, name, prompt): (TestCaseId, &str, &str),
    check: &Check,
) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update agent_test_cases set name = $4, prompt = $5, expects = $6, updated_at = now()
         where organization_id = $1 and agent_id = $2 and id = $3",
        org.uuid(),
        agent.uuid(),
        id.uuid(),
        name,
        prompt,
        Json(check) as _,
    )
    .execute(tx.conn())
    .await
    .map_err(name_taken)?;
    Ok(done.rows_affected() > 0)
}

/// Removes a test case. False when the agent has none such.
pub async fn remove(tx: &mut TenantTx, agent: AgentId, id: TestCaseId) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "delete from agent_test_cases where organization_id = $1 and agent_id = $2 and id = $3",
        org.uuid(),
        agent.uuid(),
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

fn name_taken(error: sqlx::Error) -> Error {
    if error.as_database_error().is_some_and(|error| error.constraint() == Some("agent_test_cases_name_key")) {
        return Error::invalid("name", "Another test case of this agent has this name. Choose a different one.");
    }
    error.into()
}
