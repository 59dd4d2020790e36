//! What a template's expressions see.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Decider;
use crate::engine::{
    machine::Step,
    plan::template,
    state::{StepId, StepKind},
};

impl Decider<'_> {
    /// What a template's expressions see from inside of a frame. Of the steps only those that it names, so that a run's
    /// whole data is not copied for each.
    pub(super) fn scope(&self, template: &Value, frame: Option<&StepId>) -> Value {
        let mut wanted = BTreeSet::new();
        let mut all = false;
        template::for_each_text(template, &mut |text| {
            let read = template::steps_read(text);
            // `steps` used in another way than by name: all of them.
            all |= read.is_empty() && text.contains("{{") && text.contains("steps");
            wanted.extend(read);
        });
        let owners = self.owners(frame);
        // A workflow inside of another one's run sees itself alone.
        let workflow = owners.last().filter(|owner| owner.kind == StepKind::Workflow);
        let frames = owners.iter().map(|owner| Some(&owner.id));
        let root = workflow.is_none().then_some(None);
        let mut steps = Map::new();
        // Inner frames hide outer ones.
        for owner in root.into_iter().chain(frames.rev()) {
            if all {
                let children = self.m.steps.values().filter(|step| step.id.parent().as_ref() == owner);
                wanted.extend(children.map(|step| step.id.key().to_owned()));
            }
            for key in &wanted {
                let id = owner.map_or_else(|| StepId::root(key), |owner| owner.child(key));
                if let Some(step) = self.m.steps.get(&id) {
                    steps.insert(key.clone(), as_seen(step));
                }
            }
        }
        let mut scope = Map::new();
        let input = workflow.map_or_else(|| self.m.input.clone(), |step| step.input.clone().unwrap_or_default());
        scope.insert("input".to_owned(), input);
        scope.insert("steps".to_owned(), Value::Object(steps));
        scope.insert("run".to_owned(), json!({ "id": self.m.run, "started_by": self.m.started_by }));
        let nearest = |kind: StepKind| owners.iter().find(|owner| owner.kind == kind);
        if let Some(item) = nearest(StepKind::Item) {
            scope.insert("item".to_owned(), item.input.clone().unwrap_or_default());
        }
        if let Some(round) = nearest(StepKind::Round) {
            scope.insert("previous".to_owned(), round.input.clone().unwrap_or_default());
        }
        let counted = owners.iter().find(|owner| matches!(owner.kind, StepKind::Item | StepKind::Round));
        if let Some(place) = counted.and_then(|owner| owner.detail.count) {
            scope.insert("index".to_owned(), json!(place));
        }
        Value::Object(scope)
    }

    /// The steps that a frame stands in, the innermost first, up to the nearest workflow.
    fn owners(&self, frame: Option<&StepId>) -> Vec<&Step> {
        let mut owners = Vec::new();
        let mut inside = frame.cloned();
        while let Some(owner) = inside {
            inside = owner.parent();
            let Some(step) = self.m.steps.get(&owner) else { continue };
            owners.push(step);
            if step.kind == StepKind::Workflow {
                break;
            }
        }
        owners
    }
}

/// A step as an expression reads it.
fn as_seen(step: &Step) -> Value {
    json!({
        "output": step.output, "state": step.state, "branch": step.detail.branch,
        "error": step.error.as_ref().map(|error| &error.message),
        "failure": step.error.as_ref().map(|error| json!({ "class": error.class, "code": error.code })),
    })
}
