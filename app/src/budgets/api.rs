//! What the page of the budgets asks the server.

use agentflow::{access::Role, budgets::Budget, kernel::BudgetId};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    agents::service as agents,
    budgets::{Subject, service},
    workflows::service as workflows,
};

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetsPage {
    /// The budgets, and how they stand.
    pub budgets: Vec<Budget>,
    /// What a budget can bound: as the form sends it, and as it is read. Nothing for those who may not set any.
    pub subjects: Vec<(String, String)>,
    /// One's own role.
    pub role: Role,
}

/// Reads the budgets.
#[server]
pub async fn load_budgets(org: String) -> Result<BudgetsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let view = cx.grant()?;
    let budgets = service::list(&view).await?;
    let mut subjects = Vec::new();
    if cx.role().may(agentflow::access::Permission::Deploy) {
        let fixed = [
            (Subject::Organization, "The whole organization"),
            (Subject::Run, "Each run"),
            (Subject::Call, "Each call"),
        ];
        subjects.extend(fixed.map(|(subject, words)| (subject.to_string(), words.to_owned())));
        let agents = agents::list(&view).await?.into_iter();
        subjects.extend(agents.map(|it| (Subject::Agent(it.key).to_string(), format!("Agent “{}”", it.config.name))));
        let workflows = workflows::list(&view).await?.into_iter();
        subjects.extend(workflows.map(|it| (Subject::Workflow(it.id).to_string(), format!("Workflow “{}”", it.name))));
    }
    Ok(BudgetsPage { budgets, subjects, role: cx.role() })
}

/// Sets a budget. The limit is as it was typed; a call or run needs no period.
#[server]
pub async fn create_budget(
    org: String,
    subject: String,
    #[server(default)] period: String,
    limit: String,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::create(&cx.grant()?, &subject, &period, &limit).await?;
    Ok(())
}

/// Changes a budget's limit, and whether it holds calls back. A box that is not ticked is not sent.
#[server]
pub async fn change_budget(
    org: String,
    budget: BudgetId,
    limit: String,
    #[server(default)] enabled: bool,
) -> Result<(), ApiError> {
    Ok(service::change(&door::ctx(&org).await?.grant()?, budget, &limit, enabled).await?)
}

/// Removes a budget with all that it has counted.
#[server]
pub async fn remove_budget(org: String, budget: BudgetId) -> Result<(), ApiError> {
    Ok(service::remove(&door::ctx(&org).await?.grant()?, budget).await?)
}
