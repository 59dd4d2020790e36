//! What a search of a run found, as HTML.

use agentflow::{
    kernel::{RunId, text},
    runs::find::{Found, Hit, Places},
};
use leptos::prelude::*;

use super::{
    place::{Place, address},
    words,
};
use crate::kit::Html;

/// So many steps are listed; all of them are counted and marked.
const LISTED: usize = 200;
/// So many are listed without being asked for.
const FEW: usize = 12;

/// What was found, with the steps' ids.
pub fn drawn(org: &str, run: RunId, found: Found) -> (Vec<String>, Html) {
    let base = format!("/o/{org}/runs/{run}");
    let place = Place { find: found.text.clone(), ..Place::default() };
    let sum = summary(&found);
    let own = places(found.run, "in the run’s own ");
    let own = (!own.is_empty()).then(|| view! { <p>{format!("Also {own}.")}</p> });
    let count = found.steps.len();
    let more = count.saturating_sub(LISTED);
    let items: Vec<_> = found.steps.iter().take(LISTED).map(|hit| item(&base, &place, hit)).collect();
    let ids = found.steps.into_iter().map(|hit| hit.id.to_string()).collect();
    let html = Html::of(move || {
        let more = (more > 0).then(
            || view! { <li class="hint">{format!("and {} more, marked in the tree", text::grouped(more as u64))}</li> },
        );
        let list = (count > 0).then(|| {
            view! {
                <details open={count <= FEW}>
                    <summary>"Where it is"</summary>
                    <ol class="found-steps">{items}{more}</ol>
                </details>
            }
        });
        view! {
            <p class="found-sum">{sum}</p>
            {own}
            {list}
        }
    });
    (ids, html)
}

fn summary(found: &Found) -> String {
    let lines = match found.lines {
        0 => String::new(),
        lines => format!(", and in {} of the log", counted(lines, "line", "lines")),
    };
    match found.steps.len() {
        0 if found.lines == 0 => format!("“{}” is in no step.", found.text),
        count => format!("“{}” is in {}{lines}.", found.text, words::counted(count, "step", "steps")),
    }
}

fn item(base: &str, place: &Place, hit: &Hit) -> AnyView {
    let href = address(base, hit.id.as_str(), "", place);
    view! {
        <li>
            <a href=href data-noscroll>{hit.name.clone()}</a>" "
            <code class="muted">{hit.id.to_string()}</code>" "
            <span class="hint">{places(hit.places, "in its ")}</span>
        </li>
    }
    .into_any()
}

/// `in its name, in its input, in 3 lines of its log`.
fn places(places: Places, of: &str) -> String {
    let known = [(places.name, "name"), (places.input, "input"), (places.output, "output"), (places.error, "error")];
    let mut parts: Vec<_> = known.into_iter().filter(|known| known.0).map(|(_, word)| format!("{of}{word}")).collect();
    if places.lines > 0 {
        parts.push(format!("in {} of its log", counted(places.lines, "line", "lines")));
    }
    parts.join(", ")
}

fn counted(count: u64, one: &str, more: &str) -> String {
    words::counted(usize::try_from(count).unwrap_or(usize::MAX), one, more)
}

#[cfg(test)]
mod tests {
    use agentflow::engine::state::StepId;

    use super::*;

    #[test]
    fn it_is_said_how_much_was_found_and_where() {
        let hit = |id: &str, places| Hit { id: StepId::from_text(id), name: "Fetch <it>".to_owned(), places };
        let found = Found {
            text: "refund & \"more\"".to_owned(),
            steps: vec![
                hit("fetch", Places { name: true, lines: 3, ..Places::default() }),
                hit("draft", Places { output: true, ..Places::default() }),
            ],
            run: Places { input: true, ..Places::default() },
            lines: 3,
        };
        let run: RunId = "run_01jd0000000000000000000000".parse().expect("an id");
        let (ids, html) = drawn("acme", run, found);
        assert_eq!(ids, ["fetch", "draft"]);
        let html = html.into_inner();
        for part in [
            "in 2 steps, and in 3 lines of the log.",
            "Also in the run’s own input.",
            "in its name, in 3 lines of its log",
            "in its output",
            "?step=fetch&amp;find=refund%20%26%20%22more%22",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<it>"), "{html}");
    }
}
