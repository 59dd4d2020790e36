//! A run's steps as a tree, and the tree as rows. Flat arrays and single passes: the same code draws nine steps and thirty
//! thousand. Knows nothing of the page.

use std::collections::HashMap;

use agentflow::{
    engine::{
        journal::{RunView, StepView, Usage},
        state::{RunState, StepId, StepKind, StepState, WaitingOn},
    },
    kernel::Timestamp,
};

/// Depth from which rows are no longer moved to the right; a number says how deep they are.
pub const DEEPEST_INDENT: usize = 8;

/// How the children of a step stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Done.
    pub succeeded: u32,
    /// Given up.
    pub failed: u32,
    /// At work, or between two attempts.
    pub running: u32,
    /// Waiting for a person or a moment.
    pub waiting: u32,
    /// Not begun, skipped or stopped.
    pub other: u32,
}

impl Counts {
    /// All children.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.succeeded + self.failed + self.running + self.waiting + self.other
    }

    fn count(&mut self, state: StepState, asks: bool) {
        match state {
            StepState::Succeeded => self.succeeded += 1,
            StepState::Failed => self.failed += 1,
            StepState::Waiting if asks => self.waiting += 1,
            StepState::Running | StepState::Retrying | StepState::Waiting => self.running += 1,
            StepState::Uncertain => self.waiting += 1,
            StepState::Pending | StepState::Queued | StepState::Skipped | StepState::Cancelled => self.other += 1,
        }
    }

    /// `400 items: 391 ok, 6 failed, 3 running`.
    #[must_use]
    pub fn words(self) -> String {
        let parts: Vec<_> =
            [(self.succeeded, "ok"), (self.failed, "failed"), (self.running, "running"), (self.waiting, "waiting")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, word)| format!("{count} {word}"))
                .collect();
        let noun = if self.total() == 1 { "item" } else { "items" };
        if parts.is_empty() {
            return format!("{} {noun}", self.total());
        }
        format!("{} {noun}: {}", self.total(), parts.join(", "))
    }
}

/// A step's place in the tree, and what is below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// The step that it nests in.
    pub parent: Option<usize>,
    /// The steps that nest in it, in the order in which they came to be.
    pub children: Vec<usize>,
    /// How deep: 0 at the root.
    pub depth: usize,
    /// What it and everything below it used.
    pub total: Usage,
    /// Whether something below it failed.
    pub failed_below: bool,
    /// Whether it or something below it waits for a person.
    pub asks: bool,
    /// How its children stand.
    pub counts: Counts,
}

/// The tree of a list of steps; a step is its place in that list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    /// Every step, parents before children.
    order: Vec<usize>,
    index: HashMap<StepId, usize>,
}

/// One line on screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which step and, for the line of a failed attempt, which attempt.
    pub key: RowKey,
    /// How deep: 0 at the root.
    pub depth: usize,
    /// Its place among its siblings, from 1.
    pub position: usize,
    /// How many siblings there are, itself included.
    pub siblings: usize,
    /// Whether its children show; nothing where there are none.
    pub open: Option<bool>,
    /// At which depths a line runs through to a later sibling: bit 0 is depth 0.
    pub guides: u32,
}

/// What a line shows: a step, or one of its failed attempts (`attempt` is not 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// The step's place in the list.
    pub step: usize,
    /// The attempt; 0 for the step itself.
    pub attempt: u32,
}

impl RowKey {
    /// The line of a step.
    #[must_use]
    pub const fn of(step: usize) -> Self {
        Self { step, attempt: 0 }
    }
}

/// Which part of a tree shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// The step that is its root; all of it without one.
    pub root: Option<usize>,
    /// Of each step whether it shows; all do without this.
    pub shown: Option<Vec<bool>>,
}

impl Part {
    fn shows(&self, step: usize) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.get(step).copied().unwrap_or_default())
    }
}

impl Tree {
    /// The tree of these steps.
    #[must_use]
    pub fn of(steps: &[StepView]) -> Self {
        let mut tree = Self::default();
        tree.grow(steps);
        tree
    }

    /// Takes in what became of the steps since: new ones are at the end of the list, and no step changes its place.
    pub fn grow(&mut self, steps: &[StepView]) {
        let known = self.nodes.len();
        let fresh = steps.iter().enumerate().skip(known);
        self.index.extend(fresh.clone().map(|(place, step)| (step.id.clone(), place)));
        self.nodes.resize_with(steps.len(), Node::default);
        for (place, step) in fresh {
            match nearest(&self.index, &step.id) {
                Some(parent) => {
                    self.nodes[place].parent = Some(parent);
                    self.nodes[parent].children.push(place);
                }
                None => self.roots.push(place),
            }
        }
        if steps.len() > known {
            self.arrange();
        }
        self.add_up(steps);
    }

