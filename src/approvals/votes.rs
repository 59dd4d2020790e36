//! Gates that need several: each yes is a vote for one payload, and the last one that is needed decides.

use serde_json::Value;

use super::{
    Approval, Verdict,
    store::{self, Viewer},
    words::in_a_row,
};
use crate::{
    db::TenantTx,
    engine::journal::{Event, LogLevel},
    kernel::{Error, Result, Timestamp},
};

/// What became of a yes.
pub(super) struct Cast {
    /// What the journal says of it.
    pub events: Vec<Event>,
    /// The names of all who agreed, once they are enough.
    pub decided_by: Option<String>,
}

/// Somebody says yes, perhaps to something else than was proposed: then that is what all are asked about from now on, and
/// who agreed before is asked again. Under the run's lock.
pub(super) async fn cast(
    tx: &mut TenantTx,
    viewer: &Viewer,
    approval: &Approval,
    name: &str,
    edited: Option<&Value>,
    now: Timestamp,
) -> Result<Cast> {
    let mut names: Vec<&str> = approval.rules.votes.iter().map(|vote| vote.by.as_str()).collect();
    let mut events = Vec::new();
    if let Some(payload) = edited {
        store::votes::replace_proposal(tx, approval.id, payload).await?;
        let again = match names.as_slice() {
            [] => String::new(),
            names => format!(" Asked again: {}.", in_a_row(names)),
        };
        events.push(line(approval, format!("{name} changed the proposal.{again}")));
        names.clear();
    }
    store::votes::insert(tx, viewer, approval.id, name, now).await?;
    names.push(name);
    let (votes, quorum) = (names.len() as u32, approval.rules.quorum);
    events.push(voted(approval, name, false, votes));
    if votes >= quorum {
        return Ok(Cast { events, decided_by: Some(in_a_row(&names)) });
    }
    events.push(line(approval, format!("{name} approved: {votes} of {quorum}.")));
    Ok(Cast { events, decided_by: None })
}

/// What the journal says of a yes that is taken back.
pub(super) fn taken_back(approval: &Approval, name: &str) -> [Event; 2] {
    let left = (approval.rules.votes.len() as u32).saturating_sub(1);
    let words = format!("{name} took the approval back: {left} of {}.", approval.rules.quorum);
    [voted(approval, name, true, left), line(approval, words)]
}

/// The answer to somebody who has said yes already: the same again is the same; anything else comes after taking it back.
pub(super) fn repeated(approval: Approval, verdict: &Verdict) -> Result<Approval> {
    match verdict {
        Verdict::Approve { payload, .. } if payload.as_ref().is_none_or(|payload| *payload == approval.payload) => {
            Ok(approval)
        }
        _ => Err(Error::conflict(
            "approvals.voted",
            "You have said yes to this, and it waits for others. Take your yes back first.",
        )),
    }
}

/// A yes is for one payload: the one that it names by its hash, or sends along; where the proposal was changed, it must
/// do one of the two.
pub(super) fn check_hash(approval: &Approval, verdict: &Verdict, named: Option<&str>) -> Result<()> {
    let sent = matches!(verdict, Verdict::Approve { payload: Some(_), .. });
    match named.map(str::trim).filter(|named| !named.is_empty()) {
        Some(named) if !named.eq_ignore_ascii_case(&approval.payload_sha256) => Err(payload_changed()),
        None if approval.rules.proposal.is_some() && !sent => Err(payload_changed()),
        _ => Ok(()),
    }
}

/// Somebody else made something else of the proposal.
pub(super) fn payload_changed() -> Error {
    let message = "Somebody has changed the proposal meanwhile. Look at it again; a program names its payload_sha256.";
    Error::conflict("approvals.payload_changed", message)
}

/// What turns the proposal into what was approved, as a JSON Patch. Null where they are the same.
pub(super) fn edits(proposal: &Value, approved: &Value) -> Value {
    if proposal == approved {
        return Value::Null;
    }
    // A patch is a list of objects with texts: it always becomes a value.
    serde_json::to_value(json_patch::diff(proposal, approved)).unwrap_or_default()
}

fn voted(approval: &Approval, by: &str, taken_back: bool, votes: u32) -> Event {
    Event::ApprovalVoted {
        approval: approval.id,
        step: approval.step_id.clone(),
        by: by.to_owned(),
        taken_back,
        votes,
        quorum: approval.rules.quorum,
    }
}

fn line(approval: &Approval, message: String) -> Event {
    let step = Some(approval.step_id.clone());
    Event::Log { level: LogLevel::Info, step, message, fields: Value::Null }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edit_is_kept_as_what_differs() {
        let proposal = json!({ "to": "ana@example.com", "lines": [{ "sum": 40 }, { "sum": 2 }], "note": "x" });
        let approved = json!({ "to": "ana@example.com", "lines": [{ "sum": 41 }, { "sum": 2 }], "cc": "ben" });
        let patch = edits(&proposal, &approved);
        assert_eq!(edits(&proposal, &proposal), Value::Null);
        let mut again = proposal;
        let changes: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
        json_patch::patch(&mut again, &changes).unwrap();
        assert_eq!(again, approved);
        let paths: Vec<_> = patch.as_array().unwrap().iter().map(|change| change["path"].clone()).collect();
        assert!(paths.contains(&json!("/lines/0/sum")), "{paths:?}");
    }
}
