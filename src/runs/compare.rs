//! Two runs beside each other: their steps set side by side by their ids, what differs of each, and where it began. The
//! steps come without payloads: whether those differ the database says.

use std::collections::HashMap;

use serde_json::Value;

use super::{RunFilter, RunSummary, listing, service, store};
use crate::{
    access::{Grant, right},
    engine::{
        journal::Usage,
        plan::Plan,
        state::{StepId, StepKind, StepState},
    },
    kernel::{Error, Result, RunId, Timestamp},
};

/// So many steps are shown at once.
pub const WINDOW: usize = 200;
/// So many runs are offered to compare with.
const OFFERED: u32 = 50;

/// A step as one of the runs has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Its place among all steps of the run, by when they came to be.
    pub ordinal: i32,
    /// Its state.
    pub state: StepState,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it used itself.
    pub usage: Usage,
}

impl Side {
    /// How long it took, in milliseconds; nothing before it has ended.
    #[must_use]
    pub fn lasted(&self) -> Option<i64> {
        Some((self.finished_at? - self.started_at?).num_milliseconds().max(0))
    }
}

/// A step of two runs. One of the sides may lack it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its path.
    pub id: StepId,
    /// What it is.
    pub kind: StepKind,
    /// What is shown.
    pub name: String,
    /// As the first run has it, and as the second.
    pub sides: [Option<Side>; 2],
    /// Whether what went in differs.
    pub input: bool,
    /// Whether what came out differs.
    pub output: bool,
    /// Whether another error is at the end of it.
    pub error: bool,
    /// How deep it nests among the steps that there are.
    pub depth: usize,
}

impl Pair {
    /// Whether anything differs but times and sums.
    #[must_use]
    pub fn differs(&self) -> bool {
        match self.sides {
            [Some(one), Some(other)] => one.state != other.state || self.input || self.output || self.error,
            _ => true,
        }
    }
}

/// The pairs in the order of the tree: parents before children, siblings as the second run has them, and what only the
/// first has after what it followed there.
#[must_use]
pub fn in_order(pairs: Vec<Pair>) -> Vec<Pair> {
    let places: HashMap<StepId, usize> =
        pairs.iter().enumerate().map(|(place, pair)| (pair.id.clone(), place)).collect();
    let mut below: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (place, pair) in pairs.iter().enumerate() {
        let mut above = std::iter::successors(pair.id.parent(), StepId::parent);
        let parent = above.find_map(|above| places.get(&above).copied());
        below.entry(parent).or_default().push(place);
    }
    for siblings in below.values_mut() {
        *siblings = merged(&pairs, siblings);
    }
    let mut order = Vec::with_capacity(pairs.len());
    let mut stack: Vec<(usize, usize)> =
        below.get(&None).into_iter().flatten().rev().map(|place| (*place, 0)).collect();
    while let Some((place, depth)) = stack.pop() {
        order.push((place, depth));
        stack.extend(below.get(&Some(place)).into_iter().flatten().rev().map(|child| (*child, depth + 1)));
    }
    let mut pairs: Vec<_> = pairs.into_iter().map(Some).collect();
    let take = |(place, depth): (usize, usize)| Some(Pair { depth, ..pairs.get_mut(place)?.take()? });
    order.into_iter().filter_map(take).collect()
}

fn merged(pairs: &[Pair], siblings: &[usize]) -> Vec<usize> {
    let by_side = |side: usize| {
        let ordinal = |place: &usize| pairs[*place].sides[side].map(|side| side.ordinal);
        let mut places: Vec<_> = siblings.iter().copied().filter(|place| ordinal(place).is_some()).collect();
        places.sort_by_key(ordinal);
        places
    };
    // What only the first run has, by what it followed there.
    let mut after: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    let mut anchor = None;
    for place in by_side(0) {
        if pairs[place].sides[1].is_some() {
            anchor = Some(place);
        } else {
            after.entry(anchor).or_default().push(place);
        }
    }
    let mut out = after.remove(&None).unwrap_or_default();
    for place in by_side(1) {
        out.push(place);
        out.extend(after.remove(&Some(place)).unwrap_or_default());
    }
    out
}

/// Where the difference began, of pairs in order: the first one that differs; where its input is the same, what is inside
/// of it made the difference. What the runs were given, which is what their start gives on, counts where nothing else does.
#[must_use]
pub fn first_difference(pairs: &[Pair]) -> Option<usize> {
    let works = |pair: &Pair| pair.differs() && !is_given(pair);
    let mut found = pairs.iter().position(works).or_else(|| pairs.iter().position(Pair::differs))?;
    loop {
        let outer = &pairs[found];
        let same_task = outer.sides.iter().all(Option::is_some) && !outer.input;
        let inside = pairs[found + 1..].iter().take_while(|pair| pair.depth > outer.depth);
        match inside.enumerate().find(|(_, pair)| pair.differs()) {
            Some((place, _)) if same_task => found += place + 1,
            _ => return Some(found),
        }
    }
}

