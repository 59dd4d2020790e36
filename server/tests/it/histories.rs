//! G25: runs that earlier versions recorded (`server/tests/histories`, written by `cargo xtask faults --record`) are read
//! and decided anew: with the same answers from outside, this version makes the same steps and comes to the same end.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use agentflow::{
    engine::{
        decide::decide,
        journal::{Event, RunView, StoredEvent},
        machine::{Applied, Effect, Input, Machine, Ruling},
        plan::Plan,
        port::{Answer, Call, Evaluation},
        state::{RunState, StepError, StepId, StepKind, StepState},
    },
    expressions::{Expressions, Work},
    kernel::{OrgId, RunId, Timestamp},
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct History {
    id: RunId,
    run: Recorded,
}

#[derive(Deserialize)]
struct Recorded {
    state: RunState,
    plan: Plan,
    input: Value,
    output: Option<Value>,
    steps: BTreeMap<StepId, RecordedStep>,
    events: Vec<StoredEvent>,
}

#[derive(Deserialize)]
struct RecordedStep {
    state: StepState,
    kind: StepKind,
    output: Option<Value>,
    error: Option<StepError>,
}

fn histories() -> Vec<History> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read =
        |file| serde_json::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap())).unwrap();
    files.flat_map(|file| -> Vec<History> { read(file) }).collect()
}

#[test]
fn journals_of_earlier_versions_are_read_whole() {
    let histories = histories();
    assert!(histories.len() >= 100);
    for History { id, run } in histories {
        let mut view = RunView::default();
        for event in &run.events {
            assert_ne!(event.event, Event::Unknown, "{id}, event {}", event.seq);
            assert!(view.apply(event), "{id}: event {} does not follow", event.seq);
        }
        assert_eq!(view.state, run.state, "{id}");
        assert_eq!(view.steps.len(), run.steps.len(), "{id}");
        for step in &view.steps {
            assert_eq!(step.state, run.steps[&step.id].state, "{id}/{}", step.id);
        }
    }
}

#[tokio::test]
async fn runs_of_earlier_versions_are_decided_in_the_same_way() {
    for History { id, run } in histories() {
        let machine = Replay::of(id, &run).run().await;
        assert_eq!(machine.state, run.state, "{id}: {:?}", machine.error);
        assert_eq!(machine.output.unwrap_or_default(), run.output.unwrap_or_default(), "{id}");
        let made: BTreeMap<_, _> = machine.steps.into_iter().collect();
        assert_eq!(made.keys().collect::<Vec<_>>(), run.steps.keys().collect::<Vec<_>>(), "{id}");
        for (step, recorded) in run.steps {
            let made = &made[&step];
            assert_eq!((made.state, made.kind), (recorded.state, recorded.kind), "{id}/{step}");
            // No output and null are the same in the file.
            let (output, expected) = (made.output.clone(), recorded.output);
            assert_eq!(output.unwrap_or_default(), expected.unwrap_or_default(), "{id}/{step}");
        }
    }
}

/// A run that is decided again, with the answers that it got.
struct Replay<'a> {
    machine: Machine,
    recorded: &'a Recorded,
    /// What the attempts of each step came to, those left out that a crash cut off.
    answers: HashMap<StepId, VecDeque<Result<Value, StepError>>>,
    now: Timestamp,
    expressions: Expressions,
}

impl<'a> Replay<'a> {
    fn of(id: RunId, recorded: &'a Recorded) -> Self {
        let mut answers: HashMap<StepId, VecDeque<_>> = HashMap::new();
        for stored in &recorded.events {
            if let Event::StepRetrying { step, error, .. } = &stored.event {
                answers.entry(step.clone()).or_default().push_back(Err(error.clone()));
            }
        }
        for (id, step) in &recorded.steps {
            let last = match (&step.output, &step.error) {
                (Some(output), _) => Ok(output.clone()),
                (None, Some(error)) => Err(error.clone()),
                (None, None) => continue,
            };
            answers.entry(id.clone()).or_default().push_back(last);
        }
        let org = OrgId::from_uuid(uuid::Uuid::nil());
        let plan = Arc::new(recorded.plan.clone());
        let machine = Machine::new(org, id, 1, plan, "Ana".to_owned(), recorded.input.clone(), None);
        let now = recorded.events[0].at;
        Self { machine, recorded, answers, now, expressions: Expressions::default() }
    }

    async fn run(mut self) -> Machine {
        let mut inputs = VecDeque::from([Input::Loaded]);
        for _ in 0..1_000 {
            let Some(input) = inputs.pop_front().or_else(|| self.wake()) else { break };
            let turn = decide(&mut self.machine, input, self.now);
            if self.machine.state.is_end() {
                break;
            }
            for effect in turn.effects {
                match effect {
                    Effect::Evaluate(step, evaluation) => {
                        let value = self.evaluate(*evaluation).await;
                        inputs.push_back(Input::Evaluated(step, value));
                    }
                    Effect::Perform(call, scope, _) => {
                        let answer = self.answer(&call, &scope.step);
                        inputs.push_back(Input::Performed(scope.step, scope.attempt, answer, Vec::new()));
                    }
                    Effect::AbortAll | Effect::AbortBelow(_) => {}
                    other => panic!("{}: nobody asked for {other:?} then", self.machine.run),
                }
            }
        }
        self.machine
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        let Evaluation { template, scope, now, seed, .. } = evaluation;
        let Value::Object(scope) = scope else { panic!("a scope is an object") };
        self.expressions.evaluate(Work { template, scope, now, seed }).await
    }

    fn answer(&mut self, call: &Call, step: &StepId) -> Result<Answer, StepError> {
        let answers = self.answers.get_mut(step).unwrap_or_else(|| panic!("{step} was never called then"));
        let output = answers.pop_front().unwrap_or_else(|| panic!("{step} was not called as often then"))?;
        Ok(match call {
            Call::Model(_) => Answer::Model(serde_json::from_value(output).unwrap()),
            Call::Tool(_) | Call::Memory(_) => Answer::Tool { output },
        })
    }

    /// A person decides as they did, or the next moment comes.
    fn wake(&mut self) -> Option<Input> {
        let asks = |step: &&agentflow::engine::machine::Step| step.state == StepState::Waiting;
        let gate = self.machine.steps.values().filter(asks).find_map(|step| Some((step, step.detail.approval?)));
        if let Some((step, id)) = gate {
            let said = self.recorded.steps[&step.id].output.clone().unwrap_or_default();
            let text = |name: &str| said[name].as_str().map(str::to_owned);
            return Some(Input::Decided(vec![Applied {
                id,
                step: step.id.clone(),
                ruling: if said["decision"] == "approved" { Ruling::Approved } else { Ruling::Rejected },
                expired: false,
                by: text("by").unwrap_or_default(),
                reason: text("reason"),
                payload: said["payload"].clone(),
            }]));
        }
        self.now = self.machine.next_wake()?;
        Some(Input::Tick)
    }
}
