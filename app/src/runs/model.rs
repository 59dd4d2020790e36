//! A run while its page is open: what the server gave, kept current by the events that follow, and what the reader has
//! opened and selected. Everything that the page draws is read from here.

use std::collections::HashMap;

use agentflow::{
    engine::{
        journal::{Event, RunView, StepView, StoredEvent},
        state::StepId,
    },
    kernel::{RunId, Timestamp},
    runs::{LogLine, RunDetail, RunSummary},
};
use leptos::{prelude::*, task::spawn_local};

use super::{
    api,
    find::Hits,
    gaps::{Gap, gaps as gaps_in},
    path::critical_path,
    place::{Only, Place},
    tree::{Node, Part, Row, RowKey, Tree, opens_by_itself},
    waterfall::Scale,
};
use crate::live::{Message, Partial};

/// The most characters of streamed text that are kept for a step.
const WRITING_LENGTH: usize = 20_000;

/// Up to so many steps a run that goes on is searched for gaps.
const SEARCHED: usize = 2_000;

/// The run as it stands.
#[derive(Debug, Clone)]
pub struct RunData {
    /// What does not change while it runs; its state and sums are those of `view`.
    pub summary: RunSummary,
    /// The run that this one does again.
    pub retry_of: Option<RunId>,
    /// Runs that do this one again, the newest first, with their triggers.
    pub retried_by: Vec<(RunId, String)>,
    /// The fold of its events.
    pub view: RunView,
    /// The tree of the view's steps.
    pub tree: Tree,
    /// The failures that are nobody else's consequence.
    pub errors: Vec<usize>,
    /// How far steps say that they are: done, of how much.
    pub progress: HashMap<StepId, (u64, u64)>,
}

impl RunData {
    fn of(detail: RunDetail) -> Self {
        let mut data = Self {
            summary: detail.summary,
            retry_of: detail.retry_of,
            retried_by: detail.retried_by,
            view: detail.view,
            tree: Tree::default(),
            errors: Vec::new(),
            progress: HashMap::new(),
        };
        data.grow();
        data
    }

    fn grow(&mut self) {
        self.tree.grow(&self.view.steps);
        self.errors = self.tree.errors(&self.view.steps);
    }

    /// A step with its place in the tree.
    #[must_use]
    pub fn step(&self, place: usize) -> Option<(&StepView, &Node)> {
        Some((self.view.steps.get(place)?, self.tree.node(place)?))
    }
}

/// The text that a model is writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writing {
    attempt: u32,
    /// The text so far.
    pub text: String,
}

/// The lines on screen and where each of them is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    /// The lines, in order.
    pub rows: Vec<Row>,
    places: HashMap<RowKey, usize>,
}

impl Lines {
    /// The number of a line.
    #[must_use]
    pub fn place(&self, key: RowKey) -> Option<usize> {
        self.places.get(&key).copied()
    }
}

/// The run that is on screen. Cheap to copy.
#[derive(Clone, Copy)]
pub struct RunModel {
    /// The organization's address.
    pub org: StoredValue<String>,
    /// The run.
    pub id: RunId,
    /// The run as it stands.
    pub data: RwSignal<RunData>,
    /// The server's clock: at first the moment of its answer; it ticks once the page is alive.
    pub now: RwSignal<Timestamp>,
    /// The selected line.
    pub selected: RwSignal<Option<RowKey>>,
    /// What models are writing.
    pub writing: RwSignal<HashMap<StepId, Writing>>,
    /// Lines of the log that came while the page was open.
    pub fresh_logs: RwSignal<Vec<LogLine>>,
    /// How much the bars are magnified: `2^zoom`.
    pub zoom: RwSignal<u32>,
    /// The lines on screen.
    pub lines: Memo<Lines>,
    /// The stretch of time that the bars show.
    pub scale: Memo<Scale>,
    /// Grows when what was missed has been fetched.
    pub mended: RwSignal<u32>,
    /// What of the run shows.
    pub place: Memo<Place>,
    /// The step that is the root of the tree.
    pub root: Memo<Option<usize>>,
    /// What the search found.
    pub hits: RwSignal<Hits>,
    /// Whether the critical path is marked.
    pub marks_path: RwSignal<bool>,
    /// Of each step whether it is on the critical path; empty while that is not marked.
    pub path: Memo<Vec<bool>>,
    /// Whether stretches in which nothing worked are drawn narrow.
    pub folds: RwSignal<bool>,
    /// Those stretches.
    pub gaps: Memo<Vec<Gap>>,
    /// Goes to an address; with `true` instead of the present one.
    pub go: Callback<(String, bool)>,
    opened: RwSignal<HashMap<StepId, bool>>,
    reloading: RwSignal<bool>,
}