/// Whether what a step gives on is what its run was given.
fn is_given(pair: &Pair) -> bool {
    pair.kind == StepKind::Start && pair.depth == 0 && pair.sides.iter().all(Option::is_some)
}

/// What of a comparison is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// Whether the steps that are the same are shown, too.
    pub all: bool,
    /// How many of the steps come before those that are shown.
    pub from: usize,
    /// The step whose input and output are shown.
    pub step: Option<StepId>,
}

/// A value of both runs; nothing where there is none, or where it is too large to be shown unasked.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// The values.
    pub values: [Option<Value>; 2],
    /// How large they are as JSON; 0 where there is none.
    pub bytes: [u64; 2],
}

/// The step that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The step.
    pub pair: Pair,
    /// What went in.
    pub input: Values,
    /// What came out.
    pub output: Values,
}

/// An agent of the runs' plans: its name, and its version in each.
pub type AgentVersions = (String, [Option<i32>; 2]);

/// Two runs beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The runs.
    pub runs: [RunSummary; 2],
    /// The agents that they have, by name.
    pub agents: Vec<AgentVersions>,
    /// A window on the steps.
    pub steps: Vec<Pair>,
    /// Whether there are more after them.
    pub more: bool,
    /// How many steps there are, on either side.
    pub total: usize,
    /// How many of them differ.
    pub differing: usize,
    /// Whether the runs were given different inputs.
    pub given: bool,
    /// Where the difference began.
    pub first: Option<Pair>,
    /// The step that is looked at.
    pub chosen: Option<Chosen>,
}

/// Two runs beside each other.
///
/// # Errors
/// `not_found`, for either run.
pub async fn compare(grant: &Grant<right::ViewPayloads>, runs: [RunId; 2], ask: &Ask) -> Result<Comparison> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let [one, other] = runs;
    let summaries = [service::summary(&mut tx, one).await?, service::summary(&mut tx, other).await?];
    let plans = [store::plan(&mut tx, one).await?, store::plan(&mut tx, other).await?];
    let pairs = in_order(store::compare::pairs(&mut tx, one, other).await?);
    let first = first_difference(&pairs).map(|place| pairs[place].clone());
    let wanted = ask.step.as_ref().and_then(|step| pairs.iter().find(|pair| pair.id == *step)).cloned();
    let chosen = match wanted {
        Some(pair) => Some(chosen(&mut tx, runs, pair).await?),
        None => None,
    };
    let given = pairs.iter().any(|pair| is_given(pair) && pair.output);
    let (total, differing) = (pairs.len(), pairs.iter().filter(|pair| pair.differs()).count());
    let shown = if ask.all { total } else { differing };
    let steps = pairs.into_iter().filter(|pair| ask.all || pair.differs()).skip(ask.from).take(WINDOW).collect();
    Ok(Comparison {
        runs: summaries,
        agents: agents(&plans),
        steps,
        more: ask.from.saturating_add(WINDOW) < shown,
        total,
        differing,
        given,
        first,
        chosen,
    })
}

async fn chosen(tx: &mut crate::db::TenantTx, runs: [RunId; 2], pair: Pair) -> Result<Chosen> {
    let none = || Values { values: [None, None], bytes: [0, 0] };
    let (mut input, mut output) = (none(), none());
    for (side, run) in runs.into_iter().enumerate() {
        if let Some((went_in, came_out)) = store::step_payloads(tx, run, &pair.id).await? {
            (input.values[side], input.bytes[side]) = service::shown(tx, went_in, false).await?;
            (output.values[side], output.bytes[side]) = service::shown(tx, came_out, false).await?;
        }
    }
    Ok(Chosen { pair, input, output })
}

fn agents(plans: &[Option<Plan>; 2]) -> Vec<AgentVersions> {
    let mut found: std::collections::BTreeMap<String, [Option<i32>; 2]> = std::collections::BTreeMap::new();
    for (side, plan) in plans.iter().enumerate() {
        for agent in plan.iter().flat_map(|plan| plan.agents.values()) {
            found.entry(agent.name.clone()).or_default()[side] = Some(agent.version);
        }
    }
    found.into_iter().collect()
}

/// What a run can be compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The run.
    pub run: RunSummary,
    /// The run that it does again, and those that do it again, the newest first.
    pub related: Vec<RunSummary>,
    /// Other runs of its workflow, the newest first.
    pub others: Vec<RunSummary>,
    /// How many runs do it again, in all.
    pub again: u64,
}

