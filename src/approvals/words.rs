//! What an approval says of who decides it, in words for the person who looks.

use super::{Approval, ApprovalState};
use crate::access::Role;

/// The approval with its words.
pub(super) fn spoken(approval: Approval) -> Approval {
    let (then, refusal, notes) = (then(&approval), refusal(&approval), notes(&approval));
    Approval { then, refusal, notes, ..approval }
}

/// Names in a row: “Ana, Ben and Cleo”.
pub(super) fn in_a_row(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn then(approval: &Approval) -> String {
    match approval.on_expiry.as_str() {
        "approve" => "counts as approved".to_owned(),
        "escalate" => format!("goes to {}", approval.rules.escalates_to.unwrap_or(Role::Admin).and_above()),
        _ => "counts as rejected".to_owned(),
    }
}

fn refusal(approval: &Approval) -> String {
    if approval.state != ApprovalState::Pending || approval.may_decide || approval.voted {
        return String::new();
    }
    let role = match approval.decider_role {
        Some(Role::Owner) => "an owner",
        Some(Role::Admin) => "an admin or owner",
        Some(Role::Member | Role::Viewer) | None => "a member, admin or owner",
    };
    let who = match approval.deciders.as_slice() {
        [] => format!("Nobody else in this organization can at the moment: it needs {role}."),
        [one] => format!("Ask {one}."),
        names => format!("Ask one of them: {}.", names.join(", ")),
    };
    let why = if approval.rules.is_own {
        "You started this run, so somebody else decides."
    } else {
        "You cannot decide this."
    };
    format!("{why} {who}")
}

fn notes(approval: &Approval) -> Vec<String> {
    let rules = &approval.rules;
    let mut notes = Vec::new();
    if approval.state != ApprovalState::Pending {
        return notes;
    }
    let hands = &approval.hands;
    if let Some(name) = &hands.assigned_to {
        notes.push(match (hands.assigned_to_me, hands.assigned_by.as_str()) {
            (true, by) if by == name => "You have taken this on.".to_owned(),
            (true, by) => format!("{by} asked you to decide this."),
            (false, by) if by == name => format!("{name} has taken this on. Others who may decide it still can."),
            (false, by) => format!("{by} asked {name} to decide this. Others who may decide it still can."),
        });
    }
    if rules.quorum > 1 {
        let names: Vec<_> = rules.votes.iter().map(|vote| vote.by.as_str()).collect();
        let by = if names.is_empty() { String::new() } else { format!(": {}", in_a_row(&names)) };
        notes.push(format!("{} of {} approvals{by}.", names.len(), rules.quorum));
    }
    if rules.proposal.is_some() {
        notes.push("The proposal was changed. Approvals count for what it is now.".to_owned());
    }
    if !rules.people.is_empty() {
        let people: Vec<_> = rules.people.iter().map(String::as_str).collect();
        let or = approval.decider_role.map_or_else(String::new, |role| format!(", or {}", role.and_above()));
        notes.push(format!("Named to decide: {}{or}.", in_a_row(&people)));
    }
    if rules.owners_step_in {
        let who = if rules.quorum > 1 { "Too few" } else { "None" };
        notes.push(format!("{who} of the people named can decide here, so owners may."));
    }
    if rules.not_own {
        notes.push("Whoever started the run may not decide.".to_owned());
    }
    if rules.escalated_at.is_some() {
        let to = approval.decider_role.unwrap_or(Role::Admin).and_above();
        notes.push(format!("Nobody decided before the first deadline, so it has gone to {to}."));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::in_a_row;

    #[test]
    fn names_stand_in_a_row() {
        assert_eq!(in_a_row(&["Ana"]), "Ana");
        assert_eq!(in_a_row(&["Ana", "Ben", "Cleo"]), "Ana, Ben and Cleo");
    }
}