impl RunModel {
    /// The model of a run. `open` are groups that the address opens; `wanted` is the step that it selects; `place` is what
    /// else it says, and `go` leads to another.
    #[must_use]
    pub fn new(
        org: String,
        detail: RunDetail,
        open: &[StepId],
        wanted: Option<&str>,
        place: Memo<Place>,
        go: Callback<(String, bool)>,
    ) -> Self {
        let (id, now, accepted) = (detail.summary.id, detail.now, detail.summary.created_at);
        let data = RunData::of(detail);
        let selected = key_of(&data, wanted);
        let mut opened: HashMap<_, _> = open.iter().map(|id| (id.clone(), true)).collect();
        if let Some(key) = selected {
            open_above(&data, key, &mut opened);
        }
        let loaded_steps = StoredValue::new(data.view.steps.len());
        let (data, opened, now) = (RwSignal::new(data), RwSignal::new(opened), RwSignal::new(now));
        let (selected, zoom) = (RwSignal::new(selected), RwSignal::new(0));
        let hits = RwSignal::new(Hits::default());
        let root = Memo::new(move |_| {
            let root = place.with(|place| place.root.clone());
            root.and_then(|root| data.with(|data| data.tree.find(&root)))
        });
        let lines = Memo::new(move |_| {
            let root = root.get();
            let rows = data.with(|data| {
                let shown = match place.with(|place| place.only) {
                    Only::All => None,
                    Only::Errors => Some(data.tree.with_above(&data.errors)),
                    Only::Found => Some(hits.with(|hits| data.tree.with_above(&hits.steps))),
                };
                opened.with(|opened| rows(data, &Part { root, shown }, opened, loaded_steps.get_value()))
            });
            let places = rows.iter().enumerate().map(|(place, row)| (row.key, place)).collect();
            Lines { rows, places }
        });
        let folds = RwSignal::new(true);
        let gaps = Memo::new(move |_| {
            data.with(|data| {
                let since = |at: Timestamp| (at - accepted).num_milliseconds();
                let root = root.get().and_then(|root| data.view.steps.get(root));
                let ends = root.map_or(data.view.finished_at, |root| root.finished_at.or(data.view.finished_at));
                // A large run that goes on is not searched for gaps each time that something happens.
                if ends.is_none() && data.view.steps.len() > SEARCHED {
                    return Vec::new();
                }
                // Of what goes on, what is behind it: its last event, not the clock, which would move all bars each second.
                let end = ends.unwrap_or_else(|| data.view.steps.iter().map(last_moment).max().unwrap_or(accepted));
                gaps_in(
                    &data.view,
                    &data.tree,
                    accepted,
                    end,
                    (root.map_or(0, |root| since(root.queued_at).max(0)), since(end)),
                )
            })
        });
        let scale = Memo::new(move |_| {
            let (from, to, ended, middle) = data.with(|data| {
                let since = |at: Timestamp| (at - accepted).num_milliseconds();
                let step = selected.get().filter(|_| zoom.get() > 0).and_then(|key| data.view.steps.get(key.step));
                let middle = step.and_then(|step| step.started_at).map_or(0, since);
                let root = root.get().and_then(|root| data.view.steps.get(root));
                let ends = root.map_or(data.view.finished_at, |root| root.finished_at.or(data.view.finished_at));
                let from = root.map_or(0, |root| since(root.queued_at).max(0));
                (from, since(ends.unwrap_or_else(|| now.get())), ends.is_some(), middle)
            });
            let scale = Scale::of_part(from, to, ended);
            let found = if folds.get() { gaps.get() } else { Vec::new() };
            scale.folding(found).magnified(zoom.get(), middle)
        });
        let marks_path = RwSignal::new(false);
        let path = Memo::new(move |_| {
            if marks_path.get() { data.with(|data| critical_path(&data.view, &data.tree)) } else { Vec::new() }
        });
        Self {
            org: StoredValue::new(org),
            id,
            data,
            now,
            selected,
            writing: RwSignal::default(),
            fresh_logs: RwSignal::default(),
            zoom,
            lines,
            scale,
            mended: RwSignal::new(0),
            place,
            root,
            hits,
            marks_path,
            path,
            folds,
            gaps,
            go,
            opened,
            reloading: RwSignal::new(false),
        }
    }

