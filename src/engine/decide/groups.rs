//! Groups: a map's items, a loop's rounds, and workflows inside of a run.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Decider, locks::expired, nodes::truthy};
use crate::{
    engine::{
        journal::{Event, LogLevel},
        machine::{Detail, Machine, MapProgress},
        plan::{MAX_ITEMS, Node, NodeKind},
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::text,
};

impl Decider<'_> {
    /// A step that others nest in begins its work.
    pub(super) fn begin_group(&mut self, id: &StepId) {
        let limit = self.seconds_of(id, Machine::node_of(&self.plan, id).and_then(|node| node.timeout_s));
        let lock = self.own_lock(id);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Running;
        step.attempt = step.attempt.max(1);
        // A deadline stands from the beginning; a group begun anew has what is left of it. The wait for locks does not
        // count, and their time is a deadline too.
        let from = lock.map_or(step.queued_at, |grant| grant.since.max(step.queued_at));
        let own = limit.map(|seconds| from + TimeDelta::seconds(seconds.min(86_400 * 366).cast_signed()));
        step.wake_at = own.into_iter().chain(lock.map(|grant| grant.until)).min();
        let event = Event::StepStarted { step: step.head(), attempt: step.attempt };
        self.turn.events.push(event);
        self.touch(id);
    }

    /// A group, or an agent, that its node gives a time has it from when it became ready.
    pub(super) fn set_deadline(&mut self, id: &StepId) {
        let limit = self.seconds_of(id, Machine::node_of(&self.plan, id).and_then(|node| node.timeout_s));
        let Some(step) = self.m.steps.get_mut(id) else { return };
        if step.kind == StepKind::Agent || step.kind.is_group() {
            let time = |seconds: u64| TimeDelta::seconds(seconds.min(86_400 * 366).cast_signed());
            step.wake_at = limit.map(|seconds| step.queued_at + time(seconds));
        }
    }

    /// A group, or an agent, has not ended within the time that its node allows.
    pub(super) fn late_group(&mut self, id: &StepId) {
        let of_node = Machine::node_of(&self.plan, id).and_then(|node| node.timeout_s);
        let of_agent = self.seconds_of(id, None);
        let Some(step) = self.m.steps.get(id) else { return };
        let message = match of_agent.filter(|seconds| of_node.is_none_or(|node| *seconds <= node)) {
            Some(seconds) => {
                let (name, time) = (&step.name, text::duration(seconds.saturating_mul(1_000).cast_signed()));
                format!("{name} did not finish within the {time} that its agent has for a task.")
            }
            None => format!("{} did not finish within the time that its step allows.", step.name),
        };
        let code = format!("{}.timeout", step.kind);
        let lock_is_over = self.own_lock(id).is_some() && self.lock_is_over(id);
        self.stop_below(id);
        let late = || StepError::new(ErrorClass::Timeout, code, message);
        self.fail(id, if lock_is_over { expired() } else { late() });
    }

    pub(super) fn begin_map(&mut self, id: &StepId, value: Value) {
        let Value::Array(items) = value else {
            let message = "The items of a map must be a list. Check the expression of “items”.";
            return self.fail(id, StepError::new(ErrorClass::BadInput, "map.not_a_list", message));
        };
        if items.len() > MAX_ITEMS {
            let message = format!("The list has {} items; a map works on {MAX_ITEMS} at most.", items.len());
            return self.fail(id, StepError::new(ErrorClass::BadInput, "map.too_many_items", message));
        }
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.detail.count = Some(items.len());
        step.detail.about = Some(match items.len() {
            1 => "1 item".to_owned(),
            count => format!("{count} items"),
        });
        step.input = Some(Value::Array(items));
        self.begin_group(id);
        self.map_advance(id);
    }

    /// Starts items up to the map's concurrency; ends the map when all have ended.
    pub(super) fn map_advance(&mut self, id: &StepId) {
        let plan = self.plan.clone();
        let Some(NodeKind::Map { concurrency, .. }) = Machine::node_of(&plan, id).map(|node| &node.kind) else {
            return;
        };
        while !self.m.is_held() {
            let Some(map) = self.m.steps.get(id).filter(|step| step.state == StepState::Running) else { return };
            if map.detail.mending {
                return;
            }
            let count = map.detail.count.unwrap_or_default();
            let MapProgress { next, open, .. } = self.map_progress(id, count);
            if next >= count {
                if open == 0 {
                    self.end_map(id, count);
                }
                return;
            }
            if open >= (*concurrency).max(1) as usize {
                return;
            }
            self.start_item(id, next);
        }
    }

    /// How far a map is: counted once after loading, then kept up.
    fn map_progress(&mut self, id: &StepId, count: usize) -> MapProgress {
        if let Some(progress) = self.m.maps.get(id) {
            return *progress;
        }
        let mut progress = MapProgress { next: 0, open: 0, failed: 0 };
        while let Some(item) = self.m.steps.get(&id.child(progress.next)).filter(|_| progress.next < count) {
            progress.next += 1;
            progress.open += usize::from(!item.state.is_end());
            progress.failed += u32::from(item.state == StepState::Failed);
        }
        self.m.maps.insert(id.clone(), progress);
        progress
    }

    fn start_item(&mut self, map: &StepId, place: usize) {
        let Some(step) = self.m.steps.get(map) else { return };
        let item = step.input.as_ref().and_then(|items| items.get(place)).cloned().unwrap_or_default();
        let node = step.node.clone();
        if let Some(progress) = self.m.maps.get_mut(map) {
            progress.next += 1;
            progress.open += 1;
        }
        let detail = Detail { about: item_about(&item), count: Some(place), ..Detail::default() };
        self.start_part(map.child(place), &node, StepKind::Item, format!("Item {}", place + 1), item, detail);
    }

    /// One item or round begins.
    fn start_part(&mut self, id: StepId, node: &str, kind: StepKind, name: String, input: Value, detail: Detail) {
        let step = self.open_step(id.clone(), node, kind, &name, detail);
        step.state = StepState::Running;
        step.attempt = 1;
        step.input = Some(input);
        let event = Event::StepStarted { step: step.head(), attempt: 1 };
        self.turn.events.push(event);
        self.touch(&id);
        self.advance(Some(&id));
    }

    /// Each node inside of an item, round or workflow has ended.
    pub(super) fn end_frame(&mut self, owner: &StepId, nodes: &[Node]) {
        if self.m.evaluating.contains_key(owner) {
            return;
        }
        let plan = self.plan.clone();
        match Machine::node_of(&plan, owner).map(|node| &node.kind) {
            Some(NodeKind::Map { result, .. }) if !result.is_null() => {
                self.fill_in(owner, result.clone(), 0, Some(owner));
            }
            Some(NodeKind::Loop { result, .. }) if !result.is_null() => {
                self.fill_in(owner, result.clone(), 0, Some(owner));
            }
            Some(NodeKind::Map { .. } | NodeKind::Loop { .. }) => {
                let last = nodes.iter().rev().find_map(|node| {
                    let step = self.m.steps.get(&Self::path(Some(owner), node))?;
                    (step.state == StepState::Succeeded).then(|| step.output.clone())
                });
                self.part_done(owner, last.flatten().unwrap_or_default());
            }
            _ => {
                let output = self.output_of(Some(owner), nodes);
                self.succeed(owner, output);
            }
        }
    }

    /// An item or a round has its result. Of a round it is asked then whether it was the last.
    pub(super) fn part_done(&mut self, part: &StepId, result: Value) {
        let plan = self.plan.clone();
        match Machine::node_of(&plan, part).map(|node| &node.kind) {
            Some(NodeKind::Loop { until, .. }) => {
                let template = Value::String(until.clone());
                let mut scope = self.scope(&template, Some(part));
                scope["result"] = result.clone();
                if let Some(step) = self.m.steps.get_mut(part) {
                    step.output = Some(result);
                }
                self.ask_expressions(part, template, scope, 1);
            }
            _ => self.succeed(part, result),
        }
    }

    pub(super) fn item_ended(&mut self, map: &StepId, item: &StepId, state: StepState, error: Option<StepError>) {
        let plan = self.plan.clone();
        let tolerated = match Machine::node_of(&plan, map).map(|node| &node.kind) {
            Some(NodeKind::Map { max_failures, .. }) => *max_failures,
            _ => 0,
        };
        let failed = error.filter(|_| state == StepState::Failed);
        let mut failures = 0;
        if let Some(progress) = self.m.maps.get_mut(map) {
            progress.open = progress.open.saturating_sub(1);
            progress.failed += u32::from(failed.is_some());
            failures = progress.failed;
        }
        match failed.filter(|_| failures > tolerated) {
            Some(mut error) => {
                error.caused_by.get_or_insert_with(|| item.clone());
                self.stop_below(map);
                self.fail(map, error);
            }
            None => self.map_advance(map),
        }
    }

    fn end_map(&mut self, id: &StepId, count: usize) {
        let results = (0..count)
            .map(|place| self.m.steps.get(&id.child(place)).and_then(|item| item.output.clone()).unwrap_or_default())
            .collect();
        let failed = self.m.maps.get(id).map_or(0, |progress| progress.failed);
        let words = if failed == 0 {
            format!("All {count} items are done.")
        } else {
            if let Some(step) = self.m.steps.get_mut(id) {
                step.detail.about = Some(format!("{count} items, {failed} failed"));
            }
            format!("{failed} of {count} items failed; the others are done.")
        };
        self.turn.log(LogLevel::Info, Some(id), words);
        self.succeed(id, Value::Array(results));
    }

    pub(super) fn begin_loop(&mut self, id: &StepId) {
        let plan = self.plan.clone();
        let Some(NodeKind::Loop { max, .. }) = Machine::node_of(&plan, id).map(|node| &node.kind) else { return };
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.input = Some(Value::Null);
        step.detail.count = Some(*max as usize);
        step.detail.about = Some(format!("at most {max} rounds"));
        self.begin_group(id);
        self.loop_advance(id);
    }

    /// Starts the next round, or ends the loop.
    pub(super) fn loop_advance(&mut self, id: &StepId) {
        let Some(step) = self.m.steps.get(id).filter(|step| step.state == StepState::Running) else { return };
        if self.m.is_held() || step.detail.mending {
            return;
        }
        let most = step.detail.count.unwrap_or_default();
        let node = step.node.clone();
        let done = (0..).take_while(|place| self.m.steps.contains_key(&id.child(place))).count();
        let last = done.checked_sub(1).and_then(|place| self.m.steps.get(&id.child(place)));
        let (ended, is_last, result) = match last {
            None => (true, false, Value::Null),
            Some(round) => (round.state.is_end(), round.detail.done, round.output.clone().unwrap_or_default()),
        };
        if !ended {
            return;
        }
        if is_last {
            if let Some(step) = self.m.steps.get_mut(id) {
                step.detail.about = Some(if done == 1 { "1 round".to_owned() } else { format!("{done} rounds") });
            }
            return self.succeed(id, result);
        }
        if done >= most {
            let message = format!(
                "The loop went round {done} times, which is the most allowed, and its condition does not hold yet."
            );
            return self.fail(id, StepError::new(ErrorClass::Budget, "loop.max", message));
        }
        let detail = Detail { count: Some(done), ..Detail::default() };
        self.start_part(id.child(done), &node, StepKind::Round, format!("Round {}", done + 1), result, detail);
    }

    /// It was asked whether a round was the last.
    pub(super) fn round_judged(&mut self, round: &StepId, value: &Value) {
        let Some(step) = self.m.steps.get_mut(round) else { return };
        step.detail.done = truthy(value);
        if step.detail.done {
            step.detail.about = Some("the condition holds".to_owned());
        }
        let result = step.output.take().unwrap_or_default();
        self.succeed(round, result);
    }

    pub(super) fn round_ended(&mut self, id: &StepId, round: &StepId, state: StepState, error: Option<StepError>) {
        match error.filter(|_| state == StepState::Failed) {
            Some(mut error) => {
                error.caused_by.get_or_insert_with(|| round.clone());
                self.fail(id, error);
            }
            None => self.loop_advance(id),
        }
    }

    pub(super) fn begin_workflow(&mut self, id: &StepId, input: Value) {
        if self.m.frame(&self.plan, Some(id)).is_none() {
            let message = "The workflow of this step is not part of the run's plan.";
            return self.fail(id, StepError::new(ErrorClass::Internal, "engine.no_workflow", message));
        }
        let input = if input.is_null() { json!({}) } else { input };
        self.set_input(id, input);
        self.begin_group(id);
        self.advance(Some(id));
    }
}

/// An item in a few words, for the tree.
fn item_about(item: &Value) -> Option<String> {
    let text = match item {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(fields) => ["name", "title", "url", "id"]
            .iter()
            .find_map(|key| fields.get(*key).and_then(Value::as_str))
            .map(str::to_owned)?,
        _ => return None,
    };
    Some(crate::kernel::text::shortened(&text, 80))
}
