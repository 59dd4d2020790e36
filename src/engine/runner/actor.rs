//! One run at work: load, decide, have it written, act, wait for what comes back. When nothing is under way any more the
//! run is let go in the same commit, and this task ends: a run that waits holds nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use tokio::{
    sync::{Notify, OwnedMutexGuard, Semaphore},
    task::{AbortHandle, JoinSet},
};

use super::{
    Runner,
    clock::DbClock,
    locks::{lock, unlock},
    millis,
    tasks::{Owner, evaluate, expect, perform},
};
use crate::{
    engine::{
        decide::{decide, suspected_calls},
        machine::{Effect, Input, Machine, Most, Step, Turn},
        plan::template,
        state::{RunState, StepId, StepKind, StepState},
        store::{self, Claim, Commit, Committed, Loaded, LockWish, Signal},
    },
    kernel::{Error, Kind, Result, Timestamp},
};

/// A run whose next moment is this near is kept in memory instead of being let go and claimed again.
const NEAR: TimeDelta = TimeDelta::seconds(2);
/// The pause before a run that may take its process down asks again for its turn.
const TURN: Duration = Duration::from_millis(300);
/// How often a write may fail for a reason of ours before the run is failed.
const PATIENCE: u32 = 3;

/// What the task is to do next.
enum Next {
    Wait,
    Reload,
    Done,
}

struct Actor {
    runner: Arc<Runner>,
    claim: Claim,
    machine: Machine,
    /// What came in and is not written yet.
    inbox: VecDeque<Input>,
    tasks: JoinSet<Input>,
    /// Calls and evaluations under way, by step.
    under_way: HashMap<StepId, (bool, AbortHandle)>,
    /// When the next decision begins to act, as the database knows it.
    decision_at: Option<Timestamp>,
    /// Writes that failed one after the other.
    failures: u32,
    /// The right to make suspected calls, while there are some.
    lane: Option<Arc<Lane>>,
    /// The number of the lease under which the run was found to be ours.
    lease: u64,
}

/// That no other run of this node makes a call that may take the process down.
pub(super) struct Lane {
    /// The calls.
    suspects: HashSet<StepId>,
    /// They go one after the other.
    pub(super) one: Semaphore,
    _only: OwnedMutexGuard<()>,
}

/// Works on a run until it ends, waits, or belongs to somebody else. One that was started just now comes along whole, with
/// what it does first.
pub(super) async fn work(
    runner: Arc<Runner>,
    claim: Claim,
    begun: Option<(Box<Machine>, Vec<Effect>)>,
    nudge: Arc<Notify>,
) {
    let lease = runner.clock.lease();
    let (machine, first, has_signals) = match begun {
        Some((machine, first)) => (*machine, Some(first), false),
        None => match load(&runner, claim).await {
            Some(Loaded { machine, has_signals }) => (machine, None, has_signals),
            None => return,
        },
    };
    let suspects = suspected_calls(&machine, runner.clock.now());
    let lane = match suspects.is_empty() {
        true => None,
        false => match enter_lane(&runner, claim, suspects).await {
            None => return,
            lane => lane,
        },
    };
    let mut actor = Actor {
        runner,
        claim,
        machine,
        inbox: VecDeque::new(),
        tasks: JoinSet::new(),
        under_way: HashMap::new(),
        decision_at: None,
        failures: 0,
        lane,
        lease,
    };
    match first {
        Some(effects) => {
            actor.act(effects);
            actor.wait(&nudge).await;
        }
        None => {
            actor.inbox.push_back(Input::Loaded);
            actor.read_news(true, has_signals).await;
        }
    }
    loop {
        match actor.turn().await {
            Next::Done => return,
            Next::Wait => actor.wait(&nudge).await,
            Next::Reload => {
                if !actor.reload().await {
                    return;
                }
            }
        }
    }
}

/// `None`: another run of this node is suspected, too, or the node has just begun: while processes die one after the other,
/// whatever is out at the moment would be blamed. The run is let go meanwhile, so that it is not in this process if that
/// one dies.
async fn enter_lane(runner: &Runner, claim: Claim, suspects: HashSet<StepId>) -> Option<Arc<Lane>> {
    let early = runner.settings.lease.saturating_sub(runner.began.elapsed());
    if early.is_zero()
        && let Ok(only) = runner.lane.clone().try_lock_owned()
    {
        tracing::warn!(run = %claim.run, "a call was there when processes died; such calls are made one at a time");
        return Some(Arc::new(Lane { suspects, one: Semaphore::new(1), _only: only }));
    }
    if let Err(error) = store::postpone(&runner.pool, runner.node, claim, millis(early.max(TURN))).await {
        tracing::warn!(run = %claim.run, %error, "the run could not be given back");
    }
    None
}

