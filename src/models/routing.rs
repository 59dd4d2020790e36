//! Who is asked: the models of a call in their order, each by the connections that its provider has, and what happens when
//! one does not answer.
//!
//! Another one is asked only where that can help: not when the request is at fault. Two half answers are never joined:
//! whoever reads along is told that the pieces so far count no more.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{
    ModelId, SANDBOX,
    class::{self, Class},
    classes,
    connection::Connection,
    prices::Prices,
    provider::{Patience, Provider, was_cut},
    registry::Models,
};
use crate::{
    engine::{
        journal::{LogLevel, Usage},
        port::{ModelAnswer, ModelCall, Progress, Tried},
        state::{ErrorClass, StepError},
    },
    kernel::{
        OrgId, Timestamp,
        text::{self, shortened},
    },
};

/// How long a model may be silent in the middle of its answer.
const SILENCE: Duration = Duration::from_secs(60);
/// What is left of a call's time for telling what came of it.
const TELLING: Duration = Duration::from_millis(500);
/// What a model gets to begin its answer in, however many others are left to be asked.
const BEGINNING: Duration = Duration::from_secs(20);

/// A connection of a provider, as far as its limits go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Side {
    /// The provider.
    pub provider: String,
    /// Which of its connections.
    pub connection: String,
}

/// What is known around a call: of its organization, and of who wants to be left alone.
#[async_trait]
pub trait Circumstances: Send + Sync {
    /// The models that the organization names for a class; nothing where it goes by the usual ones.
    async fn class(&self, class: Class) -> Result<Option<Vec<String>>, StepError>;

    /// Those of the connections that are to be left alone, and until when.
    async fn left_alone(&self, sides: &[Side]) -> HashMap<Side, Timestamp>;

    /// Notes that a connection is about to be called.
    async fn used(&self, side: &Side);

    /// Takes in what a connection said to a call.
    async fn hear(&self, side: &Side, error: &StepError);
}

/// What a call goes by.
#[derive(Clone, Copy)]
pub struct CallContext<'a> {
    /// The organization.
    pub org: OrgId,
    /// How long the call has.
    pub time: Duration,
    /// What is known around it.
    pub around: &'a dyn Circumstances,
    /// Hears what the call says while it is under way.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// What came of a call.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Answer(Box<ModelAnswer>),
    /// Nobody was asked: all want to be left alone.
    Later {
        /// Until when, at least.
        until: Timestamp,
        /// Who, for people.
        whom: String,
    },
}

/// A way to a model.
#[derive(Clone)]
struct Candidate {
    id: ModelId,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Sandbox,
    Through(Arc<Provider>),
    /// There is none.
    Nowhere(StepError),
}

/// What is done next.
enum Turn {
    Ask(Candidate),
    /// A model that is passed over for now.
    Pass(Tried),
}

enum Plan {
    Go(Vec<Turn>),
    Wait { until: Timestamp, whom: String },
}

impl Models {
    /// Calls a model: the one that is asked for, or another one that may answer instead. Dropping the future ends the call.
    ///
    /// # Errors
    /// Classed: what the providers say decides whether another attempt can help.
    pub async fn call(&self, call: &ModelCall, cx: &CallContext<'_>) -> Result<Outcome, StepError> {
        match self.plan(call, cx).await? {
            Plan::Wait { until, whom } => Ok(Outcome::Later { until, whom }),
            Plan::Go(turns) => Box::pin(self.go(call, cx, turns)).await.map(|answer| Outcome::Answer(Box::new(answer))),
        }
    }

    /// The provider that a call would go to first; nothing for one that goes to none. It is the one whose place among the
    /// calls at a time the call takes. A call that goes on to another one keeps that place: those that come after it know
    /// better, and take theirs with the other one.
    pub async fn first_provider(&self, call: &ModelCall, org: OrgId, around: &dyn Circumstances) -> Option<String> {
        let cx = CallContext { org, time: Duration::ZERO, around, progress: &|_| {} };
        let Ok(Plan::Go(turns)) = self.plan(call, &cx).await else { return None };
        turns.into_iter().find_map(|turn| match turn {
            Turn::Ask(Candidate { way: Way::Through(provider), .. }) => Some(provider.side().provider.clone()),
            _ => None,
        })
    }

