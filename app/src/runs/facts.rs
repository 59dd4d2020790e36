//! What a step is in the run: what it is a part of, when it began, what is tried, what it waits for, and whether its
//! result was taken over. Beside what went in and out, and in words.

use agentflow::engine::{
    journal::StepView,
    state::{RunState, StepId, StepState},
};
use leptos::prelude::*;

use super::{
    detail::address,
    line::{base, encoded},
    model::RunModel,
    part::Tab,
    words,
};

/// How many of the things that a run waits for its head names.
const MOST: usize = 3;

/// The step that this one is a part of, or that it mends, as a link.
#[component]
pub fn PartOf(
    /// The run.
    model: RunModel,
    /// The step.
    step: StepView,
) -> impl IntoView {
    let above = model.data.with_untracked(|data| {
        let place = data.tree.find(&step.id)?;
        let above = data.tree.above(place).next()?;
        data.view.steps.get(above).map(|above| (above.id.to_string(), above.name.clone()))
    });
    above
        .map(|(id, name)| {
            let words = if step.id.key().starts_with("~alt") { "instead of " } else { "in " };
            view! { <span>{words}<a href=address(model, &id, Tab::Io) data-noscroll>{name}</a></span> }
        })
        .into_any()
}

/// What a step waits for, until when, and what follows; and whether its result was taken over.
#[component]
pub fn Situation(
    /// The run.
    model: RunModel,
    /// The step.
    step: StepView,
) -> impl IntoView {
    let reused = step.reused.then(|| {
        let of = model.data.with_untracked(|data| data.retry_of).map(|id| {
            let href = format!("/o/{}/runs/{id}?step={}", model.org.get_value(), encoded(step.id.as_str()));
            view! { " " <a href=href>"See it there"</a> }
        });
        view! { <p>"Not done again: the result is the one that was recorded in the run before."{of}</p> }
    });
    let waits = move || {
        let words = words::waits(&step, model.now.get())?;
        Some(view! { <p>{words}{holder(model, &step)}</p> })
    };
    view! { <div class="situation">{reused}{waits}</div> }.into_any()
}

/// Which run held the lock when the step began to wait for it, as a link.
fn holder(model: RunModel, step: &StepView) -> Option<AnyView> {
    let run = words::held_by(step)?.to_owned();
    let href = format!("/o/{}/runs/{run}", model.org.get_value());
    Some(view! { " At first it was held by " <a href=href>{run}</a> "." }.into_any())
}

/// Where the run can be run again from this step: to the page that says first what that would do.
#[component]
pub fn AgainFromHere(
    /// The run.
    model: RunModel,
    /// The step.
    step: StepView,
) -> impl IntoView {
    let href = format!("/o/{}/runs/{}/again?from={}", model.org.get_value(), model.id, encoded(step.id.as_str()));
    let ended = Memo::new(move |_| {
        model.data.with(|data| data.view.state.is_end() && words::can_begin_again(&data.view, &step))
    });
    move || ended.get().then(|| view! { <a class="btn btn-small" href=href.clone()>"Run again from here…"</a> })
}

/// To the tree of this step alone, where there is something below it.
#[component]
pub fn Focus(
    /// The run.
    model: RunModel,
    /// The step.
    step: StepView,
) -> impl IntoView {
    let place = model.data.with_untracked(|data| data.tree.find(&step.id));
    let holds = move || {
        let node = |data: &super::model::RunData| {
            place.and_then(|place| data.tree.node(place)).is_some_and(|node| !node.children.is_empty())
        };
        model.root.get() != place && model.data.with(node)
    };
    let href = move || {
        let shown = model.place.with(|place| place.rooted(Some(step.id.clone())));
        super::place::address(&base(model), step.id.as_str(), "", &shown)
    };
    view! {
        <Show when=holds>
            <a class="btn btn-small" href=href.clone() data-noscroll>"Focus on this step"</a>
        </Show>
    }
}

/// The way from the whole run to the step that is the root of the tree.
#[component]
pub fn Focused(
    /// The run.
    model: RunModel,
) -> impl IntoView {
    move || {
        let root = model.root.get()?;
        let (way, name) = model.data.with(|data| {
            let step = |place: usize| data.view.steps.get(place).map(|step| (step.id.clone(), step.name.clone()));
            let mut way: Vec<_> = data.tree.above(root).filter_map(step).collect();
            way.reverse();
            (way, step(root).map(|(_, name)| name))
        });
        let link = |root: Option<StepId>, name: String| {
            let shown = model.place.with(|place| place.rooted(root));
            let href = super::place::address(&base(model), &model.selected_address(), "", &shown);
            view! { <li><a href=href data-noscroll>{name}</a></li> }
        };
        let all = link(None, "All steps".to_owned());
        let way: Vec<_> = way.into_iter().map(|(id, name)| link(Some(id), name)).collect();
        Some(view! {
            <nav class="crumbs steps-way" aria-label="Where the tree begins" aria-keyshortcuts="Alt+ArrowUp" title="Out: Alt ↑">
                <ol>{all}{way}<li aria-current="true">{name}</li></ol>
            </nav>
        })
    }
}

/// What a run waits for, while nothing else is going on: at most three of it.
#[component]
pub fn RunSituation(
    /// The run.
    model: RunModel,
) -> impl IntoView {
    let state = Memo::new(move |_| model.data.with(|data| data.view.state));
    // What it waits for, without the clock: the lines are drawn anew only when it changes.
    let waiting = Memo::new(move |_| {
        model.data.with(|data| {
            let open = |step: &&StepView| {
                matches!(step.state, StepState::Waiting | StepState::Retrying | StepState::Uncertain)
                    && words::waits_itself(step)
            };
            let places = data.view.steps.iter().enumerate().filter(|(_, step)| open(step)).map(|(place, _)| place);
            places.collect::<Vec<_>>()
        })
    });
    let line = move |place: usize| {
        let step = model.data.with(|data| data.view.steps.get(place).cloned())?;
        let words = words::waits(&step, model.now.get()).unwrap_or_else(|| "Waits for a person.".to_owned());
        let href = address(model, step.id.as_str(), Tab::Io);
        let holder = holder(model, &step);
        // What is asked about a failed step is called by that step.
        let of = step.id.parent().filter(|_| step.id.key().starts_with('~'));
        let of = of.and_then(|of| model.data.with(|data| data.view.step(&of).map(|of| of.name.clone())));
        let name = of.unwrap_or(step.name);
        Some(view! { <li><a href=href data-noscroll>{name}</a>": "{words::lower_first(&words)}{holder}</li> })
    };
    move || match state.get() {
        RunState::Paused => Some(
            view! {
                <p class="run-situation">
                    "Held: what is under way comes to its end, and nothing new begins until somebody resumes it."
                </p>
            }
            .into_any(),
        ),
        RunState::Waiting => {
            let places = waiting.get();
            let more = places.len().saturating_sub(MOST);
            let more = (more > 0).then(|| view! { <li>{format!("and {more} more")}</li> });
            let lines: Vec<_> = places.into_iter().take(MOST).map(|place| move || line(place)).collect();
            Some(view! { <ul class="run-situation">{lines}{more}</ul> }.into_any())
        }
        _ => None,
    }
}
