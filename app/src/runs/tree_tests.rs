use agentflow::engine::{journal::RunView, state::StepKind};
use proptest::prelude::*;

use super::*;
use crate::runs::fixture::{self, failing_run, folded};

fn drawn(view: &RunView, closed: &[&str]) -> Vec<String> {
    let tree = Tree::of(&view.steps);
    let rows = tree.rows(&view.steps, &Part::default(), |step| !closed.contains(&view.steps[step].id.as_str()));
    let mark = |row: &Row| match row.open {
        Some(true) => "-",
        Some(false) => "+",
        None => " ",
    };
    rows.iter()
        .map(|row| {
            let id = view.steps[row.key.step].id.key();
            let attempt = if row.key.attempt > 0 { format!("#{}", row.key.attempt) } else { String::new() };
            format!("{}{}{id}{attempt} {}/{}", "  ".repeat(row.depth), mark(row), row.position, row.siblings)
        })
        .collect()
}

#[test]
fn a_run_is_drawn_as_a_tree_with_its_failed_attempts() {
    let view = folded(&failing_run());
    assert_eq!(
        drawn(&view, &[]),
        [
            "-triage 1/2",
            "   model1 1/2",
            "  -lookup1 2/2",
            "     lookup1#1 1/2",
            "     lookup1#2 2/2",
            "-each 2/2",
            "   0 1/2",
            "   1 2/2",
        ]
    );
    assert_eq!(drawn(&view, &["triage", "each"]), ["+triage 1/2", "+each 2/2"]);
}

#[test]
fn parents_know_what_everything_below_them_used_and_the_sum_is_the_runs() {
    let view = folded(&failing_run());
    let tree = Tree::of(&view.steps);
    let total = |id: &str| tree.node(tree.find(&StepId::root(id)).expect("a step")).expect("a node").total.tokens();
    assert_eq!((total("triage"), total("each")), (1_000, 7));
    assert_eq!(total("triage") + total("each"), view.usage.tokens());
}

#[test]
fn the_root_cause_is_the_deepest_failure_and_not_the_parent_that_inherited_it() {
    let view = folded(&failing_run());
    let tree = Tree::of(&view.steps);
    let cause = tree.root_cause(&view).expect("a cause");
    assert_eq!(view.steps[cause].id.as_str(), "triage.lookup1");
    assert_eq!(tree.errors(&view.steps), [cause]);
}

#[test]
fn groups_say_how_their_items_stand() {
    let view = folded(&failing_run());
    let tree = Tree::of(&view.steps);
    let each = tree.find(&StepId::root("each")).expect("a step");
    assert_eq!(tree.node(each).expect("a node").counts.words(), "2 items: 1 ok");
    let counts = Counts { succeeded: 391, failed: 6, running: 3, ..Counts::default() };
    assert_eq!(counts.words(), "400 items: 391 ok, 6 failed, 3 running");
}

#[test]
fn keys_move_as_in_every_tree() {
    let events = failing_run();
    let view = folded(&events);
    let tree = Tree::of(&view.steps);
    let rows = tree.rows(&view.steps, &Part::default(), |_| true);
    // triage, model1, lookup1, its two failed attempts, each, 0, 1
    assert_eq!(press(&rows, 0, Key::Up), Move::Stay);
    assert_eq!(press(&rows, 0, Key::Down), Move::To(1));
    assert_eq!(press(&rows, 7, Key::Down), Move::Stay);
    assert_eq!(press(&rows, 1, Key::Left), Move::To(0), "to the parent");
    assert_eq!(press(&rows, 0, Key::Left), Move::Set(vec![rows[0].key.step], false), "closes first");
    assert_eq!(press(&rows, 0, Key::Right), Move::To(1), "open: to the first child");
    assert_eq!(press(&rows, 1, Key::Right), Move::Stay, "a leaf");
    assert_eq!(press(&rows, 6, Key::Home), Move::To(0));
    assert_eq!(press(&rows, 0, Key::End), Move::To(7));
    let closed = tree.rows(&view.steps, &Part::default(), |_| false);
    assert_eq!(press(&closed, 0, Key::Right), Move::Set(vec![closed[0].key.step], true));
    let both = closed.iter().map(|row| row.key.step).collect();
    assert_eq!(press(&closed, 1, Key::Star), Move::Set(both, true), "all siblings");
    let name = |key: RowKey| view.steps[key.step].name.clone();
    assert_eq!(type_ahead(&rows, name, 0, "e"), Some(5));
    assert_eq!(type_ahead(&rows, name, 5, "ea"), Some(5), "the same word goes on");
    assert_eq!(type_ahead(&rows, name, 5, "T"), Some(0), "round the end");
    assert_eq!(type_ahead(&rows, name, 5, "x"), None);
}