    /// Takes in what the stream brought, in one step: whatever depends on it is drawn once.
    pub fn take(self, messages: Vec<Message>) {
        let mut gap = false;
        let mut logs = Vec::new();
        let mut partials = Vec::new();
        let mut events = Vec::new();
        for message in messages {
            match message {
                Message::Event(event) => match serde_json::from_slice::<StoredEvent>(event.as_bytes()) {
                    Ok(event) => events.push(event),
                    Err(_) => gap = true,
                },
                Message::Partial(partial) => partials.push(partial),
                Message::Changed => gap = true,
            }
        }
        if !events.is_empty() {
            self.data.update(|data| {
                for event in &events {
                    if data.view.apply(event) {
                        logs.extend(log_line(event));
                        if let Event::StepProgress { step, done, total } = &event.event {
                            data.progress.insert(step.clone(), (*done, *total));
                        }
                    } else {
                        gap |= event.seq > data.view.last_seq;
                    }
                }
                data.grow();
            });
        }
        if !logs.is_empty() {
            self.fresh_logs.update(|lines| lines.extend(logs));
        }
        if !partials.is_empty() {
            self.writing.update(|writing| partials.into_iter().for_each(|partial| write_on(writing, partial)));
        }
        if gap {
            self.reload();
        }
    }

    /// Fetches the run anew: after a gap in the stream, and now and then while the tab is hidden.
    pub fn reload(self) {
        if self.reloading.try_get_untracked() != Some(false) {
            return;
        }
        self.reloading.set(true);
        let org = self.org.get_value();
        spawn_local(async move {
            let answer = api::find_run(org, self.id).await;
            let _ = self.reloading.try_set(false);
            let Ok(api::Found { detail, .. }) = answer else { return };
            let _ = self.mended.try_update(|times| *times += 1);
            let _ = self.data.try_update(|data| {
                if detail.view.last_seq >= data.view.last_seq {
                    let progress = std::mem::take(&mut data.progress);
                    *data = RunData { progress, ..RunData::of(detail) };
                }
            });
        });
    }

    /// How many lines of the log came live of a step and those below it.
    pub fn fresh_lines(self, step: &StepId) -> usize {
        let is_its = |line: &&LogLine| line.step.as_ref().is_some_and(|of| of == step || step.holds(of));
        self.fresh_logs.with(|lines| lines.iter().filter(is_its).count())
    }

    /// Selects a line and opens what it is in.
    pub fn select(self, key: RowKey) {
        self.data.with_untracked(|data| {
            let mut opened = self.opened.get_untracked();
            if open_above(data, key, &mut opened) {
                self.opened.set(opened);
            }
        });
        self.selected.set(Some(key));
    }

    /// Opens or closes groups.
    pub fn set_open(self, steps: &[usize], open: bool) {
        self.data.with_untracked(|data| {
            self.opened.update(|opened| {
                for step in steps.iter().filter_map(|place| data.view.steps.get(*place)) {
                    opened.insert(step.id.clone(), open);
                }
            });
        });
    }

    /// Opens every group down to a depth and closes the deeper ones.
    pub fn open_to(self, depth: usize) {
        self.data.with_untracked(|data| {
            let root = self.root.get_untracked().and_then(|root| data.tree.node(root));
            let depth = depth + root.map_or(0, |root| root.depth);
            let groups =
                (0..data.tree.len()).filter_map(|place| Some((data.view.steps.get(place)?, data.tree.node(place)?)));
            self.opened.set(groups.map(|(step, node)| (step.id.clone(), node.depth + 1 < depth)).collect());
        });
    }

    /// Selects the next or the previous error.
    pub fn to_error(self, forward: bool) {
        self.to_next(forward, self.data.with_untracked(|data| data.errors.clone()));
    }

    /// Selects the next or the previous step that the search found.
    pub fn to_hit(self, forward: bool) {
        self.to_next(forward, self.hits.with_untracked(|hits| hits.steps.clone()));
    }

    /// Selects the next or the previous one of these steps, as far as they are below the root.
    fn to_next(self, forward: bool, mut order: Vec<usize>) {
        let root = self.root.get_untracked();
        self.data.with_untracked(|data| order.retain(|step| data.tree.is_in(root, *step)));
        let at = self.selected.get_untracked().and_then(|key| order.iter().position(|step| *step == key.step));
        let target = match (at, forward) {
            (Some(at), true) => order.get((at + 1) % order.len()),
            (Some(at), false) => order.get((at + order.len() - 1) % order.len()),
            (None, true) => order.first(),
            (None, false) => order.last(),
        };
        if let Some(step) = target {
            self.select(RowKey::of(*step));
        }
    }

    /// Marks the steps that a search found.
    pub fn mark(self, steps: &[String]) {
        let hits = self.data.with_untracked(|data| Hits::of(&data.tree, steps));
        let _ = self.hits.try_set(hits);
    }

    /// The selected line in the address; empty while none is.
    #[must_use]
    pub fn selected_address(self) -> String {
        self.selected.get().and_then(|key| self.address_of(key)).unwrap_or_default()
    }