/// What a run can be compared with.
///
/// # Errors
/// `not_found`.
pub async fn offer(grant: &Grant<right::View>, run: RunId) -> Result<Offer> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let own = store::summary(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let related = store::compare::related(&mut tx, run).await?;
    let again = store::compare::count_again(&mut tx, run).await?;
    let filter = RunFilter { workflow: Some(own.workflow_id), ..RunFilter::default() };
    drop(tx);
    let mut others = listing::list(grant, &filter, None, OFFERED + 1).await?.items;
    others.retain(|other| other.id != run && related.iter().all(|known| known.id != other.id));
    others.truncate(OFFERED as usize);
    Ok(Offer { run: own, related, others, again })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(ordinal: i32, state: StepState) -> Option<Side> {
        Some(Side { ordinal, state, started_at: None, finished_at: None, usage: Usage::default() })
    }

    fn pair(id: &str, one: Option<i32>, other: Option<i32>) -> Pair {
        let of = |ordinal: Option<i32>| ordinal.and_then(|ordinal| side(ordinal, StepState::Succeeded));
        Pair {
            id: StepId::from_text(id),
            kind: StepKind::Transform,
            name: id.to_owned(),
            sides: [of(one), of(other)],
            input: false,
            output: false,
            error: false,
            depth: 0,
        }
    }

    fn ids(pairs: &[Pair]) -> Vec<(&str, usize)> {
        pairs.iter().map(|pair| (pair.id.as_str(), pair.depth)).collect()
    }

    #[test]
    fn steps_stand_as_in_the_tree_and_what_one_run_lacks_stands_where_the_other_has_it() {
        let pairs = in_order(vec![
            pair("end", Some(9), Some(20)),
            pair("each.2", Some(4), None),
            pair("each.0", Some(2), Some(8)),
            pair("fetch.~alt1", None, Some(3)),
            pair("each", Some(1), Some(7)),
            pair("each.10", Some(5), None),
            pair("fetch", Some(0), Some(1)),
            pair("each.1", Some(3), Some(9)),
            pair("dropped", Some(6), None),
            pair("each.0.call", Some(7), Some(10)),
        ]);
        assert_eq!(
            ids(&pairs),
            [
                ("fetch", 0),
                ("fetch.~alt1", 1),
                ("each", 0),
                ("each.0", 1),
                ("each.0.call", 2),
                ("each.1", 1),
                ("each.2", 1),
                ("each.10", 1),
                ("dropped", 0),
                ("end", 0),
            ]
        );
    }

    #[test]
    fn a_step_whose_parent_neither_run_has_stands_at_the_nearest_one() {
        let pairs = in_order(vec![pair("a.b.c", Some(2), None), pair("a", Some(1), Some(1))]);
        assert_eq!(ids(&pairs), [("a", 0), ("a.b.c", 1)]);
    }

    #[test]
    fn the_difference_began_at_the_innermost_step_that_had_the_same_task() {
        let mut pairs = in_order(vec![
            pair("fetch", Some(0), Some(0)),
            pair("draft", Some(1), Some(1)),
            pair("draft.model1", Some(2), Some(2)),
            pair("draft.model2", Some(3), Some(3)),
            pair("send", Some(4), Some(4)),
        ]);
        assert_eq!(first_difference(&pairs), None);
        pairs[4].input = true;
        assert_eq!(first_difference(&pairs), Some(4));
        (pairs[1].output, pairs[2].output, pairs[3].input) = (true, true, true);
        assert_eq!(first_difference(&pairs), Some(2), "the first model call answered otherwise");
        pairs[1].input = true;
        assert_eq!(first_difference(&pairs), Some(1), "it was asked something else");
        pairs[0].sides[1] = side(0, StepState::Failed);
        assert_eq!(first_difference(&pairs), Some(0));
        (pairs[0].kind, pairs[0].output) = (StepKind::Start, true);
        assert_eq!(first_difference(&pairs), Some(1), "what they were given is no step's work");
        assert_eq!(first_difference(&pairs[..1]), Some(0), "but it is a difference");
        pairs[0].sides[0] = None;
        assert!(pairs[0].differs());
        assert_eq!(first_difference(&pairs), Some(0));
    }

    #[test]
    fn many_steps_that_only_one_run_has_are_set_in_order_in_one_go() {
        let many =
            (0..30_000).map(|place| pair(&format!("each.{place}"), Some(place + 1), (place < 10).then_some(place)));
        let pairs = in_order(std::iter::once(pair("each", Some(0), Some(-1))).chain(many).collect());
        assert_eq!(pairs.len(), 30_001);
        assert!(
            pairs
                .windows(2)
                .all(|two| two[0].sides[0].map(|side| side.ordinal) < two[1].sides[0].map(|side| side.ordinal))
        );
    }
}