    async fn plan(&self, call: &ModelCall, cx: &CallContext<'_>) -> Result<Plan, StepError> {
        let own = self
            .own(cx.org)
            .await
            .map_err(|error| StepError::new(ErrorClass::Unavailable, "model.connections", error.message))?;
        let mut names: Vec<String> = Vec::new();
        for asked in std::iter::once(&call.model).chain(&call.fallbacks) {
            match Class::of(asked) {
                Some(class) => names.extend(self.of_class(class, &own, cx.around).await?),
                None => names.push(asked.clone()),
            }
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let candidates: Vec<Candidate> = names.iter().flat_map(|name| self.ways(name, &own)).collect();
        let sides: HashSet<Side> =
            candidates.iter().filter_map(|one| one.through().map(|p| p.side().clone())).collect();
        let sides: Vec<Side> = sides.into_iter().collect();
        let alone = if sides.is_empty() { HashMap::new() } else { cx.around.left_alone(&sides).await };
        Ok(plan(candidates, &alone, Instant::now()))
    }

    /// Reads what the organization has named for the classes of a call, so that [`Models::most`] knows it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn learn_classes(&self, call: &ModelCall, around: &dyn Circumstances) -> Result<(), StepError> {
        for class in std::iter::once(&call.model).chain(&call.fallbacks).filter_map(|id| Class::of(id)) {
            if let Some(named) = around.class(class).await? {
                self.note_class(class, &named);
            }
        }
        Ok(())
    }

    /// The models of a class that can be called. Where none of them can, whatever else can: a real model before the sandbox.
    async fn of_class(
        &self,
        class: Class,
        own: &[Connection],
        around: &dyn Circumstances,
    ) -> Result<Vec<String>, StepError> {
        let named = around.class(class).await?;
        if let Some(named) = &named {
            self.note_class(class, named);
        }
        let mut models = named.unwrap_or_else(|| classes::usual(class).to_vec());
        models.retain(|model| self.can_call(model, own));
        if models.is_empty() {
            models.push(
                self.offered(own).into_iter().find(|model| !model.sandbox).map_or(SANDBOX.to_owned(), |one| one.id),
            );
        }
        Ok(models)
    }

    /// The ways to a model: its provider's connections by their rank, those of one rank by how little they have to do.
    fn ways(&self, name: &str, own: &[Connection]) -> Vec<Candidate> {
        let bad = |message: String| StepError::new(ErrorClass::BadInput, "model.unknown", message);
        if name == SANDBOX
            && let Ok(id) = ModelId::parse(name)
        {
            return vec![Candidate { id, way: Way::Sandbox }];
        }
        let id = match ModelId::parse(name) {
            Ok(id) => id,
            Err(message) => {
                let id = ModelId::unreadable(name);
                return vec![Candidate { id, way: Way::Nowhere(bad(message)) }];
            }
        };
        if id.provider() == class::PROVIDER {
            let message = format!("There is no class of tasks “{}”.", id.name());
            return vec![Candidate { id, way: Way::Nowhere(bad(message)) }];
        }
        let mut found = self.connections_of(&id, own);
        if found.is_empty() {
            let way = Way::Nowhere(no_key(&id));
            return vec![Candidate { id, way }];
        }
        // Whose turn it is where all else is equal.
        let turn = self.turn() % found.len();
        found.rotate_left(turn);
        let mut ways: Vec<(i16, usize, Way)> = found
            .into_iter()
            .map(|connection| match self.client(connection) {
                Ok(provider) => (connection.rank, provider.under_way(), Way::Through(provider)),
                Err(error) => (connection.rank, usize::MAX, Way::Nowhere(error)),
            })
            .collect();
        ways.sort_by_key(|(rank, under_way, _)| (*rank, *under_way));
        ways.into_iter().map(|(.., way)| Candidate { id: id.clone(), way }).collect()
    }

