//! What people do with test cases.

use super::{CaseForm, Check, MAX_CASES, TestCase};
use crate::{
    access::{Grant, right},
    agents::{service::held, store::cases as store},
    kernel::{AgentId, Error, Result, TestCaseId},
};

/// The test cases of an agent, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>, agent: AgentId) -> Result<Vec<TestCase>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx, agent).await
}

/// Whether an agent has test cases.
///
/// # Errors
/// When the database does not answer.
pub async fn any(grant: &Grant<right::View>, agent: AgentId) -> Result<bool> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    Ok(store::count(&mut tx, agent).await? > 0)
}

/// A new test case.
///
/// # Errors
/// `invalid`, with the entries at fault; `not_found`; `conflict` when there are too many.
pub async fn create(grant: &Grant<right::Build>, agent: AgentId, form: &CaseForm) -> Result<TestCaseId> {
    let check = read(form)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    held(&mut tx, agent).await?;
    if store::count(&mut tx, agent).await? >= MAX_CASES {
        let message = format!("An agent has at most {MAX_CASES} test cases. Remove one first.");
        return Err(Error::conflict("agents.too_many_cases", message));
    }
    let id = TestCaseId::new();
    store::insert(&mut tx, agent, (id, form.name.trim(), &prompt(form)), &check, grant.actor()).await?;
    tx.commit().await?;
    Ok(id)
}

/// Changes a test case.
///
/// # Errors
/// `invalid`, with the entries at fault; `not_found`.
pub async fn update(grant: &Grant<right::Build>, agent: AgentId, id: TestCaseId, form: &CaseForm) -> Result<()> {
    let check = read(form)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::update(&mut tx, agent, (id, form.name.trim(), &prompt(form)), &check).await? {
        return Err(unknown());
    }
    tx.commit().await
}

/// Removes a test case.
///
/// # Errors
/// `not_found`.
pub async fn remove(grant: &Grant<right::Build>, agent: AgentId, id: TestCaseId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::remove(&mut tx, agent, id).await? {
        return Err(unknown());
    }
    tx.commit().await
}

fn read(form: &CaseForm) -> Result<Check> {
    form.read().map_err(|faults| Error::invalid_fields(faults).unwrap_or_else(unknown))
}

fn prompt(form: &CaseForm) -> String {
    form.prompt.replace("\r\n", "\n")
}

fn unknown() -> Error {
    Error::not_found("test case")
}
