//! The way of a new organization to its first finished run: three steps, each known to be done from what is there.

use agentflow::dashboard::Guide;
use leptos::prelude::*;

use super::api::HideGuide;
use crate::kit::{Card, Form, FormAction, Glyph, Icon, LinkButton, Look, Submit};

/// A step: what to do, what it brings, and the button.
struct Step {
    title: &'static str,
    about: &'static str,
    done: bool,
    action: (&'static str, String),
}

fn steps(org: &str, guide: &Guide, approvals: i64) -> [Step; 3] {
    let workflow = guide.workflow.map_or_else(|| "workflows".to_owned(), |id| format!("workflows/{id}/run"));
    let last = match (guide.run, approvals) {
        (Some(run), 0) => ("Watch the run", format!("/o/{org}/runs/{run}")),
        _ => ("Decide the approval", format!("/o/{org}/approvals")),
    };
    [
        Step {
            title: "Choose a template",
            about: "It brings its steps and an agent. You can read and change every word of it.",
            done: guide.workflow.is_some(),
            action: ("Choose a template", format!("/o/{org}/workflows/new")),
        },
        Step {
            title: "Run it",
            about: "The example input is filled in. You see each step as it happens, and what it costs.",
            done: guide.run.is_some(),
            action: ("Run the workflow", format!("/o/{org}/{workflow}")),
        },
        Step {
            title: "Decide what it asks",
            about: "Before anything leaves the house a person says yes. Approve, and the run finishes.",
            done: guide.finished,
            action: last,
        },
    ]
}

/// The checklist, with one next step.
#[component]
pub(super) fn GuideCard(org: String, guide: Guide, approvals: i64) -> impl IntoView {
    let steps = steps(&org, &guide, approvals);
    let next = steps.iter().position(|step| !step.done);
    let done = steps.iter().filter(|step| step.done).count();
    let items: Vec<_> = steps.into_iter().enumerate().map(|(place, step)| item(place, step, next)).collect();
    let hide = FormAction::new::<HideGuide>();
    view! {
        <Card title="Your first run" class="guide" aside=move || view! { <span class="muted">{format!("{done} of 3 done")}</span> }>
            <ol>{items}</ol>
            <Form action=hide class="inline guide-hide">
                <input type="hidden" name="org" value=org/>
                <Submit look=Look::Quiet busy="Hiding…">"Hide this list"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}

fn item(place: usize, step: Step, next: Option<usize>) -> AnyView {
    let is_next = next == Some(place);
    let mark = if step.done {
        view! { <Icon glyph=Glyph::Check/><span class="visually-hidden">"Done: "</span> }.into_any()
    } else {
        view! { <span aria-hidden="true">{place + 1}</span> }.into_any()
    };
    let (label, href) = step.action;
    let action =
        is_next.then(|| view! { <LinkButton href=Signal::stored(href) look=Look::Primary>{label}</LinkButton> });
    view! {
        <li class:is-done=step.done aria-current=is_next.then_some("step")>
            <span class="guide-mark">{mark}</span>
            <div>
                <h3>{step.title}</h3>
                <p class="muted">{step.about}</p>
                {action}
            </div>
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_next_step_and_it_follows_from_what_is_there() {
        let mut guide = Guide { workflow: None, run: None, finished: false };
        let next = |guide: &Guide, approvals| {
            steps("acme", guide, approvals).into_iter().find(|step| !step.done).map(|step| step.action.1)
        };
        assert_eq!(next(&guide, 0).as_deref(), Some("/o/acme/workflows/new"));
        let workflow = "wf_01jd0000000000000000000000".parse().unwrap();
        guide.workflow = Some(workflow);
        assert_eq!(next(&guide, 0), Some(format!("/o/acme/workflows/{workflow}/run")));
        let run = "run_01jd0000000000000000000000".parse().unwrap();
        guide.run = Some(run);
        assert_eq!(next(&guide, 0), Some(format!("/o/acme/runs/{run}")));
        assert_eq!(next(&guide, 1).as_deref(), Some("/o/acme/approvals"));
        guide.finished = true;
        assert_eq!(next(&guide, 0), None);
    }
}