    /// Asks one after the other.
    async fn go(&self, call: &ModelCall, cx: &CallContext<'_>, turns: Vec<Turn>) -> Result<ModelAnswer, StepError> {
        // Earlier than whoever asks cuts the call off: what it used until then has to be told.
        let deadline = Instant::now() + cx.time.saturating_sub(TELLING.min(cx.time / 10));
        let warn = |line: String| (cx.progress)(Progress::Log(LogLevel::Warn, line));
        let (mut tried, mut errors) = (Vec::new(), Vec::new());
        for (place, turn) in turns.iter().enumerate() {
            let candidate = match turn {
                Turn::Ask(candidate) => candidate,
                Turn::Pass(passed) => {
                    warn(passed.message.clone());
                    tried.push(passed.clone());
                    continue;
                }
            };
            let rest: Vec<&Candidate> = turns[place + 1..].iter().filter_map(Turn::asked).collect();
            let others = rest.iter().filter(|one| !matches!(one.way, Way::Nowhere(_))).count();
            let patience = patience(deadline.saturating_duration_since(Instant::now()), others);
            let said = AtomicBool::new(false);
            let on_text = |piece: String| {
                said.store(true, Ordering::Relaxed);
                (cx.progress)(Progress::Partial(piece));
            };
            if let Some(provider) = candidate.through() {
                cx.around.used(provider.side()).await;
            }
            let result = self.ask(candidate, call, patience, &on_text).await;
            let error = match result {
                Ok(answer) => return Ok(finished(call, answer, tried, self.prices(), &warn)),
                Err(error) => error,
            };
            if let Some(provider) = candidate.through() {
                cx.around.hear(provider.side(), &error).await;
            }
            tried.push(Tried {
                model: candidate.id.to_string(),
                code: error.code.clone(),
                message: error.message.clone(),
                usage: error.used(),
            });
            let used = error.used();
            if used.tokens() > 0 {
                let (tokens, cost) = (text::grouped(used.tokens()), used.cost);
                warn(format!("The answer of {} broke off. It counts as {tokens} tokens and {cost}.", candidate.id));
            }
            let next = rest.first().filter(|_| another_may_help(&error));
            if let Some(next) = next {
                let how = if next.id == candidate.id { " with another key" } else { "" };
                let whom = candidate.label();
                warn(format!("{whom} did not answer: {} Asking {}{how} instead.", error.message, next.id));
            }
            errors.push(error);
            if next.is_none() {
                break;
            }
            if said.into_inner() {
                (cx.progress)(Progress::Restart);
            }
        }
        Err(all_failed(&tried, errors))
    }

    async fn ask(
        &self,
        candidate: &Candidate,
        call: &ModelCall,
        patience: Patience,
        on_text: super::registry::OnText<'_>,
    ) -> Result<ModelAnswer, StepError> {
        match &candidate.way {
            Way::Sandbox => Ok(self.sandbox().call(call, on_text).await),
            Way::Nowhere(error) => Err(error.clone()),
            Way::Through(provider) => {
                let under_way = provider.begin();
                let result = provider.call(&candidate.id, call, patience, on_text).await;
                under_way.ended(&result);
                result
            }
        }
    }
}

impl ModelId {
    /// What stands for a text that is no model's id, where it must be named all the same.
    fn unreadable(text: &str) -> Self {
        Self { provider: "?".to_owned(), name: shortened(text, 100) }
    }
}

impl Turn {
    fn asked(&self) -> Option<&Candidate> {
        if let Self::Ask(candidate) = self { Some(candidate) } else { None }
    }
}

impl Candidate {
    fn through(&self) -> Option<&Arc<Provider>> {
        if let Way::Through(provider) = &self.way { Some(provider) } else { None }
    }

