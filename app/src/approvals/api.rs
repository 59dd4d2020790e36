//! Server functions of approvals.

use std::collections::BTreeMap;

use agentflow::{
    approvals::{ApprovalFilter, ApprovalRow, Inbox, Shown},
    kernel::{AgentId, ApprovalId, WorkflowId},
};
use leptos::{prelude::*, server_fn::codec::Json};
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    approvals::{Verdict, bulk, hands, service},
    kernel::{Error, UserId},
    workflows::forms::values,
};

/// The inbox as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboxPage {
    /// What waits, and what was decided.
    pub inbox: Inbox,
    /// The approval that the address names, else the first of the list.
    pub selected: Option<Shown>,
    /// The workflows to filter by.
    pub workflows: Vec<(WorkflowId, String)>,
    /// The agents to filter by.
    pub agents: Vec<(AgentId, String)>,
}

/// The inbox, and the approval that the address names.
#[server(input = Json)]
pub async fn load_inbox(
    org: String,
    filter: ApprovalFilter,
    selected: Option<ApprovalId>,
) -> Result<InboxPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let (inbox, selected) = service::look(&cx.grant()?, &filter, selected).await?;
    let workflows = agentflow::workflows::service::list(&cx.grant()?).await?;
    let workflows = workflows.into_iter().map(|it| (it.id, it.name)).collect();
    let agents = agentflow::agents::service::list(&cx.grant()?).await?;
    Ok(InboxPage { inbox, selected, workflows, agents: agents.into_iter().map(|it| (it.id, it.config.name)).collect() })
}

/// What waits and what was decided, and the approval that is looked at, again.
#[server(input = Json)]
pub async fn read_inbox(
    org: String,
    filter: ApprovalFilter,
    selected: Option<ApprovalId>,
) -> Result<(Inbox, Option<Shown>), ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::look(&cx.grant()?, &filter, selected).await?)
}

/// One approval.
#[server]
pub async fn approval(org: String, id: ApprovalId) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Says yes to exactly what was seen, by its hash. The amount is as it was typed, where it has to be.
#[server]
pub async fn approve(
    org: String,
    id: ApprovalId,
    #[server(default)] amount: String,
    #[server(default)] seen: String,
) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    let verdict = Verdict::Approve { payload: None, amount: Some(amount) };
    service::decide_on(&cx.grant()?, id, &verdict, Some(&seen)).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Says yes to an edited proposal. The fields are the proposal's, as texts.
#[server]
pub async fn approve_edited(
    org: String,
    id: ApprovalId,
    #[server(default)] fields: BTreeMap<String, String>,
    #[server(default)] amount: String,
) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    service::approve_edited(&cx.grant()?, id, &fields, Some(amount)).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Goes on without a failed step, with an output of one's own: JSON, or a text as it stands.
#[server]
pub async fn skip_step(org: String, id: ApprovalId, #[server(default)] output: String) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    let output = values::read(&output).map_err(|message| Error::invalid("output", message))?;
    service::decide(&cx.grant()?, id, &Verdict::Skip { output }).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Says no. The reason is one of the quick ones, a text, or both.
#[server]
pub async fn reject(
    org: String,
    id: ApprovalId,
    #[server(default)] quick: String,
    #[server(default)] reason: String,
) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    let reason = [quick.trim(), reason.trim()].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(": ");
    service::decide(&cx.grant()?, id, &Verdict::Reject { reason }).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Says: not like this.
#[server]
pub async fn request_changes(org: String, id: ApprovalId, #[server(default)] text: String) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    service::decide(&cx.grant()?, id, &Verdict::RequestChanges { text }).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Answers a question.
#[server]
pub async fn answer(org: String, id: ApprovalId, #[server(default)] text: String) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    service::decide(&cx.grant()?, id, &Verdict::Answer { text }).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Takes one's own decision, or yes among several, back.
#[server]
pub async fn undo_decision(org: String, id: ApprovalId) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    service::undo(&cx.grant()?, id).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Asks a member to decide it; nobody in particular where none is named.
#[server]
pub async fn assign_approval(org: String, id: ApprovalId, #[server(default)] to: String) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    let to: Option<UserId> = match to.as_str() {
        "" => None,
        named => Some(named.parse().map_err(|_| Error::invalid("to", "Choose a member who may decide this."))?),
    };
    hands::assign(&cx.grant()?, id, to).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Puts it off, for some hours or until a moment in UTC.
#[server]
pub async fn snooze_approval(
    org: String,
    id: ApprovalId,
    #[server(default)] hours: String,
    #[server(default)] until: String,
) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    hands::snooze(&cx.grant()?, id, &hours, &until).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// Brings back what was put off.
#[server]
pub async fn wake_approval(org: String, id: ApprovalId) -> Result<Shown, ApiError> {
    let cx = door::ctx(&org).await?;
    hands::wake(&cx.grant()?, id).await?;
    Ok(service::show(&cx.grant()?, id).await?)
}

/// One of several approvals that are decided together, and why it is left out, or nothing was done with it.
pub type Chosen = (ApprovalRow, Option<String>);

/// What a decision on several would reach. `approvals` has commas between.
#[server]
pub async fn load_together(org: String, #[server(default)] approvals: String) -> Result<Vec<Chosen>, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(bulk::preview(&cx.grant()?, &ids(&approvals)).await?)
}

/// Decides those that were shown, and no other. `approvals` has commas between.
#[server]
pub async fn decide_together(
    org: String,
    approvals: String,
    decision: String,
    #[server(default)] reason: String,
) -> Result<Vec<Chosen>, ApiError> {
    let cx = door::ctx(&org).await?;
    let verdict = match decision.as_str() {
        "reject" => Verdict::Reject { reason },
        _ => Verdict::Approve { payload: None, amount: None },
    };
    Ok(bulk::decide(&cx.grant()?, &cx.grant()?, &ids(&approvals), &verdict).await?)
}

#[cfg(feature = "ssr")]
fn ids(named: &str) -> Vec<ApprovalId> {
    named.split(',').filter_map(|id| id.parse().ok()).collect()
}