    fn arrange(&mut self) {
        self.order.clear();
        let mut stack: Vec<_> = self.roots.iter().rev().copied().collect();
        while let Some(place) = stack.pop() {
            self.order.push(place);
            let depth = self.nodes[place].parent.map_or(0, |parent| self.nodes[parent].depth + 1);
            self.nodes[place].depth = depth;
            stack.extend(self.nodes[place].children.iter().rev());
        }
    }

    /// From the leaves up: children come after their parents in `order`.
    fn add_up(&mut self, steps: &[StepView]) {
        for node in &mut self.nodes {
            (node.total, node.failed_below, node.asks, node.counts) = Default::default();
        }
        for &place in self.order.iter().rev() {
            let step = &steps[place];
            self.nodes[place].total += step.usage;
            self.nodes[place].asks |= step.state == StepState::Waiting && step.approval.is_some();
            let Node { parent, total, failed_below, asks, .. } = self.nodes[place];
            let Some(parent) = parent else { continue };
            let above = &mut self.nodes[parent];
            above.total += total;
            above.failed_below |= failed_below || step.state == StepState::Failed;
            above.asks |= asks;
            above.counts.count(step.state, asks || step.wake_at.is_some());
        }
    }

    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A step's node.
    #[must_use]
    pub fn node(&self, step: usize) -> Option<&Node> {
        self.nodes.get(step)
    }

    /// The place of a step.
    #[must_use]
    pub fn find(&self, id: &StepId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The steps above this one, the nearest first.
    pub fn above(&self, step: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.nodes.get(step).and_then(|node| node.parent), |place| self.nodes[*place].parent)
    }

    /// Whether a step is this one or below it; every step is below none.
    #[must_use]
    pub fn is_in(&self, root: Option<usize>, step: usize) -> bool {
        root.is_none_or(|root| root == step || self.above(step).any(|above| above == root))
    }

    /// The steps that are wanted, in tree order.
    #[must_use]
    pub fn ordered(&self, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        self.order.iter().copied().filter(|place| wanted(*place)).collect()
    }

    /// These steps and everything above them.
    #[must_use]
    pub fn with_above(&self, steps: &[usize]) -> Vec<bool> {
        let mut shown = vec![false; self.nodes.len()];
        for &step in steps {
            let mut at = Some(step);
            while let Some(place) = at.filter(|place| !shown[*place]) {
                shown[place] = true;
                at = self.nodes[place].parent;
            }
        }
        shown
    }

    /// The lines on screen: everything of a part whose parents are all open. The attempts that failed come before the
    /// children.
    #[must_use]
    pub fn rows(&self, steps: &[StepView], part: &Part, is_open: impl Fn(usize) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut stack: Vec<Row> = Vec::new();
        let of = |places: &[usize]| places.iter().copied().filter(|place| part.shows(*place)).collect::<Vec<_>>();
        let roots = match part.root {
            Some(root) => vec![root],
            None => of(&self.roots),
        };
        push_lines(&mut stack, roots.iter().copied().map(RowKey::of), roots.len(), 0, 0);
        while let Some(mut row) = stack.pop() {
            let step = row.key.step;
            let (failures, children) = (&steps[step].failures, of(&self.nodes[step].children));
            let below = failures.len() + children.len();
            if row.key.attempt == 0 && below > 0 {
                let open = is_open(step);
                row.open = Some(open);
                if open {
                    let attempts = failures.iter().map(|failure| RowKey { step, attempt: failure.attempt });
                    let lines = attempts.chain(children.iter().copied().map(RowKey::of));
                    push_lines(&mut stack, lines, below, row.depth + 1, row.guides);
                }
            }
            rows.push(row);
        }
        rows
    }

    /// The failures that are nobody else's consequence: failed steps without a failed step below. In tree order.
    #[must_use]
    pub fn errors(&self, steps: &[StepView]) -> Vec<usize> {
        self.ordered(|place| steps[place].state == StepState::Failed && !self.nodes[place].failed_below)
    }

    /// The step that a run's page opens with: where a failed run went wrong, or what waits for a person.
    #[must_use]
    pub fn opens_with(&self, view: &RunView) -> Option<usize> {
        match (view.state, view.waiting_on) {
            (RunState::Failed, _) => self.root_cause(view),
            (RunState::Waiting, Some(WaitingOn::Approval)) => self.order.iter().copied().find(|place| {
                let step = &view.steps[*place];
                step.state == StepState::Waiting && step.approval.is_some()
            }),
            _ => None,
        }
    }