#[test]
fn a_wide_run_is_drawn_in_one_pass() {
    let each = fixture::head("each", StepKind::Map, 0);
    let mut events = vec![(0, fixture::started(&each, 1))];
    for item in 0..10_000 {
        events.push((1, fixture::started(&fixture::head(&format!("each.{item}"), StepKind::Item, 0), 1)));
    }
    let mut view = RunView::default();
    // The fold looks steps up from the newest; the order of arrival keeps that cheap.
    for event in fixture::numbered(events) {
        view.apply(&event);
    }
    let tree = Tree::of(&view.steps);
    assert_eq!(tree.rows(&view.steps, &Part::default(), |_| true).len(), 10_001);
    assert_eq!(tree.rows(&view.steps, &Part::default(), |_| false).len(), 1);
}

proptest! {
    /// A tree that grows event by event is the tree of the whole.
    #[test]
    fn a_tree_that_grows_is_the_tree_of_the_whole(pause in 1_usize..=7) {
        let events = failing_run();
        let (mut view, mut tree) = (RunView::default(), Tree::default());
        for some in events.chunks(pause) {
            for event in some {
                view.apply(event);
            }
            tree.grow(&view.steps);
        }
        prop_assert_eq!(tree, Tree::of(&view.steps));
    }

    /// A page that begins anywhere, hears some events twice and goes on from there ends with the same view.
    #[test]
    fn a_view_taken_up_anywhere_ends_the_same(begin in 0_usize..=20, again in 0_usize..=20) {
        let events = failing_run();
        let begin = begin.min(events.len());
        let whole = folded(&events);
        let stored = serde_json::to_string(&folded(&events[..begin])).expect("writes");
        let mut view: RunView = serde_json::from_str(&stored).expect("reads");
        for event in &events[begin.saturating_sub(again)..] {
            view.apply(event);
        }
        prop_assert_eq!(view, whole);
    }
}

#[test]
fn a_part_of_a_tree_begins_at_its_root_and_holds_what_is_wanted_with_what_is_above_it() {
    let view = folded(&failing_run());
    let tree = Tree::of(&view.steps);
    let place = |id: &str| tree.find(&StepId::from_text(id)).expect("a step");
    let names = |part: &Part| {
        let rows = tree.rows(&view.steps, part, |_| true);
        let rows = rows.iter().filter(|row| row.key.attempt == 0);
        rows.map(|row| (view.steps[row.key.step].id.to_string(), row.depth, row.siblings)).collect::<Vec<_>>()
    };
    let row = |id: &str, depth, siblings| (id.to_owned(), depth, siblings);
    let each = Part { root: Some(place("each")), shown: None };
    assert_eq!(names(&each), [row("each", 0, 1), row("each.0", 1, 2), row("each.1", 1, 2)]);
    let errors = tree.errors(&view.steps);
    let failed = Part { root: None, shown: Some(tree.with_above(&errors)) };
    assert_eq!(names(&failed), [row("triage", 0, 1), row("triage.lookup1", 1, 1)]);
    assert!(tree.is_in(each.root, place("each.1")) && tree.is_in(None, place("triage")));
    assert!(!tree.is_in(each.root, place("triage.model1")));
}
