//! The same done to all runs of a filter: first what that would reach and do, then what became of each. A page of its
//! own, so that it works without JavaScript.

use agentflow::{
    engine::state::RunState,
    kernel::{Error, Money},
    runs::{Bulk, BulkPreview, BulkRun, MOST_AT_ONCE},
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{
    api::{BulkData, BulkLine, BulkRuns, load_bulk},
    place::Place,
};
use crate::{
    error::ApiError,
    frame::use_org,
    kit::{
        Callout, Card, Crumb, DataTable, EmptyState, Form, FormAction, Glyph, Look, PageHeader, StatusBadge, Submit,
        Th, Time, Title, Tone, form::replayed_answer,
    },
    runs::words::counted,
    wire::{Loaded, hidden, loading},
};

/// What an action is called.
#[must_use]
pub const fn verb(action: Bulk) -> &'static str {
    match action {
        Bulk::Cancel => "Stop",
        Bulk::Pause => "Pause",
        Bulk::Resume => "Resume",
        Bulk::Retry => "Retry",
    }
}

/// The page.
#[component]
pub fn BulkPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let query = use_query_map();
    let source = move || {
        let action = query.with(|query| query.get_str("action").and_then(Bulk::parse));
        (org.get(), query.with(Place::read), action, query.with(|query| query.get_str("chosen").is_some()))
    };
    let page = loading(source, |(org, place, action, by_hand)| async move {
        let action = action.ok_or_else(|| ApiError(Error::not_found("page")))?;
        // Nothing that is chosen by hand is not everything.
        if by_hand && place.filter.runs.is_empty() {
            return Ok((None, action));
        }
        Ok((Some(load_bulk(org, place.filter, place.cursor, action).await?), action))
    });
    let view = move |(page, action): (Option<BulkData>, Bulk)| {
        let (org, place) = (org.get_untracked(), query.with_untracked(Place::read));
        let back = Place { cursor: None, ..place.clone() }.href(&org);
        let Some(page) = page else { return nothing_chosen(action, back) };
        let next = page.preview.next.clone().map(|cursor| place.bulk_href(&org, action, Some(cursor)));
        view! { <Whole org page action back next/> }.into_any()
    };
    view! { <Loaded resource=page view/> }.into_any()
}

/// Somebody pressed the button without choosing.
fn nothing_chosen(action: Bulk, back: String) -> AnyView {
    let title = format!("{} runs", verb(action));
    view! {
        <Title text=Signal::stored(format!("{title} · Runs"))/>
        <PageHeader title=Signal::stored(title) crumbs=vec![Crumb::new("Runs", back.clone())]/>
        <EmptyState title="No run is chosen" glyph=Glyph::Filter>
            <p>"Tick the runs in the list first."</p>
            <p><a class="btn" href=back>"Back to the list"</a></p>
        </EmptyState>
    }
    .into_any()
}

#[component]
fn Whole(
    org: String,
    page: BulkData,
    action: Bulk,
    back: String,
    #[prop(optional_no_strip)] next: Option<String>,
) -> impl IntoView {
    let send = FormAction::new::<BulkRuns>();
    let replayed = replayed_answer::<BulkRuns>();
    let done = Memo::new(move |_| send.value().get().and_then(Result::ok).or_else(|| replayed.clone()));
    let count = page.preview.runs.len();
    let title = move || match done.with(|done| done.as_ref().map(Vec::len)) {
        Some(done) => format!("{} {}", verb(action), counted(done, "run", "runs")),
        None if count == 0 => format!("{} runs", verb(action)),
        None => format!("{} {}", verb(action), counted(count, "run", "runs")),
    };
    let title = Signal::derive(title);
    let crumbs = vec![Crumb::new("Runs", back.clone())];
    let body = move || match done.get() {
        Some(lines) => outcomes(&org, action, &lines, &back, next.clone()),
        None => confirmation(&org, send, &page, action, &back),
    };
    view! {
        <Title text=Signal::derive(move || format!("{} · Runs", title.get()))/>
        <PageHeader title crumbs/>
        <div class="stack">{body}</div>
    }
    .into_any()
}

/// What it would do, and the button that does it.
fn confirmation(org: &str, send: FormAction<Vec<BulkLine>>, page: &BulkData, action: Bulk, back: &str) -> AnyView {
    let BulkData { preview, key } = page;
    if preview.runs.is_empty() {
        let words = match action {
            Bulk::Cancel => "None of these runs can be stopped: they have ended.",
            Bulk::Pause => "None of these runs can be paused: they have ended, or are held already.",
            Bulk::Resume => "None of these runs is paused.",
            Bulk::Retry => "None of these runs has ended without success.",
        };
        let back = back.to_owned();
        return view! {
            <EmptyState title=words glyph=Glyph::Filter>
                <p><a class="btn" href=back>"Back to the list"</a></p>
            </EmptyState>
        }
        .into_any();
    }
    let ids: Vec<_> = preview.runs.iter().map(|run| run.summary.id.to_string()).collect();
    let entries = hidden([
        ("org", org.to_owned()),
        ("action", action.as_str().to_owned()),
        ("runs", ids.join(",")),
        ("key", key.clone()),
    ]);
    let look = if action == Bulk::Cancel { Look::Danger } else { Look::Primary };
    let busy = match action {
        Bulk::Cancel => "Stopping…",
        Bulk::Pause => "Pausing…",
        Bulk::Resume => "Resuming…",
        Bulk::Retry => "Retrying…",
    };
    let label = format!("{} {}", verb(action), counted(ids.len(), "run", "runs"));
    let more = preview.next.is_some().then(|| {
        let words = format!(
            "More runs fit than are reached at once. These are {MOST_AT_ONCE} of them; the page that says what became \
             of them leads on to the next ones."
        );
        view! { <Callout><p>{words}</p></Callout> }
    });
    let (words, table, back) = (what_happens(preview, action), reached(org, preview, action), back.to_owned());
    let outside = preview.runs.iter().map(|run| run.outside).sum::<usize>();
    let outside = (outside > 0).then(|| {
        let words = match outside {
            1 => "1 step does something outside of AgentFlow, and would do it again.".to_owned(),
            count => format!("{count} steps do something outside of AgentFlow, and would do it again."),
        };
        view! { <Callout tone=Tone::Warning><p>{words}</p></Callout> }
    });
    view! {
        <Card title="What happens">
            <div class="stack">
                <p>{words}</p>
                {outside}
                {more}
                <Form action=send>
                    {entries}
                    <div class="row">
                        <Submit look busy>{label}</Submit>
                        <a class="btn btn-quiet" href=back>"Back to the list"</a>
                    </div>
                </Form>
            </div>
        </Card>
        {table}
    }
    .into_any()
}

