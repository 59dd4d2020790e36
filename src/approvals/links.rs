//! Links in messages: each leads one person to one approval, without signing in. Opening one decides nothing, however
//! often and by whomever it is opened: programs that look at mail open links too. Only the form on its page decides, once,
//! as that person and by all rules of the inbox. What needs a closer look is decided signed in.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    Approval, ApprovalKind, ApprovalState, Verdict, service,
    store::links::{self, Found},
};
use crate::{
    access::{Actor, Ctx, OrgRef},
    db::TenantTx,
    deps::Deps,
    kernel::{ApprovalId, Error, Kind, Result, UserId},
};

/// How long a link can be used. It ends with the approval's deadline before that.
const DAYS: i32 = 7;
/// The bytes of a secret as text.
const LENGTH: usize = 43;

/// What a link leads to.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The organization.
    pub org: OrgRef,
    /// Whose link it is, by name.
    pub person: String,
    /// What is asked, as that person sees it.
    pub approval: Approval,
    /// Whether the link has been used, and decides nothing any more.
    pub used: bool,
    /// Why it is not decided here. Nothing where it can be.
    pub elsewhere: Option<String>,
}

/// The secret of a new link. It stands in the message and nowhere else, and leads nowhere until it is [kept](keep).
#[must_use]
pub fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Makes a link for a person, in the transaction that writes the message which has its secret.
///
/// # Errors
/// When the database does not answer.
pub async fn keep(tx: &mut TenantTx, secret: &str, approval: ApprovalId, user: UserId) -> Result<()> {
    links::insert(tx, &digest(secret), approval, user, DAYS).await
}

/// What a link leads to. It changes nothing.
///
/// # Errors
/// `not_found` for a link that is none, or of somebody who has left; `approvals.link_expired`.
pub async fn open(deps: &Deps, secret: &str, request_id: &str) -> Result<Opened> {
    let (found, cx) = enter(deps, secret, request_id).await?;
    show(found, &cx).await
}

/// Decides by a link. `seen` is the hash of what was looked at.
///
/// # Errors
/// As [`open`] and [`service::decide`]; `conflict`, where the link was used, or it is decided elsewhere.
pub async fn decide(deps: &Deps, secret: &str, request_id: &str, verdict: &Verdict, seen: &str) -> Result<Opened> {
    let (found, cx) = enter(deps, secret, request_id).await?;
    let there = show(found, &cx).await?;
    if there.approval.state == ApprovalState::Pending {
        if there.used {
            let message = "This link has been used. Decide it in AgentFlow.";
            return Err(Error::conflict("approvals.link_used", message));
        }
        if let Some(why) = there.elsewhere {
            return Err(Error::conflict("approvals.needs_card", why));
        }
    }
    let id = there.approval.id;
    service::decide_on(&cx.grant()?, id, verdict, Some(seen)).await?;
    // What was decided before is not decided by the link, and is not taken back by it.
    if there.approval.state == ApprovalState::Pending {
        let mut tx = deps.db.tenant(cx.org_id()).await?;
        links::set_used(&mut tx, &digest(secret)).await?;
        tx.commit().await?;
        tracing::info!(organization = %cx.org_id(), approval = %id, by = cx.actor().reference(), "decided by a link");
    }
    open(deps, secret, request_id).await
}

/// Takes back what was decided by this link, while it does not act. What was decided signed in, and a yes that waits for
/// the others, is taken back there.
///
/// # Errors
/// As [`open`] and [`service::undo`]; `conflict`, where it is taken back elsewhere.
pub async fn undo(deps: &Deps, secret: &str, request_id: &str) -> Result<Opened> {
    let (found, cx) = enter(deps, secret, request_id).await?;
    let there = show(found, &cx).await?;
    if !there.used || there.approval.state == ApprovalState::Pending {
        let message = "This link has decided nothing that it could take back. Open the approval in AgentFlow.";
        return Err(Error::conflict("approvals.needs_card", message));
    }
    service::undo(&cx.grant()?, there.approval.id).await?;
    open(deps, secret, request_id).await
}

/// The person of a link, in its organization, with the role that they have now.
async fn enter(deps: &Deps, secret: &str, request_id: &str) -> Result<(Found, Ctx)> {
    let none = || Error::new(Kind::NotFound, "approvals.no_link", "There is no such link, or it has ended.");
    if secret.len() != LENGTH {
        return Err(none());
    }
    let found = links::find(&mut deps.db.identity().await?, &digest(secret)).await?.ok_or_else(none)?;
    let org = OrgRef { id: found.org, name: found.org_name.clone(), slug: found.slug.clone() };
    if found.expired {
        let message = "The time of this link is over. Open the approval in AgentFlow.";
        return Err(Error::new(Kind::NotFound, "approvals.link_expired", message));
    }
    let actor = Actor::User { id: found.user, name: found.name.clone() };
    let cx = Ctx::new(deps.clone(), actor, org, found.role, request_id.to_owned());
    Ok((found, cx))
}

async fn show(found: Found, cx: &Ctx) -> Result<Opened> {
    let approval = service::find(&cx.grant()?, found.approval).await?;
    let elsewhere = (approval.state == ApprovalState::Pending).then(|| elsewhere(&approval)).flatten();
    Ok(Opened { org: cx.org().clone(), person: found.name, approval, used: found.used, elsewhere })
}

/// Why an approval is not decided by a link, a sentence. Nothing where it can be.
fn elsewhere(approval: &Approval) -> Option<String> {
    let why = match approval.kind {
        _ if approval.voted => "You have said yes to this. It waits for the others.",
        _ if !approval.may_decide => return Some(approval.refusal.clone()),
        ApprovalKind::Question => "This is a question: it is answered in AgentFlow.",
        ApprovalKind::Failure => "A step has failed: what becomes of it is chosen in AgentFlow.",
        ApprovalKind::Tool => {
            "An agent chose exactly what would be done: it is looked at in AgentFlow and decided there."
        }
        ApprovalKind::Approval if !approval.reversible => {
            "What follows cannot be undone: it is decided in AgentFlow, by somebody who is signed in."
        }
        ApprovalKind::Approval if approval.rules.above_limit => {
            "It moves more money than is decided at a glance: it is decided in AgentFlow, by somebody who is signed in."
        }
        ApprovalKind::Approval if approval.rules.proposal.is_some() => {
            "The proposal was changed since: it is looked at in AgentFlow and decided there."
        }
        ApprovalKind::Approval => return None,
    };
    Some(why.to_owned())
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