    fn label(&self) -> String {
        self.through().map_or_else(|| self.id.to_string(), |provider| provider.label())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It can be asked, or says at once that it cannot.
    Ready,
    /// It fails just now.
    Open,
    /// It wants to be left alone.
    Alone,
}

/// In which order candidates are asked: those that fail just now only when nobody else is left, and those that want to be
/// left alone not at all.
fn plan(candidates: Vec<Candidate>, alone: &HashMap<Side, Timestamp>, now: Instant) -> Plan {
    let state = |one: &Candidate| match one.through() {
        Some(provider) if alone.contains_key(provider.side()) => State::Alone,
        Some(provider) if provider.is_open(now) => State::Open,
        _ => State::Ready,
    };
    let can_be_asked = |one: &Candidate| !matches!(one.way, Way::Nowhere(_)) && state(one) != State::Alone;
    let until = |one: &Candidate| Some((*alone.get(one.through()?.side())?, one.label()));
    if !candidates.iter().any(can_be_asked)
        && let Some((until, whom)) = candidates.iter().filter_map(until).min()
    {
        return Plan::Wait { until, whom };
    }
    let is_ready = |one: &Candidate| state(one) == State::Ready;
    let has_ready = candidates.iter().any(is_ready);
    let (mut turns, mut last) = (Vec::new(), Vec::new());
    for ways in candidates.chunk_by(|one, other| one.id == other.id) {
        let fails = ways.iter().any(|one| state(one) == State::Open);
        if !ways.iter().any(is_ready) && (has_ready || !fails) {
            turns.push(Turn::Pass(passed(&ways[0], fails)));
        }
        for one in ways {
            match state(one) {
                State::Ready => turns.push(Turn::Ask(one.clone())),
                State::Open => last.push(Turn::Ask(one.clone())),
                State::Alone => {}
            }
        }
    }
    turns.extend(last);
    Plan::Go(turns)
}

/// A model that is passed over.
fn passed(one: &Candidate, fails: bool) -> Tried {
    let (code, why) = match fails {
        true => ("model.circuit_open", "has not answered for a while"),
        false => ("model.left_alone", "asked to be left alone for now"),
    };
    let message = format!("{} {why}: {} is passed over.", one.label(), one.id);
    Tried { model: one.id.to_string(), code: code.to_owned(), message, usage: Usage::default() }
}

/// How long to wait for one of the candidates: all of the time for the last, and for another one so long that those after
/// it have a turn. An answer that has begun may take as long as the call has.
fn patience(time: Duration, others: usize) -> Patience {
    let share = time / u32::try_from(others + 1).unwrap_or(u32::MAX);
    let first = if others == 0 { time } else { share.max(BEGINNING.min(time / 2)) };
    Patience { first, between: first.min(SILENCE), whole: time }
}

/// Whether somebody else may answer what this one did not.
fn another_may_help(error: &StepError) -> bool {
    let passes = matches!(
        error.class,
        ErrorClass::Unavailable | ErrorClass::RateLimited | ErrorClass::Timeout | ErrorClass::Quota | ErrorClass::Auth
    );
    // A connection whose address may not be called is no fault of the request.
    passes || error.code == "egress.refused"
}

/// An answer with what is to be known of it.
fn finished(
    call: &ModelCall,
    mut answer: ModelAnswer,
    tried: Vec<Tried>,
    prices: &Prices,
    warn: &dyn Fn(String),
) -> ModelAnswer {
    if answer.model != call.model {
        answer.requested = Some(call.model.clone());
    }
    answer.tried = tried;
    let model = &answer.model;
    match prices.of(model) {
        None if model != SANDBOX => warn(format!("No price is known for {model}: its cost counts as nothing.")),
        Some(priced) if priced.is_assumed => {
            let dearest = &priced.row.id;
            warn(format!("No price is known for {model}: it counts like {dearest}, the dearest of its provider."));
        }
        _ => {}
    }
    if answer.fault.is_none() && was_cut(&answer.stop_reason) {
        warn(format!("The answer of {} was cut off by its length limit.", answer.model));
    }
    answer
}

/// The error when nobody answered: that of the last one which another attempt may mend, else the last one.
fn all_failed(tried: &[Tried], mut errors: Vec<StepError>) -> StepError {
    let mends = |error: &StepError| {
        matches!(error.class, ErrorClass::Unavailable | ErrorClass::RateLimited | ErrorClass::Timeout)
    };
    // As soon as one of them may be asked again; who does not say may be asked at once.
    let soonest = errors.iter().filter(|error| mends(error)).map(|error| error.retry_after_ms).min().flatten();
    let place = errors.iter().rposition(mends).unwrap_or(errors.len().saturating_sub(1));
    if errors.is_empty() {
        return StepError::new(ErrorClass::Internal, "model.nobody", "There was no model to ask.");
    }
    let mut used = Usage::default();
    errors.iter().for_each(|error| used += error.used());
    let mut error = errors.swap_remove(place);
    error.set_used(used);
    if tried.len() > 1 {
        let each: Vec<String> =
            tried.iter().map(|one| format!("{}: {}", one.model, shortened(&one.message, 200))).collect();
        error.message = format!("None of the models answered. {}", each.join(" "));
        error.retry_after_ms = soonest;
    }
    error
}

fn no_key(id: &ModelId) -> StepError {
    let message = format!(
        "No key is set for “{}”, so its models cannot be called. Set it where the server is started, or choose another \
         model for the agent.",
        id.provider(),
    );
    StepError::new(ErrorClass::Auth, "model.no_key", message)
}

#[cfg(test)]
mod tests;