/// A run in the hands of this node, with what the node's settings and its effects say.
pub(super) fn at_work(mut machine: Machine, runner: &Runner) -> Machine {
    let effects = runner.effects.clone();
    machine.poison = runner.settings.poison;
    machine.most = Most::new(move |call| effects.most(call));
    machine
}

/// Reads the run, as long as it takes. `None`: it is not ours any more, or the process ends.
async fn load(runner: &Runner, claim: Claim) -> Option<Loaded> {
    loop {
        runner.engine.counters().loaded.add(1);
        match store::load(&runner.pool, runner.node, claim, &runner.plans).await {
            Ok(None) => return None,
            Ok(Some(Loaded { machine, has_signals })) => {
                return Some(Loaded { machine: at_work(machine, runner), has_signals });
            }
            Err(error) if error.kind == Kind::Unavailable => {
                if runner.abort.is_cancelled() {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => {
                tracing::error!(run = %claim.run, %error, "a run could not be read; it is left alone for a minute");
                tokio::time::sleep(Duration::from_secs(60)).await;
                if let Err(error) = store::give_back(&runner.pool, runner.node, claim).await {
                    tracing::warn!(run = %claim.run, %error, "the run could not be given back");
                }
                return None;
            }
        }
    }
}

impl Actor {
    /// Takes in all that has come, as one write.
    async fn turn(&mut self) -> Next {
        self.machine.draining = self.runner.stop.is_cancelled();
        let mut turn = Turn::default();
        let mut taken = Vec::new();
        let begun = Instant::now();
        while let Some(input) = self.inbox.pop_front() {
            turn.absorb(decide(&mut self.machine, input.clone(), self.runner.clock.now()));
            taken.push(input);
        }
        fill_in_constants(&mut self.machine, &mut turn, &self.runner.clock);
        let release = self.release();
        self.runner.engine.counters().decide.add_time(begun.elapsed());
        if turn.is_silent() && release.is_none() {
            self.act(turn.effects);
            return Next::Wait;
        }
        let effects = std::mem::take(&mut turn.effects);
        match self.runner.writer.write(self.commit(turn, release)).await {
            Ok(Committed::Written(_)) => {
                self.failures = 0;
                self.act(effects);
                if self.machine.state.is_end() && self.machine.plan.graph.concurrency.is_some() {
                    self.runner.admit_next(self.claim).await;
                }
                if release.is_some() { Next::Done } else { Next::Wait }
            }
            Ok(Committed::Refused) => self.not_written(taken, None).await,
            Err(error) => self.not_written(taken, Some(error)).await,
        }
    }

    /// What came in is kept: a result is never thrown away because the database was not there.
    async fn not_written(&mut self, taken: Vec<Input>, error: Option<Error>) -> Next {
        if let Some(error) = error {
            tracing::warn!(run = %self.claim.run, %error, "a write is unknown; reading the run again");
            self.failures += u32::from(error.kind == Kind::Internal);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Templates are filled in anew: an old answer could be taken for that of a later one.
        let results = taken.into_iter().filter(|input| matches!(input, Input::Performed(..)));
        self.inbox = results.collect();
        Next::Reload
    }

    async fn reload(&mut self) -> bool {
        // What was sent and not answered may still be under way.
        while let Err(error) = store::settle_writes(&self.runner.pool, self.claim).await {
            tracing::warn!(run = %self.claim.run, %error, "the run cannot be read yet");
            if self.runner.abort.is_cancelled() {
                self.tasks.abort_all();
                return false;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.lease = self.runner.clock.lease();
        let Some(Loaded { machine, has_signals }) = load(&self.runner, self.claim).await else {
            self.tasks.abort_all();
            return false;
        };
        // What is being written goes on.
        let heard = self.machine.heard.clone();
        self.machine = Machine { heard, ..machine };
        // Evaluations are cheap and begin anew; calls go on.
        self.under_way.retain(|_, (is_call, handle)| {
            if !*is_call {
                handle.abort();
            }
            *is_call
        });
        // A result that was written after all is not waited for.
        let machine = &self.machine;
        let waiting = self.inbox.iter().filter_map(|input| match input {
            Input::Performed(step, attempt, ..) => machine.is_at(step, *attempt).then(|| step.clone()),
            _ => None,
        });
        let in_flight = self.under_way.keys().cloned().chain(waiting).collect();
        self.machine.in_flight = in_flight;
        self.machine.recovered = false;
        self.inbox.push_front(Input::Loaded);
        if self.failures >= PATIENCE {
            self.inbox.push_back(Input::Broken);
        }
        self.read_news(true, has_signals).await;
        true
    }

    /// Whether the run is let go with this write, and when it wakes by itself.
    fn release(&self) -> Option<Option<Timestamp>> {
        if self.machine.state.is_end() {
            return Some(None);
        }
        if self.machine.is_busy() {
            return None;
        }
        let now = self.runner.clock.now();
        if self.machine.draining {
            // Somebody else is to go on at once, unless nobody is to.
            return Some(Some(now).filter(|_| self.machine.state != RunState::Paused).or(self.machine.deadline_at));
        }
        let wake = self.next_wake(now);
        if wake.is_some_and(|at| at <= now + NEAR) { None } else { Some(wake) }
    }

    /// When the run has something to do by itself.
    fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        if self.machine.state == RunState::Paused {
            return self.machine.deadline_at;
        }
        let steps = self.machine.steps.values().filter(|step| !step.state.is_end());
        let moments = steps.filter_map(|step| {
            let at = step.wake_at?;
            // A deadline of an approval that has passed is the database's to judge: look again soon.
            Some(if step.waits_for_person() && at <= now { now + TimeDelta::seconds(1) } else { at })
        });
        moments.chain(self.decision_at).chain(self.machine.deadline_at).min()
    }

    fn commit(&self, turn: Turn, release: Option<Option<Timestamp>>) -> Commit {
        let machine = &self.machine;
        Commit {
            claim: self.claim,
            events: turn.events,
            steps: turn.touched.iter().filter_map(|(_, id)| machine.steps.get(id).cloned()).collect(),
            approvals: turn.approvals,
            withdrawn: turn.withdrawn,
            state: machine.state,
            waiting_on: machine.waiting_on,
            output: machine.output.clone(),
            error: machine.error.clone(),
            usage: turn.usage,
            signals_seen: machine.signals_seen,
            needs_sync: turn.needs_sync,
            release,
        }
    }

    /// Waits for whatever comes first, and takes what else has come by then.
    async fn wait(&mut self, nudge: &Notify) {
        let now = self.runner.clock.now();
        let wake = self.next_wake(now).filter(|_| !self.machine.draining);
        let pause = wake.map_or(Duration::from_secs(3_600), |at| self.runner.clock.until(at));
        let draining = self.machine.draining;
        tokio::select! {
            Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => self.came_back(done),
            () = nudge.notified() => self.read_news(false, true).await,
            () = tokio::time::sleep(pause) => {
                // Said anew by whatever is read now.
                self.decision_at = None;
                self.settle().await;
                if self.machine.steps.values().any(waits_for_news) {
                    self.read_events().await;
                }
                self.inbox.push_back(Input::Tick);
            }
            () = self.runner.stop.cancelled(), if !draining => {}
            () = self.runner.abort.cancelled() => self.give_up().await,
        }
        while let Some(done) = self.tasks.try_join_next() {
            self.came_back(done);
        }
    }

    /// The drain limit has passed: what is under way is dropped, and tried again by whoever claims the run.
    async fn give_up(&mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        self.under_way.clear();
        self.machine.in_flight.clear();
        self.machine.evaluating.clear();
    }

    fn came_back(&mut self, done: Result<Input, tokio::task::JoinError>) {
        // An aborted task brings nothing; a panic was caught inside.
        let Ok(input) = done else { return };
        if let Input::Performed(step, ..) | Input::Evaluated(step, _) | Input::Locked(step, _) = &input {
            self.under_way.remove(step);
        }
        // The suspects have come back, and the process lives: those of other runs may go on.
        if self.lane.as_ref().is_some_and(|lane| !self.under_way.keys().any(|step| lane.suspects.contains(step))) {
            self.lane = None;
        }
        self.inbox.push_back(input);
    }

    /// Reads the signals that came in, and the decisions that act.
    async fn read_news(&mut self, fresh: bool, has_signals: bool) {
        let signals = match has_signals {
            true => store::signals_after(&self.runner.pool, self.claim, self.machine.signals_seen).await,
            false => Ok(Vec::new()),
        };
        match signals {
            Ok(signals) => {
                let mut decisions = fresh && self.machine.steps.values().any(|step| step.detail.approval.is_some());
                let mut events = fresh && self.machine.steps.values().any(waits_for_news);
                for (number, signal) in signals {
                    self.machine.signals_seen = number;
                    match signal {
                        // Before anything else begins.
                        Signal::Cancel { by } => self.inbox.push_front(Input::Cancel(by)),
                        Signal::Approval { .. } => decisions = true,
                        Signal::Event { .. } => events = true,
                        Signal::Pause { by } => self.inbox.push_back(Input::Pause(by)),
                        // What was decided and what came in the meantime was left for now.
                        Signal::Resume { by } => {
                            self.inbox.push_back(Input::Resume(by));
                            (decisions, events) = (true, true);
                        }
                    }
                }
                if events {
                    self.read_events().await;
                }
                if decisions {
                    self.settle().await;
                }
            }
            Err(error) => {
                tracing::warn!(run = %self.claim.run, %error, "signals could not be read; looking again soon")
            }
        }
        // A claimed run may have been woken by the clock.
        if fresh {
            self.inbox.push_back(Input::Tick);
        }
    }

    /// Reads the events and locks that have come for steps that wait for some.
    async fn read_events(&mut self) {
        let read = async {
            let events = store::received_events(&self.runner.pool, self.claim).await?;
            Ok::<_, Error>((events, store::held_locks(&self.runner.pool, self.claim).await?))
        };
        match read.await {
            Ok((events, locks)) => self.inbox.extend([Input::Received(events), Input::Held(locks)]),
            Err(error) => {
                tracing::warn!(run = %self.claim.run, %error, "events and locks could not be read; looking again soon");
                self.decision_at = Some(self.runner.clock.now() + TimeDelta::seconds(1));
            }
        }
    }

    async fn settle(&mut self) {
        if self.machine.draining || !self.machine.steps.values().any(|step| step.detail.approval.is_some()) {
            return;
        }
        match store::settle_approvals(&self.runner.pool, self.runner.node, self.claim).await {
            Ok(store::Settled { applied, escalated, next }) => {
                self.decision_at = next;
                self.inbox.push_back(Input::Decided(applied));
                if !escalated.is_empty() {
                    self.inbox.push_back(Input::Escalated(escalated));
                }
            }
            Err(error) => {
                tracing::warn!(run = %self.claim.run, %error, "decisions could not be read; looking again soon");
                self.decision_at = Some(self.runner.clock.now() + TimeDelta::seconds(1));
            }
        }
    }

    fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Evaluate(step, evaluation) => {
                    let task = evaluate(self.runner.clone(), step.clone(), *evaluation);
                    let handle = self.tasks.spawn(task);
                    self.under_way.insert(step, (false, handle));
                }
                Effect::Expect(step, key) => {
                    let task = expect(self.runner.clone(), self.claim, step.clone(), key);
                    let handle = self.tasks.spawn(task);
                    self.under_way.insert(step, (false, handle));
                }
                Effect::Lock(step, names, limit_s) => {
                    let wish = LockWish { names, limit_s };
                    let handle = self.tasks.spawn(lock(self.runner.clone(), self.claim, step.clone(), wish));
                    self.under_way.insert(step, (false, handle));
                }
                // The run may be let go meanwhile.
                Effect::Unlock(step) => {
                    drop(self.runner.actors.spawn(unlock(self.runner.clone(), self.claim, step)));
                }
                Effect::Perform(call, scope, time) => {
                    let step = scope.step.clone();
                    let lane = self.lane.clone().filter(|lane| lane.suspects.contains(&step));
                    let owner = Owner { claim: self.claim, lease: self.lease };
                    let heard = self.machine.heard.clone();
                    let task = perform(self.runner.clone(), owner, lane, *call, scope, time, heard);
                    let handle = self.tasks.spawn(task);
                    self.under_way.insert(step, (true, handle));
                }
                Effect::AbortAll => self.abort(|_| true),
                Effect::AbortBelow(id) => self.abort(|step| id.holds(step)),
            }
        }
    }

    fn abort(&mut self, which: impl Fn(&StepId) -> bool) {
        self.under_way.retain(|step, (_, handle)| {
            let hit = which(step);
            if hit {
                handle.abort();
            }
            !hit
        });
    }
}

/// Templates without an expression are what they are: what follows from them belongs to the same write.
pub(super) fn fill_in_constants(machine: &mut Machine, turn: &mut Turn, clock: &DbClock) {
    let is_constant =
        |effect: &mut Effect| matches!(effect, Effect::Evaluate(_, work) if template::is_constant(&work.template));
    loop {
        let constants: Vec<_> = turn.effects.extract_if(.., is_constant).collect();
        if constants.is_empty() {
            return;
        }
        for effect in constants {
            let Effect::Evaluate(step, work) = effect else { continue };
            let input = Input::Evaluated(step, Ok(work.template));
            turn.absorb(decide(machine, input, clock.now()));
        }
    }
}

fn waits_for_news(step: &Step) -> bool {
    step.waits_for_lock() || (step.kind == StepKind::WaitEvent && step.state == StepState::Waiting)
}