    /// The step around the root; the outer nothing while nothing is the root.
    #[must_use]
    pub fn outer(self) -> Option<Option<StepId>> {
        let root = self.root.get()?;
        Some(self.data.with(|data| {
            let above = data.tree.node(root)?.parent?;
            data.view.steps.get(above).map(|step| step.id.clone())
        }))
    }

    /// The step's id in the address; with the attempt for the line of a failed one.
    #[must_use]
    pub fn address_of(self, key: RowKey) -> Option<String> {
        self.data.with_untracked(|data| address_of(data, key))
    }

    /// The line that a step's id in the address means.
    #[must_use]
    pub fn key_of(self, wanted: &str) -> Option<RowKey> {
        self.data.with_untracked(|data| key_of(data, Some(wanted)))
    }

    /// The selected step as it stands, for a key.
    #[must_use]
    pub fn selected_step_untracked(self) -> Option<StepView> {
        untrack(|| self.selected_step())
    }

    /// The selected step as it stands.
    #[must_use]
    pub fn selected_step(self) -> Option<StepView> {
        let key = self.selected.get()?;
        self.data.with(|data| data.view.steps.get(key.step).cloned())
    }
}

/// The step's id in the address; with the attempt for the line of a failed one: `triage.lookup1~2`.
#[must_use]
pub fn address_of(data: &RunData, key: RowKey) -> Option<String> {
    let step = data.view.steps.get(key.step)?;
    Some(if key.attempt == 0 { step.id.to_string() } else { format!("{}~{}", step.id, key.attempt) })
}

/// The line that the address means; without one, the line that the page opens with.
fn key_of(data: &RunData, wanted: Option<&str>) -> Option<RowKey> {
    let Some(wanted) = wanted else {
        return data.tree.opens_with(&data.view).map(RowKey::of);
    };
    let (id, attempt) = step_of(wanted);
    let step = data.tree.find(&id)?;
    let known = data.view.steps[step].failures.iter().any(|failure| failure.attempt == attempt);
    Some(RowKey { step, attempt: if known { attempt } else { 0 } })
}

/// The step and the attempt of an address.
#[must_use]
pub fn step_of(wanted: &str) -> (StepId, u32) {
    // What mends a step has such a mark in its id, too: `fetch.~alt1`.
    let attempt = wanted.rsplit_once('~').and_then(|(id, attempt)| Some((id, attempt.parse().ok()?)));
    match attempt {
        Some((id, attempt)) => (StepId::from_text(id), attempt),
        None => (StepId::from_text(wanted), 0),
    }
}

/// Opens everything above a line; says whether anything was closed.
fn open_above(data: &RunData, key: RowKey, opened: &mut HashMap<StepId, bool>) -> bool {
    let own = (key.attempt > 0).then_some(key.step);
    let above: Vec<_> = own.into_iter().chain(data.tree.above(key.step)).collect();
    let mut changed = false;
    for step in above.into_iter().filter_map(|place| data.view.steps.get(place)) {
        changed |= opened.insert(step.id.clone(), true) != Some(true);
    }
    changed
}

fn rows(data: &RunData, part: &Part, opened: &HashMap<StepId, bool>, loaded: usize) -> Vec<Row> {
    data.tree.rows(&data.view.steps, part, |place| {
        let step = &data.view.steps[place];
        // What came while the page was open is held to the rule of a large run: nothing snaps shut as a run grows.
        let in_all = if place < loaded { loaded } else { usize::MAX };
        let by_itself = || part.shown.is_some() || part.root == Some(place) || opens_by_itself(step.kind, in_all);
        opened.get(&step.id).copied().unwrap_or_else(by_itself)
    })
}

/// The last moment that is known of a step.
fn last_moment(step: &StepView) -> Timestamp {
    step.finished_at.or(step.attempt_at).or(step.started_at).unwrap_or(step.queued_at)
}

fn log_line(event: &StoredEvent) -> Option<LogLine> {
    match &event.event {
        Event::Log { level, step, message, .. } => {
            Some(LogLine { seq: event.seq, at: event.at, level: *level, step: step.clone(), message: message.clone() })
        }
        _ => None,
    }
}

fn write_on(writing: &mut HashMap<StepId, Writing>, partial: Partial) {
    let entry =
        writing.entry(partial.step).or_insert_with(|| Writing { attempt: partial.attempt, text: String::new() });
    if entry.attempt != partial.attempt {
        // A new attempt begins anew.
        *entry = Writing { attempt: partial.attempt, text: String::new() };
    }
    match partial.text {
        None => entry.text.clear(),
        Some(text) if entry.text.len() < WRITING_LENGTH => entry.text.push_str(&text),
        Some(_) => {}
    }
}
