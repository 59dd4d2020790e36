//! Where a person decides: approval nodes, tool calls that policy holds back, questions of agents.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Decider, mend::is_effort, nodes::prompt_of};
use crate::{
    access::Role,
    approvals::{Amount, ApprovalKind, Details},
    engine::{
        journal::{Event, LogLevel},
        machine::{Applied, Escalated, GateRules, Machine, NewApproval, Ruling},
        plan::{
            self, AgentSpec, BranchName, HTTP_TOOL, MAX_PEOPLE, MAX_QUORUM, Node, NodeKind, OnExpiry, ToolEffect,
            ToolSpec,
        },
        port::ToolRequest,
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::{ApprovalId, text},
};

/// The most characters of a title that a template may make.
const TITLE: usize = 200;
/// The most characters of a reason why.
const WHY: usize = 2_000;

impl Decider<'_> {
    /// An approval node asks.
    pub(super) fn ask(&mut self, id: &StepId, approval: &plan::Approval, filled: &Value) {
        let words = |field: &str| match filled.get(field) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let seconds = approval.expires_s.map(|seconds| seconds.min(366 * 86_400).cast_signed());
        let step_name = self.m.steps.get(id).map(|step| step.name.clone()).unwrap_or_default();
        let title = match words("title") {
            empty if empty.trim().is_empty() => step_name.clone(),
            title => text::shortened(title.trim(), TITLE),
        };
        let payload = filled.get("payload").cloned().unwrap_or_default();
        self.set_input(id, payload.clone());
        let details = match details(filled) {
            Ok(details) => Details { takes_changes: self.leads_on(id, &BranchName::changes()), ..details },
            Err(message) => {
                return self.fail(id, StepError::new(ErrorClass::BadInput, "approval.details", message));
            }
        };
        let people = match people(filled) {
            Ok(people) => people,
            Err(message) => return self.fail(id, StepError::new(ErrorClass::BadInput, "approval.people", message)),
        };
        let escalates = approval.on_expiry == OnExpiry::Escalate;
        let rules = GateRules {
            people,
            quorum: approval.quorum.clamp(1, MAX_QUORUM),
            not_own: approval.not_own,
            escalate: seconds.filter(|_| escalates).map(|again| (approval.escalate_to.unwrap_or(Role::Admin), again)),
        };
        self.open_gate(NewApproval {
            id: self.approval_id(id),
            step: id.clone(),
            kind: ApprovalKind::Approval,
            title,
            message: words("message"),
            payload,
            impact: words("impact"),
            reversible: approval.reversible,
            details,
            role: approval.role,
            requested_by: format!("{step_name}, started by {}", self.m.started_by),
            expires_at: seconds.map(|seconds| self.now + TimeDelta::seconds(seconds)),
            on_expiry: approval.on_expiry,
            rules,
        });
    }

    /// A tool call that a model chose is held back: by policy, or for a reason of its own.
    pub(super) fn ask_for_tool(
        &mut self,
        call: &StepId,
        spec: &AgentSpec,
        tool: &ToolSpec,
        request: &ToolRequest,
        reason: Option<&str>,
    ) {
        let message =
            reason.map_or_else(|| tool.description.clone(), |reason| format!("{reason} {}", tool.description));
        self.open_gate(NewApproval {
            id: self.approval_id(call),
            step: call.clone(),
            kind: ApprovalKind::Tool,
            title: format!("{} wants to use {}", spec.name, tool.name),
            message,
            payload: request.arguments.clone(),
            impact: impact(tool.effect).to_owned(),
            reversible: tool.effect == ToolEffect::Read,
            details: Details { why: self.words_before(call), takes_changes: true, ..Details::default() },
            role: None,
            requested_by: format!("{} (agent, version {}), started by {}", spec.name, spec.version, self.m.started_by),
            expires_at: None,
            on_expiry: OnExpiry::Reject,
            rules: GateRules::default(),
        });
    }

    /// A node that needs a person's word before it begins.
    pub(super) fn ask_before(&mut self, id: &StepId, node: &Node, value: Value) {
        let payload = match &node.kind {
            NodeKind::Agent { history, memory_key, .. } if history.is_null() && memory_key.is_empty() => {
                json!({ "prompt": value })
            }
            _ => value,
        };
        let plan = self.plan.clone();
        let tool = match &node.kind {
            NodeKind::Tool { tool, .. } => plan.tools.get(tool),
            NodeKind::Http(_) => plan.tools.get(HTTP_TOOL),
            _ => None,
        };
        let title = match &node.kind {
            NodeKind::Agent { agent, .. } => {
                let name = self.plan.agents.get(agent).map_or(agent.as_str(), |spec| spec.name.as_str());
                format!("Let {name} begin: {}", node.label())
            }
            NodeKind::Tool { tool, .. } => format!("Use {tool}: {}", node.label()),
            NodeKind::Http(http) => {
                let url = payload.get("url").and_then(Value::as_str).unwrap_or_default();
                format!("{} {url}", http.method)
            }
            _ => format!("Begin: {}", node.label()),
        };
        let effect = tool.map_or(ToolEffect::Write, |tool| tool.effect);
        self.set_input(id, payload.clone());
        self.open_gate(NewApproval {
            id: self.approval_id(id),
            step: id.clone(),
            kind: ApprovalKind::Tool,
            title: text::shortened(&title, TITLE),
            message: tool.map(|tool| tool.description.clone()).unwrap_or_default(),
            payload,
            impact: impact(effect).to_owned(),
            reversible: effect == ToolEffect::Read,
            details: Details::default(),
            role: None,
            requested_by: format!("{}, started by {}", node.label(), self.m.started_by),
            expires_at: None,
            on_expiry: OnExpiry::Reject,
            rules: GateRules::default(),
        });
    }

    /// An agent asks a person; the answer is the tool's result.
    pub(super) fn ask_question(&mut self, call: &StepId, question: &str) {
        let agent = call.parent().and_then(|agent| self.m.steps.get(&agent)).map(|step| step.name.clone());
        let who = agent.unwrap_or_else(|| "A step".to_owned());
        self.open_gate(NewApproval {
            id: self.approval_id(call),
            step: call.clone(),
            kind: ApprovalKind::Question,
            title: text::shortened(question, TITLE),
            message: question.to_owned(),
            payload: json!({ "question": question }),
            impact: "The answer goes back to the agent.".to_owned(),
            reversible: true,
            details: Details::default(),
            role: None,
            requested_by: format!("{who}, started by {}", self.m.started_by),
            expires_at: None,
            on_expiry: OnExpiry::Reject,
            rules: GateRules::default(),
        });
    }

    /// What the model said when it asked for this call.
    fn words_before(&self, call: &StepId) -> String {
        let agent = call.parent();
        let turns = self.m.steps.values().filter(|step| step.kind == StepKind::Model && step.id.parent() == agent);
        let last = turns.max_by_key(|step| step.ordinal).and_then(|step| step.output.as_ref());
        let words = last.and_then(|answer| answer.get("text")).and_then(Value::as_str).unwrap_or_default();
        text::shortened(words.trim(), WHY)
    }

    /// The approval of a step: made of the run and the step, so that a step that asks again after a crash asks the same.
    pub(super) fn approval_id(&self, step: &StepId) -> ApprovalId {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("approval {}/{step}", self.m.run).as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        // Version 8, custom, and the usual variant.
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        ApprovalId::from_uuid(uuid::Uuid::from_bytes(bytes))
    }

    pub(super) fn open_gate(&mut self, approval: NewApproval) {
        let Some(step) = self.m.steps.get_mut(&approval.step) else { return };
        step.state = StepState::Waiting;
        step.wake_at = approval.expires_at;
        step.detail.approval = Some(approval.id);
        let waiting = Event::StepWaiting {
            step: step.head(),
            attempt: step.attempt,
            until: approval.expires_at,
            approval: Some(approval.id),
            lock: None,
        };
        self.turn.events.push(waiting);
        self.turn.events.push(Event::ApprovalRequested {
            approval: approval.id,
            step: approval.step.clone(),
            title: approval.title.clone(),
        });
        self.turn.log(LogLevel::Info, Some(&approval.step), format!("Waits for a person: {}", approval.title));
        self.touch(&approval.step);
        self.turn.approvals.push(approval);
    }

    /// A deadline has handed an approval over. It is said at every look, so that a lost owner's successor hears of it; what
    /// is known already changes nothing.
    pub(super) fn escalated(&mut self, escalation: &Escalated) {
        let Escalated { id, step: step_id, to, until } = escalation;
        if self.m.is_held() || self.m.state.is_end() {
            return;
        }
        let Some(step) = self.m.steps.get_mut(step_id) else { return };
        if step.state != StepState::Waiting || step.detail.approval != Some(*id) || step.wake_at == Some(*until) {
            return;
        }
        step.wake_at = Some(*until);
        self.turn.events.push(Event::ApprovalEscalated {
            approval: *id,
            step: step_id.clone(),
            to: *to,
            until: *until,
        });
        let line = format!("Nobody decided before the deadline. From now on {} decide.", to.and_above());
        self.turn.log(LogLevel::Warn, Some(step_id), line);
        self.touch(step_id);
    }

    /// A decision has begun to act, or a deadline has passed.
    pub(super) fn decided(&mut self, applied: Applied) {
        // It is read again when the run goes on.
        if self.m.is_held() {
            return;
        }
        let id = applied.step.clone();
        let waits = self
            .m
            .steps
            .get(&id)
            .filter(|step| step.waits_for_person() && step.detail.approval == Some(applied.id))
            .is_some_and(|_| !self.m.evaluating.contains_key(&id));
        if !waits || self.m.state.is_end() {
            return;
        }
        // A deadline that was acted upon is the step's no more, whatever follows: it is told once, also by a successor.
        let deadline = self.m.steps.get_mut(&id).and_then(|step| step.wake_at.take());
        self.touch(&id);
        if applied.expired && deadline.is_some() {
            self.turn.events.push(Event::ApprovalDecided {
                approval: applied.id,
                step: id.clone(),
                decision: "expired".to_owned(),
                by: applied.by.clone(),
                effective_at: self.now,
                edits: Value::Null,
            });
        }
        let verb = match (is_effort(&id), applied.ruling) {
            (true, Ruling::Approved) => "wants it tried again",
            (true, Ruling::Rejected) => "lets it fail",
            (_, ruling) => verb(ruling),
        };
        let mut line = format!("{} {verb}.", applied.by);
        if let Some(reason) = applied.reason.as_ref().filter(|reason| !reason.is_empty()) {
            line = format!("{} {verb}: {reason}", applied.by);
        }
        self.turn.log(LogLevel::Info, Some(&id), line);
        let Some(step) = self.m.steps.get(&id) else { return };
        let approved = applied.ruling == Ruling::Approved;
        match (step.kind, step.attempt) {
            _ if is_effort(&id) && step.kind == StepKind::Approval => self.what_now(&id, applied),
            (StepKind::Approval, _) => self.approval_decided(&id, applied),
            // Not begun yet: the step itself was held back.
            (StepKind::Agent, 0) if approved => self.let_begin(&id, prompt_of(&applied.payload)),
            (_, 0) if approved => self.let_begin(&id, applied.payload),
            (_, attempt) if attempt > 0 && approved => {
                self.succeed(&id, json!({ "answer": applied.reason.unwrap_or_default() }));
            }
            _ => self.fail(&id, rejection(&applied)),
        }
    }

    /// A step that a person held back begins, with what they approved.
    fn let_begin(&mut self, id: &StepId, payload: Value) {
        let plan = self.plan.clone();
        let own = self.m.steps.get(id).is_some_and(Machine::is_of_node);
        match Machine::node_of(&plan, id).filter(|_| own) {
            Some(node) => self.work(id, node, 0, payload),
            None => self.do_work(id, payload),
        }
    }

    fn approval_decided(&mut self, id: &StepId, applied: Applied) {
        let branch = match applied.ruling {
            Ruling::Approved => BranchName::approved(),
            Ruling::Rejected => BranchName::rejected(),
            Ruling::ChangesRequested => BranchName::changes(),
            // Only a failed step is gone on without.
            Ruling::Skipped => return,
        };
        if applied.ruling != Ruling::Approved && !self.leads_on(id, &branch) {
            return self.fail(id, rejection(&applied));
        }
        let output = json!({
            "decision": branch, "payload": applied.payload, "by": applied.by, "reason": applied.reason,
        });
        if let Some(step) = self.m.steps.get_mut(id) {
            step.detail.about = Some(match applied.ruling {
                Ruling::ChangesRequested => format!("{} asked for changes", applied.by),
                Ruling::Approved | Ruling::Rejected | Ruling::Skipped => format!("{branch} by {}", applied.by),
            });
            step.detail.branch = Some(branch);
        }
        self.succeed(id, output);
    }

    /// Whether some node runs after this branch of the step's node.
    fn leads_on(&self, id: &StepId, branch: &BranchName) -> bool {
        let Some(nodes) = self.m.frame(&self.plan, id.parent().as_ref()) else { return false };
        let ports = nodes.iter().flat_map(|node| &node.after);
        let key = id.key();
        ports.into_iter().any(|port| port.node.as_str() == key && port.branch.as_ref() == Some(branch))
    }
}

