//! Server functions of approvals.

use std::collections::BTreeMap;

use agentflow::{
    approvals::{ApprovalFilter, Inbox, Shown},
    kernel::{ApprovalId, WorkflowId},
};
use leptos::{prelude::*, server_fn::codec::Json};
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    approvals::{Verdict, service},
    kernel::Error,
    workflows::forms::values,
};

/// The inbox as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboxPage {
    /// What waits, and what was decided.
    pub inbox: Inbox,
    /// The approval that the address names.
    pub selected: Option<Shown>,
    /// The workflows to filter by.
    pub workflows: Vec<(WorkflowId, String)>,
}

/// The inbox, and the approval that the address names.
#[server(input = Json)]
pub async fn load_inbox(
    org: String,
    filter: ApprovalFilter,
    selected: Option<ApprovalId>,
) -> Result<InboxPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let inbox = service::inbox(&cx.grant()?, &filter).await?;
    let selected = match selected {
        Some(id) => Some(service::show(&cx.grant()?, id).await?),
        None => None,
    };
    let workflows = agentflow::workflows::service::list(&cx.grant()?).await?;
    Ok(InboxPage { inbox, selected, workflows: workflows.into_iter().map(|it| (it.id, it.name)).collect() })
}

/// What waits and what was decided, again.
#[server(input = Json)]
pub async fn read_inbox(org: String, filter: ApprovalFilter) -> Result<Inbox, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::inbox(&cx.grant()?, &filter).await?)
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