/// In a sentence or two, what it would do.
fn what_happens(preview: &BulkPreview, action: Bulk) -> String {
    let runs = &preview.runs;
    let count = runs.len();
    match action {
        Bulk::Cancel => format!(
            "{} stopped. What is under way is given up; what is done stays recorded.",
            counted(count, "run is", "runs are")
        ),
        Bulk::Pause => format!(
            "{} held. What is under way comes to its end, and nothing new begins until they are resumed.",
            counted(count, "run is", "runs are")
        ),
        Bulk::Resume => format!("{} on where they were held.", counted(count, "run goes", "runs go")),
        Bulk::Retry => format!(
            "{} run again, each as a new run from the steps that did not succeed. {} taken over, {} again, for about \
             {} if they cost what they cost before.",
            counted(count, "run is", "runs are"),
            counted(runs.iter().map(|run| run.reused).sum(), "result is", "results are"),
            counted(runs.iter().map(|run| run.again).sum(), "step runs", "steps run"),
            runs.iter().map(|run| run.cost).sum::<Money>(),
        ),
    }
}

/// The runs that it would reach.
fn reached(org: &str, preview: &BulkPreview, action: Bulk) -> AnyView {
    let counts = action == Bulk::Retry;
    let head = ViewFnOnce::from(move || {
        view! {
            <Th>"Run"</Th>
            <Th>"Status"</Th>
            <Th>"Workflow"</Th>
            <Th>"Accepted"</Th>
            {counts.then(|| view! { <Th num=true>"Taken over"</Th><Th num=true>"Runs again"</Th><Th num=true>"About"</Th> })}
        }
    });
    let rows: Vec<_> = preview.runs.iter().map(|run| row(org, run, counts)).collect();
    view! { <DataTable caption="Runs that it reaches" head class="cards">{rows}</DataTable> }.into_any()
}

fn row(org: &str, run: &BulkRun, counts: bool) -> AnyView {
    let BulkRun { summary, reused, again, cost, .. } = run;
    let status = Signal::stored((summary.state, summary.waiting_on).into());
    let counts = counts.then(|| {
        view! {
            <td data-label="Taken over" class="num">{*reused}</td>
            <td data-label="Runs again" class="num">{*again}</td>
            <td data-label="About" class="num">{cost.to_string()}</td>
        }
    });
    view! {
        <tr>
            <th scope="row" data-label="Run"><a href=format!("/o/{org}/runs/{}", summary.id)>{summary.title.clone()}</a></th>
            <td data-label="Status"><StatusBadge status/></td>
            <td data-label="Workflow">{summary.workflow_name.clone()}</td>
            <td data-label="Accepted"><Time at=summary.created_at/></td>
            {counts}
        </tr>
    }
    .into_any()
}

/// What became of each.
fn outcomes(org: &str, action: Bulk, lines: &[BulkLine], back: &str, next: Option<String>) -> AnyView {
    let done = lines.iter().filter(|line| line.refused.is_none()).count();
    let (one, more, word) = match action {
        Bulk::Cancel => ("run is being stopped", "runs are being stopped", RunState::Cancelling),
        Bulk::Pause => ("run is held", "runs are held", RunState::Paused),
        Bulk::Resume => ("run goes on", "runs go on", RunState::Running),
        Bulk::Retry => ("run was retried", "runs were retried", RunState::Queued),
    };
    let mut words = format!("{}.", counted(done, one, more));
    if done < lines.len() {
        words.push_str(&format!(" With {} nothing was done, for the reasons below.", lines.len() - done));
    }
    let tone = if done < lines.len() { Tone::Warning } else { Tone::Success };
    let next = next.map(|href| {
        // A full load: what was done is not shown for the next ones.
        view! { <p>"More runs fit. " <a class="btn btn-primary" href=href rel="external">"Go on with the next ones"</a></p> }
    });
    let head = ViewFnOnce::from(|| view! { <Th>"Run"</Th><Th>"What became of it"</Th> });
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let became = match (&line.refused, line.new) {
                (Some(reason), _) => reason.clone().into_any(),
                (None, Some(new)) => {
                    view! { <a href=format!("/o/{org}/runs/{new}")>"Its new run"</a> }.into_any()
                }
                (None, None) => view! { <StatusBadge status=Signal::stored(word.into())/> }.into_any(),
            };
            view! {
                <tr>
                    <th scope="row" data-label="Run"><a href=format!("/o/{org}/runs/{}", line.run)>{line.title.clone()}</a></th>
                    <td data-label="What became of it">{became}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <div role="status"><Callout tone><p>{words}</p></Callout></div>
        {next}
        <DataTable caption="What became of each run" head class="cards">{rows}</DataTable>
        <p><a class="btn" href=back.to_owned()>"Back to the list"</a></p>
    }
    .into_any()
}