/// What a template gave about an approval besides its texts and its proposal.
fn details(filled: &Value) -> Result<Details, String> {
    let text = |field: &str| filled.get(field).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    let given = |field: &str| filled.get(field).filter(|value| !matches!(value, Value::Null) && **value != "");
    let confidence = match given("confidence") {
        None => None,
        Some(value) => {
            let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            let number = number.filter(|number| (0.0..=1.0).contains(number));
            Some(number.ok_or_else(|| format!("The confidence must be a number from 0 to 1, and is {value}."))?)
        }
    };
    let reversible_until = match text("reversible_until") {
        "" => None,
        moment => Some(moment.parse().map_err(|_| {
            format!("“{moment}” is not a moment such as 2026-12-01T09:00:00Z, until when this could be undone.")
        })?),
    };
    Ok(Details {
        amount: Amount::read(filled.get("amount").unwrap_or(&Value::Null), text("currency"))?,
        why: text::shortened(text("why"), WHY),
        confidence,
        reversible_until,
        takes_changes: false,
    })
}

/// The people that templates gave: each a text, or a list of texts.
fn people(filled: &Value) -> Result<Vec<String>, String> {
    let given = filled.get("people").and_then(Value::as_array).into_iter().flatten();
    let each = given.flat_map(|entry| match entry {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    });
    let mut people = Vec::new();
    for entry in each {
        let address = match entry {
            Value::Null => continue,
            Value::String(text) => text.trim().to_lowercase(),
            other => return Err(format!("Those who may decide are named by their e-mail addresses, not by {other}.")),
        };
        if !address.is_empty() && !text::is_email(&address) {
            let address = text::shortened(&address, 80);
            return Err(format!("“{address}”, who is to decide, is not an e-mail address."));
        }
        if !address.is_empty() && !people.contains(&address) {
            people.push(address);
        }
    }
    if people.len() > MAX_PEOPLE {
        return Err(format!("An approval can name {MAX_PEOPLE} people at most, and names {}.", people.len()));
    }
    Ok(people)
}

const fn impact(effect: ToolEffect) -> &'static str {
    match effect {
        ToolEffect::Read => "Changes nothing.",
        ToolEffect::Write => "Changes something outside of AgentFlow, or sends something out.",
        ToolEffect::Destructive => "Takes something away that cannot be brought back.",
    }
}

/// What was decided, to say who did it.
const fn verb(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Approved => "approved",
        Ruling::Rejected => "rejected",
        Ruling::ChangesRequested => "asked for changes",
        Ruling::Skipped => "gave an output to go on with",
    }
}

fn rejection(applied: &Applied) -> StepError {
    let reason = applied.reason.as_deref().filter(|reason| !reason.is_empty());
    let message = match (applied.expired, reason) {
        (true, _) => "Nobody decided before the deadline, which counts as a no.".to_owned(),
        (false, Some(reason)) if applied.ruling == Ruling::ChangesRequested => {
            format!("{} did not let this pass, and asks for changes: {reason}", applied.by)
        }
        (false, Some(reason)) => format!("{} rejected this: {reason}", applied.by),
        (false, None) => format!("{} rejected this.", applied.by),
    };
    StepError::new(ErrorClass::Rejected, "approval.rejected", message)
}
