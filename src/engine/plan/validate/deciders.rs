//! What is wrong with who decides an approval, how many, and what the deadline does.

use super::{
    super::{Approval, MAX_PEOPLE, MAX_QUORUM, OnExpiry},
    Faults,
    kinds::{Reads, text_template},
};
use crate::{access::Permission, kernel::text};

pub(super) fn deciders(approval: &Approval, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let Approval { people, quorum, on_expiry, escalate_to, expires_s, .. } = approval;
    let path = reads.path;
    for (place, person) in people.iter().enumerate() {
        let field = format!("people.{place}");
        text_template(person, &field, reads, out);
        if !person.contains("{{") && !text::is_email(person.trim()) {
            let shown = text::shortened(person.trim(), 80);
            out.node(path, field, format!("“{shown}” is not an e-mail address, such as name@example.com."));
        }
    }
    if people.len() > MAX_PEOPLE {
        out.node(path, "people", format!("An approval can name {MAX_PEOPLE} people at most."));
    }
    if !(1..=MAX_QUORUM).contains(quorum) {
        out.node(path, "quorum", format!("Between 1 and {MAX_QUORUM} people can be made to agree."));
    } else if let Some(most) = named_alone(approval).filter(|most| *quorum as usize > *most) {
        let message = format!("{quorum} have to agree, and {most} may decide. Name more people, or a role.");
        out.node(path, "quorum", message);
    }
    match (on_expiry, escalate_to) {
        (OnExpiry::Escalate, _) if expires_s.is_none() => {
            out.node(path, "on_expiry", "Say by when: without a deadline it is never handed over.");
        }
        (OnExpiry::Escalate, Some(to)) if !to.may(Permission::Decide) => {
            let message = format!("A {} decides nothing, so choose “member” or a higher role.", to.as_str());
            out.node(path, "escalate_to", message);
        }
        (OnExpiry::Reject | OnExpiry::Approve, Some(_)) => {
            let message = "This says whom the deadline hands it over to, so say too that it does: “escalate”.";
            out.node(path, "escalate_to", message);
        }
        _ => {}
    }
}

/// How many may decide where named people alone do and all are written out; an expression may name several.
fn named_alone(approval: &Approval) -> Option<usize> {
    let people = &approval.people;
    let written_out = !people.is_empty() && people.iter().all(|person| !person.contains("{{"));
    if approval.role.is_some() || !written_out {
        return None;
    }
    let mut different: Vec<_> = people.iter().map(|person| person.trim().to_lowercase()).collect();
    different.sort_unstable();
    different.dedup();
    Some(different.len())
}
