//! How each kind of node starts, and what its filled-in templates lead to.

use serde_json::{Map, Value, json};

use super::Decider;
use crate::{
    engine::{
        journal::{Event, LogLevel},
        machine::{Detail, Effect, Machine, MapProgress},
        plan::{MAX_ITEMS, Node, NodeKind, template},
        port::Evaluation,
        retry,
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::Timestamp,
};

impl Decider<'_> {
    pub(super) fn kind_of(node: &Node) -> StepKind {
        match node.kind {
            NodeKind::Start => StepKind::Start,
            NodeKind::Agent { .. } => StepKind::Agent,
            NodeKind::Tool { .. } => StepKind::Tool,
            NodeKind::Transform { .. } => StepKind::Transform,
            NodeKind::Decision { .. } => StepKind::Decision,
            NodeKind::Approval(_) => StepKind::Approval,
            NodeKind::Map { .. } => StepKind::Map,
            NodeKind::Wait { .. } => StepKind::Wait,
            NodeKind::End { .. } => StepKind::End,
        }
    }

    /// All that a node needs is there: make its step and fill in its templates.
    pub(super) fn start_node(&mut self, owner: Option<&StepId>, node: &Node) {
        let id = Self::path(owner, node);
        let about = match &node.kind {
            NodeKind::Tool { tool, .. } => Some(tool.clone()),
            NodeKind::Agent { agent, .. } => self.plan.agents.get(agent).map(|spec| spec.name.clone()),
            _ => None,
        };
        let detail = Detail { about, ..Detail::default() };
        self.open_step(id.clone(), node.id.as_str(), Self::kind_of(node), node.label(), detail);
        if matches!(node.kind, NodeKind::Start) {
            let input = self.m.input.clone();
            self.succeed(&id, input);
        } else {
            self.evaluate(&id, node, 0);
        }
    }

    /// The templates of a node as one value; a decision's conditions one at a time, so that a later one may rely on an
    /// earlier one being false.
    fn template_of(node: &Node, place: usize) -> Option<Value> {
        Some(match &node.kind {
            NodeKind::Start => return None,
            NodeKind::Agent { prompt, .. } => Value::String(prompt.clone()),
            NodeKind::Tool { arguments, .. } => arguments.clone(),
            NodeKind::Transform { value } => value.clone(),
            NodeKind::Decision { branches, .. } => Value::String(branches.get(place)?.when.clone()),
            NodeKind::Approval(approval) => json!({
                "title": approval.title, "message": approval.message,
                "payload": approval.payload, "impact": approval.impact, "amount": approval.amount,
                "currency": approval.currency, "why": approval.why, "confidence": approval.confidence,
                "reversible_until": approval.reversible_until,
            }),
            NodeKind::Map { items, .. } => Value::String(items.clone()),
            NodeKind::Wait { seconds, until } => json!({ "seconds": seconds, "until": until }),
            NodeKind::End { output } => output.clone(),
        })
    }

    fn evaluate(&mut self, id: &StepId, node: &Node, place: usize) {
        let template = Self::template_of(node, place).unwrap_or_default();
        self.fill_in(id, template, place, id.parent().as_ref());
    }

    /// Asks for a template to be filled in, as seen from inside of a frame.
    pub(super) fn fill_in(&mut self, id: &StepId, template: Value, place: usize, frame: Option<&StepId>) {
        self.m.evaluating.insert(id.clone(), place);
        let scope = self.scope(&template, frame);
        let seed = retry::seed_of(id.as_str()) ^ (self.m.run.uuid().as_u128() as u64);
        let evaluation = Evaluation { template, scope, now: self.now, seed, org: self.m.org, run: self.m.run };
        self.turn.effects.push(Effect::Evaluate(id.clone(), Box::new(evaluation)));
    }

    /// What a template's expressions see. Of the steps only those that it names, so that a run's whole data is not
    /// copied for each.
    fn scope(&self, template: &Value, frame: Option<&StepId>) -> Value {
        let mut wanted = std::collections::BTreeSet::new();
        let mut all = false;
        template::for_each_text(template, &mut |text| {
            let read = template::steps_read(text);
            // `steps` used in another way than by name: all of them.
            all |= read.is_empty() && text.contains("{{") && text.contains("steps");
            wanted.extend(read);
        });
        let mut steps = Map::new();
        // Inner frames hide outer ones.
        let mut frames = vec![None];
        let mut inside = frame.cloned();
        let mut owners = Vec::new();
        while let Some(owner) = inside {
            inside = owner.parent();
            owners.push(owner);
        }
        frames.extend(owners.iter().rev().map(Some));
        for owner in frames {
            if all {
                let children = self.m.steps.values().filter(|step| step.id.parent().as_ref() == owner);
                wanted.extend(children.map(|step| step.id.key().to_owned()));
            }
            for key in &wanted {
                let id = owner.map_or_else(|| StepId::root(key), |owner| owner.child(key));
                if let Some(step) = self.m.steps.get(&id) {
                    steps.insert(
                        key.clone(),
                        json!({
                            "output": step.output, "state": step.state, "branch": step.detail.branch,
                            "error": step.error.as_ref().map(|error| &error.message),
                        }),
                    );
                }
            }
        }
        let mut scope = json!({
            "input": self.m.input, "steps": steps,
            "run": { "id": self.m.run, "started_by": self.m.started_by },
        });
        let item = owners.iter().find_map(|owner| self.m.steps.get(owner).filter(|step| step.kind == StepKind::Item));
        if let (Some(item), Some(fields)) = (item, scope.as_object_mut()) {
            fields.insert("item".to_owned(), item.input.clone().unwrap_or_default());
            fields.insert("index".to_owned(), json!(item.detail.count));
        }
        scope
    }

    /// Templates came back filled in: the node does what it is for.
    pub(super) fn evaluated(&mut self, id: &StepId, result: Result<Value, StepError>) {
        if self.m.draining {
            // It is filled in again by whoever goes on.
            self.m.evaluating.remove(id);
            return;
        }
        let Some(place) = self.m.evaluating.remove(id) else { return };
        let plan = self.plan.clone();
        let Some(node) = Machine::node_of(&plan, id) else { return };
        if self.m.steps.get(id).is_none_or(|step| step.state.is_end()) {
            return;
        }
        let value = match result {
            Ok(value) => value,
            Err(error) => {
                if self.m.steps.get(id).is_some_and(|step| step.kind == StepKind::Item) {
                    self.stop_below(id);
                }
                return self.fail(id, error);
            }
        };
        match &node.kind {
            // An item's step belongs to the map's node: this is its result.
            NodeKind::Map { .. } if self.m.steps.get(id).is_some_and(|step| step.kind == StepKind::Item) => {
                self.succeed(id, value);
            }
            NodeKind::Start | NodeKind::Transform { .. } | NodeKind::End { .. } => self.succeed(id, value),
            NodeKind::Agent { .. } => self.begin_agent(id, value),
            NodeKind::Tool { .. } => {
                self.set_input(id, value);
                self.start_attempt(id);
            }
            NodeKind::Decision { branches, otherwise } => {
                let taken = truthy(&value).then(|| branches.get(place).map(|branch| branch.name.clone())).flatten();
                match taken {
                    Some(name) => self.choose(id, name),
                    None if place + 1 < branches.len() => self.evaluate(id, node, place + 1),
                    None => self.choose(id, otherwise.clone()),
                }
            }
            NodeKind::Approval(approval) => self.ask(id, approval, &value),
            NodeKind::Map { .. } => self.begin_map(id, value),
            NodeKind::Wait { .. } => self.begin_wait(id, &value),
        }
    }

    pub(super) fn set_input(&mut self, id: &StepId, input: Value) {
        if let Some(step) = self.m.steps.get_mut(id) {
            step.input = Some(input);
        }
    }

    fn choose(&mut self, id: &StepId, branch: crate::engine::plan::BranchName) {
        if let Some(step) = self.m.steps.get_mut(id) {
            step.detail.about = Some(format!("took “{branch}”"));
            step.detail.branch = Some(branch.clone());
        }
        self.succeed(id, json!({ "branch": branch }));
    }

    fn begin_wait(&mut self, id: &StepId, value: &Value) {
        let at = match wait_until(value, self.now) {
            Ok(at) => at,
            Err(message) => return self.fail(id, StepError::new(ErrorClass::BadInput, "wait.not_a_time", message)),
        };
        self.set_input(id, value.clone());
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Waiting;
        step.attempt = 1;
        step.wake_at = Some(at);
        let event = Event::StepWaiting { step: step.head(), attempt: 1, until: Some(at), approval: None };
        self.turn.events.push(event);
        self.touch(id);
    }

    fn begin_map(&mut self, id: &StepId, value: Value) {
        let Value::Array(items) = value else {
            let message = "The items of a map must be a list. Check the expression of “items”.";
            return self.fail(id, StepError::new(ErrorClass::BadInput, "map.not_a_list", message));
        };
        if items.len() > MAX_ITEMS {
            let message = format!("The list has {} items; a map works on {MAX_ITEMS} at most.", items.len());
            return self.fail(id, StepError::new(ErrorClass::BadInput, "map.too_many_items", message));
        }
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Running;
        step.attempt = 1;
        step.detail.count = Some(items.len());
        step.detail.about = Some(match items.len() {
            1 => "1 item".to_owned(),
            count => format!("{count} items"),
        });
        step.input = Some(Value::Array(items));
        let event = Event::StepStarted { step: step.head(), attempt: 1 };
        self.turn.events.push(event);
        self.touch(id);
        self.map_advance(id);
    }

    /// Starts items up to the map's concurrency; ends the map when all have ended.
    pub(super) fn map_advance(&mut self, id: &StepId) {
        if self.m.draining {
            return;
        }
        let plan = self.plan.clone();
        let Some(NodeKind::Map { concurrency, .. }) = Machine::node_of(&plan, id).map(|node| &node.kind) else {
            return;
        };
        loop {
            let Some(map) = self.m.steps.get(id).filter(|step| step.state == StepState::Running) else { return };
            let count = map.detail.count.unwrap_or_default();
            let MapProgress { next, open } = self.map_progress(id, count);
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
        let mut progress = MapProgress { next: 0, open: 0 };
        while let Some(item) = self.m.steps.get(&id.child(progress.next)).filter(|_| progress.next < count) {
            progress.next += 1;
            progress.open += usize::from(!item.state.is_end());
        }
        self.m.maps.insert(id.clone(), progress);
        progress
    }

    fn start_item(&mut self, map: &StepId, place: usize) {
        let Some(step) = self.m.steps.get(map) else { return };
        let item = step.input.as_ref().and_then(|items| items.get(place)).cloned().unwrap_or_default();
        let (node, name) = (step.node.clone(), format!("Item {}", place + 1));
        if let Some(progress) = self.m.maps.get_mut(map) {
            progress.next += 1;
            progress.open += 1;
        }
        let about = item_about(&item);
        let id = map.child(place);
        let detail = Detail { about, count: Some(place), ..Detail::default() };
        let step = self.open_step(id.clone(), &node, StepKind::Item, &name, detail);
        step.state = StepState::Running;
        step.attempt = 1;
        step.input = Some(item);
        let event = Event::StepStarted { step: step.head(), attempt: 1 };
        self.turn.events.push(event);
        self.touch(&id);
        self.advance(Some(&id));
    }

    /// Each node inside of an item has ended.
    pub(super) fn end_item(&mut self, item: &StepId, nodes: &[Node]) {
        if self.m.evaluating.contains_key(item) {
            return;
        }
        let plan = self.plan.clone();
        match Machine::node_of(&plan, item).map(|node| &node.kind) {
            Some(NodeKind::Map { result, .. }) if !result.is_null() => {
                self.fill_in(item, result.clone(), 0, Some(item));
            }
            _ => {
                let last = nodes.iter().rev().find_map(|node| {
                    let step = self.m.steps.get(&Self::path(Some(item), node))?;
                    (step.state == StepState::Succeeded).then(|| step.output.clone())
                });
                self.succeed(item, last.flatten().unwrap_or_default());
            }
        }
    }

    pub(super) fn item_ended(&mut self, map: &StepId, item: &StepId, state: StepState, error: Option<StepError>) {
        if let Some(progress) = self.m.maps.get_mut(map) {
            progress.open = progress.open.saturating_sub(1);
        }
        match error.filter(|_| state == StepState::Failed) {
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
        self.turn.log(LogLevel::Info, Some(id), format!("All {count} items are done."));
        self.succeed(id, Value::Array(results));
    }
}

/// What JavaScript holds to be true.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
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

/// The moment that a wait's filled-in template names.
fn wait_until(value: &Value, now: Timestamp) -> Result<Timestamp, String> {
    let far = "A wait can be a year at most.";
    if let Some(seconds) = value.get("seconds").filter(|seconds| !seconds.is_null()) {
        let seconds = seconds.as_f64().or_else(|| seconds.as_str().and_then(|text| text.trim().parse().ok()));
        let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        let seconds = seconds.ok_or("“seconds” must be a number that is not negative.")?;
        if seconds > 366.0 * 86_400.0 {
            return Err(far.to_owned());
        }
        return Ok(now + chrono::TimeDelta::milliseconds((seconds * 1_000.0) as i64));
    }
    let until = value.get("until").and_then(Value::as_str).ok_or("A wait needs “seconds” or “until”.")?;
    let at = chrono::DateTime::parse_from_rfc3339(until.trim())
        .map_err(|_| format!("“{until}” is not a moment such as 2026-12-01T09:00:00Z."))?
        .with_timezone(&chrono::Utc);
    if at > now + chrono::TimeDelta::days(366) {
        return Err(far.to_owned());
    }
    Ok(at)
}
