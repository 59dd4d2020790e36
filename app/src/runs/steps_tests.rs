use std::collections::HashMap;

use agentflow::engine::state::{StepId, StepKind};
use leptos::prelude::*;

use super::*;
use crate::runs::fixture::{detail, failing_run, folded, head, numbered, started};

fn page(detail: agentflow::runs::RunDetail, from: usize, wanted: Option<&str>, open: &[StepId]) -> String {
    page_at(detail, from, wanted, open, Place::default(), &[])
}

fn page_at(
    detail: agentflow::runs::RunDetail,
    from: usize,
    wanted: Option<&str>,
    open: &[StepId],
    place: Place,
    found: &[String],
) -> String {
    let owner = Owner::new();
    owner.with(|| {
        let place = Memo::new(move |_| place.clone());
        let model = RunModel::new("acme".to_owned(), detail, open, wanted, place, Callback::new(|_| ()));
        model.mark(found);
        view! { <Steps model from alive=RwSignal::new(false) found=Html::default()/> }.to_html()
    })
}

fn words(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in html.chars() {
        match letter {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    text
}

#[test]
fn without_javascript_a_run_is_a_nested_list_of_links_with_status_words() {
    let html = page(detail(folded(&failing_run())), 0, None, &[]);
    assert!(html.contains("/o/acme/runs/run_01jd0000000000000000000000?step=triage.lookup1\""), "{html}");
    let text = words(&html);
    for word in ["Failed", "Succeeded", "Stopped", "6 steps", "1 error", "Attempt 2"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(html.matches("<ul>").count() >= 3, "lists in lists");
    assert!(!html.contains("role=\"tree\""), "keys are promised only once the page is alive");
    assert!(!html.contains("style="), "the content security policy allows no inline styles");
    assert!(html.contains("class=\"bar-backoff"), "pauses have a fill of their own");
}

#[test]
fn a_failed_run_opens_with_its_root_cause_selected() {
    let html = page(detail(folded(&failing_run())), 0, None, &[]);
    let selected = html.split("is-selected").nth(1).expect("a selected line");
    assert!(selected.contains("triage.lookup1"), "{selected}");
}

#[test]
fn long_runs_come_in_windows_of_200_steps_and_large_groups_closed_with_a_link_that_opens_them() {
    let mut events: Vec<_> =
        (0..150).map(|step| (1, started(&head(&format!("s{step}"), StepKind::Tool, 0), 1))).collect();
    events.push((1, started(&head("each", StepKind::Map, 0), 1)));
    events.extend((0..150).map(|item| (2, started(&head(&format!("each.{item}"), StepKind::Item, 0), 1))));
    let run = detail(folded(&numbered(events)));
    let closed = page(run.clone(), 0, None, &[]);
    assert_eq!(closed.matches("class=\"line\"").count() + closed.matches("class=\"line \"").count(), 151);
    assert!(closed.contains("?open=each\""), "a closed group opens by a link");
    assert!(words(&closed).contains("150 items: 150 running"));
    let open = [StepId::root("each")];
    let first = page(run.clone(), 0, None, &open);
    assert!(first.contains("Next 200 steps") && !first.contains("Previous 200 steps"));
    let second = page(run, 200, None, &open);
    assert!(second.contains("Previous 200 steps") && !second.contains("Next 200 steps"));
    let counts: HashMap<_, _> =
        [("first", first.matches("<li>").count()), ("second", second.matches("<li>").count())].into();
    assert!(counts["first"] > 200 && counts["second"] > 100, "{counts:?}");
}

#[test]
fn without_javascript_a_step_is_the_root_with_the_way_to_it_and_what_failed_or_was_found_shows_alone() {
    let run = || detail(folded(&failing_run()));
    let focused = Place { root: Some(StepId::from_text("each")), ..Place::default() };
    let text = words(&page_at(run(), 0, None, &[], focused, &[]));
    assert!(text.contains("All steps") && !text.contains("lookup1"), "{text}");
    let html = page_at(run(), 0, None, &[], Place { only: Only::Errors, ..Place::default() }, &[]);
    assert!(
        html.contains("?step=triage.lookup1&amp;only=errors") || html.contains("?step=triage.lookup1&only=errors"),
        "{html}"
    );
    assert!(!html.contains("?step=each"), "{html}");
    let found = Place { only: Only::Found, find: "x".to_owned(), ..Place::default() };
    let html = page_at(run(), 0, None, &[], found, &["each.1".to_owned()]);
    assert!(html.contains("?step=each.1") && !html.contains("?step=each.0"), "{html}");
    assert!(!words(&html).contains("lookup1"), "{html}");
    assert!(html.contains("is-found"), "{html}");
}
