//! The critical path of a run: the chain of steps that determined when it ended. Each of them began when the one before it
//! had ended, so the run would have been faster only if one of them had been.

use agentflow::{
    engine::{
        journal::{RunView, StepView},
        state::{RunState, StepState},
    },
    kernel::Timestamp,
};

use super::tree::Tree;

/// Of each step whether it is on the critical path. From the end backwards: of the steps beside each other the last one to
/// end, then the last one that had ended before that one was ready, and so on; and the same inside of each. What was
/// stopped because the run failed did not determine its end.
#[must_use]
pub fn critical_path(view: &RunView, tree: &Tree) -> Vec<bool> {
    let steps = &view.steps;
    let counts = |place: &usize| {
        let step = &steps[*place];
        step.started_at.is_some() && (step.state != StepState::Cancelled || view.state != RunState::Failed)
    };
    let mut on_path = vec![false; steps.len()];
    let roots = tree.ordered(|place| tree.node(place).is_some_and(|node| node.parent.is_none()));
    let mut groups = vec![(roots, Timestamp::MAX_UTC)];
    while let Some((siblings, mut until)) = groups.pop() {
        let ends = |step: &StepView| step.finished_at.unwrap_or(Timestamp::MAX_UTC);
        let mut began: Vec<_> = siblings.into_iter().filter(counts).collect();
        began.sort_by_key(|place| std::cmp::Reverse((ends(&steps[*place]), steps[*place].started_at, *place)));
        for place in began {
            let step = &steps[place];
            // What is still under way determines an end that is to come.
            if ends(step) > until {
                continue;
            }
            on_path[place] = true;
            if let Some(node) = tree.node(place) {
                groups.push((node.children.clone(), ends(step)));
            }
            until = step.queued_at;
        }
    }
    on_path
}

#[cfg(test)]
mod tests {
    use agentflow::engine::state::StepKind;

    use super::*;
    use crate::runs::fixture::{failing_run, folded, head, numbered, started, succeeded};

    fn path(view: &RunView) -> Vec<&str> {
        let tree = Tree::of(&view.steps);
        let on_path = critical_path(view, &tree);
        tree.ordered(|place| on_path[place]).into_iter().map(|place| view.steps[place].id.as_str()).collect()
    }

    #[test]
    fn of_two_branches_the_longer_one_counts_with_what_was_before_and_after() {
        let step = |id: &str, queued| head(id, StepKind::Transform, queued);
        let (first, short, long, last) = (step("first", 0), step("short", 100), step("long", 100), step("last", 900));
        let inner = step("long.call", 150);
        let view = folded(&numbered([
            (10, started(&first, 1)),
            (100, succeeded(&first, 1)),
            (110, started(&short, 1)),
            (110, started(&long, 1)),
            (160, started(&inner, 1)),
            (300, succeeded(&short, 1)),
            (890, succeeded(&inner, 1)),
            (900, succeeded(&long, 1)),
            (910, started(&last, 1)),
            (1_000, succeeded(&last, 1)),
        ]));
        assert_eq!(path(&view), ["first", "long", "long.call", "last"]);
    }

    #[test]
    fn a_failed_run_ended_with_what_failed_last() {
        let view = folded(&failing_run());
        assert_eq!(path(&view), ["triage", "triage.model1", "triage.lookup1"]);
    }

    #[test]
    fn many_steps_are_walked_once() {
        let parent = head("each", StepKind::Map, 0);
        let mut events = vec![(1, started(&parent, 1))];
        for place in 0..10_000_i64 {
            let item = head(&format!("each.{place}"), StepKind::Item, 2 + place);
            events.extend([(2 + place, started(&item, 1)), (3 + place, succeeded(&item, 1))]);
        }
        events.push((20_000, succeeded(&parent, 1)));
        let view = folded(&numbered(events));
        assert_eq!(path(&view).len(), 10_001, "one after the other, each counts");
    }
}