    /// Where a failed run went wrong: the step that its error names, else the first one that failed, and in both cases
    /// the deepest failed step below it.
    #[must_use]
    pub fn root_cause(&self, view: &RunView) -> Option<usize> {
        let named = view.error.as_ref().and_then(|error| error.caused_by.as_ref()).and_then(|id| self.find(id));
        let ended = |place: &usize| view.steps[*place].finished_at.unwrap_or(Timestamp::MAX_UTC);
        let errors = self.errors(&view.steps);
        match named {
            Some(named) => {
                let id = &view.steps[named].id;
                let below = errors.iter().copied().filter(|place| id.holds(&view.steps[*place].id));
                below.min_by_key(ended).or(Some(named))
            }
            None => errors.into_iter().min_by_key(ended),
        }
    }
}

fn push_lines(stack: &mut Vec<Row>, lines: impl Iterator<Item = RowKey>, siblings: usize, depth: usize, guides: u32) {
    let begin = stack.len();
    for (place, key) in lines.enumerate() {
        let runs_on = place + 1 < siblings;
        let bit = if depth < 32 { u32::from(runs_on) << depth } else { 0 };
        stack.push(Row { key, depth, position: place + 1, siblings, open: None, guides: guides | bit });
    }
    stack[begin..].reverse();
}

/// The nearest step above that exists.
fn nearest(index: &HashMap<StepId, usize>, id: &StepId) -> Option<usize> {
    std::iter::successors(id.parent(), StepId::parent).find_map(|above| index.get(&above).copied())
}

/// Whether a group is open when nobody has said anything: small runs show everything, large ones keep maps closed.
#[must_use]
pub fn opens_by_itself(kind: StepKind, steps_in_all: usize) -> bool {
    steps_in_all <= 200 || !matches!(kind, StepKind::Map | StepKind::Item | StepKind::Loop | StepKind::Round)
}

/// A key that moves in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// To the line above.
    Up,
    /// To the line below.
    Down,
    /// Closes, then to the parent.
    Left,
    /// Opens, then to the first child.
    Right,
    /// To the first line.
    Home,
    /// To the last line.
    End,
    /// Opens all siblings.
    Star,
}

/// What a key does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Selects the line with this number.
    To(usize),
    /// Opens or closes the groups of these steps.
    Set(Vec<usize>, bool),
    /// Nothing.
    Stay,
}

/// What a key does on the line with the number `at`, as trees do everywhere.
#[must_use]
pub fn press(rows: &[Row], at: usize, key: Key) -> Move {
    let Some(row) = rows.get(at) else {
        return if rows.is_empty() { Move::Stay } else { Move::To(0) };
    };
    match key {
        Key::Up => at.checked_sub(1).map_or(Move::Stay, Move::To),
        Key::Down if at + 1 < rows.len() => Move::To(at + 1),
        Key::Home => Move::To(0),
        Key::End => Move::To(rows.len() - 1),
        Key::Right => match row.open {
            Some(false) => Move::Set(vec![row.key.step], true),
            Some(true) => Move::To(at + 1),
            None => Move::Stay,
        },
        Key::Left if row.open == Some(true) => Move::Set(vec![row.key.step], false),
        Key::Left => match rows[..at].iter().rposition(|above| above.depth < row.depth) {
            Some(parent) => Move::To(parent),
            None => Move::Stay,
        },
        Key::Star => {
            let begin = rows[..at].iter().rposition(|above| above.depth < row.depth).map_or(0, |place| place + 1);
            let siblings = rows[begin..].iter().take_while(|other| other.depth >= row.depth);
            let closed = siblings.filter(|other| other.depth == row.depth && other.open == Some(false));
            Move::Set(closed.map(|other| other.key.step).collect(), true)
        }
        Key::Down => Move::Stay,
    }
}

/// The next line, from the one after `at` on and round, whose name begins with what was typed. While the same word is
/// being typed the line itself counts too.
#[must_use]
pub fn type_ahead(rows: &[Row], names: impl Fn(RowKey) -> String, at: usize, typed: &str) -> Option<usize> {
    let typed = typed.to_lowercase();
    let first = usize::from(typed.chars().count() == 1);
    (0..rows.len())
        .map(|step| (at + first + step) % rows.len())
        .find(|place| names(rows[*place].key).to_lowercase().starts_with(&typed))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
