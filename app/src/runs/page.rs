//! The page of a run: its header, the tree with its bars, the panel of the selected step, and the log. The server writes
//! it whole; once it is alive it follows the run's events.

use std::time::Duration;

use agentflow::{
    engine::state::{RunState, StepId},
    kernel::{Error, RunId, text},
    runs::RunDetail,
};
use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_params_map, use_query_map},
    params::ParamsMap,
};
use serde::{Deserialize, Serialize};

use super::{
    api::{self, ControlRun},
    asked::FetchedApproval,
    detail::{Detail, address, asked_of, named},
    facts::RunSituation,
    line::{base, encoded},
    model::RunModel,
    part::{Fetched, Tab, Wanted, fetch},
    place::Place,
    steps::{Patterns, Steps, page_keys},
    words,
};
use crate::{
    approvals::api as approvals,
    frame::use_org,
    host,
    kit::{
        Announcer, Crumb, Form, FormAction, Html, LinkButton, Look, PageFailure, PageHeader, Skeleton, Status,
        StatusBadge, Submit, Time, Title, time::browser_now,
    },
    live::{Message, Topic, use_live},
    logs::{self, FirstLog, LogView},
    wire::loading,
};

/// How long a selection rests before the address says so: holding a key down does not flood the history.
const REST: Duration = Duration::from_millis(80);
/// While the tab is hidden its stream is closed; now and then the run is asked for all the same, for the title.
const HIDDEN_POLL: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(1_000);
/// So many runs that do this one again are named; of more, the newest, and where the others are.
const FEW: usize = 3;
/// So many come along with the page.
const MANY: usize = 20;

/// Everything that the first drawing of the page needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Loaded {
    detail: RunDetail,
    may_operate: bool,
    /// What the panel shows of the step in the address, or of the run.
    part: Fetched,
    /// The approval that this step waits for.
    approval: FetchedApproval,
    /// The log, if that is what is looked at.
    log: Option<Result<FirstLog, Error>>,
    /// The steps that the search in the address found.
    found: Vec<String>,
    /// What is said of them: it stands in the page already.
    #[serde(skip)]
    told: Html,
}

/// What of the run is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Steps,
    Log,
}

impl View {
    fn of(query: &ParamsMap) -> Self {
        if query.get_str("view") == Some("logs") { Self::Log } else { Self::Steps }
    }
}

async fn load(org: String, run: String, query: ParamsMap, search: String) -> Result<Loaded, Error> {
    let run: RunId = run.parse().map_err(|_| Error::not_found("run"))?;
    let api::Found { detail, may_operate } = api::find_run(org.clone(), run).await.map_err(|error| error.0)?;
    let (tab, full) = (tab_of(&query), is_full(&query));
    let wanted = query.get("step").filter(|step| !step.is_empty()).map(|step| named(&step));
    let step = wanted.or_else(|| opens_with(&detail)).and_then(|step| detail.view.step(&step));
    let approval = match step.and_then(asked_of) {
        Some(id) => Some((id, approvals::approval(org.clone(), id).await.map_err(|error| error.0))),
        None => None,
    };
    let wanted = match step {
        Some(step) => Wanted::of(step, tab, full, 0),
        None => Wanted::of_run(detail.view.state.as_str(), full),
    };
    let part = fetch(org.clone(), run, wanted).await;
    let log = match View::of(&query) {
        View::Steps => None,
        View::Log => Some(logs::first(org.clone(), Some(run), search).await),
    };
    let find = Place::of(&query).find;
    let (found, told) = match find.is_empty() {
        true => Default::default(),
        false => api::find_in_run(org, run, find).await.map_err(|error| error.0)?,
    };
    Ok(Loaded { detail, may_operate, part, approval, log, found, told })
}

/// The step that the page opens with when the address names none.
fn opens_with(detail: &RunDetail) -> Option<StepId> {
    let place = super::tree::Tree::of(&detail.view.steps).opens_with(&detail.view)?;
    Some(detail.view.steps[place].id.clone())
}

fn tab_of(query: &ParamsMap) -> Tab {
    query.get_str("tab").map(Tab::parse).unwrap_or_default()
}

/// Whether values are asked for however large they are.
fn is_full(query: &ParamsMap) -> bool {
    query.get_str("full").is_some()
}

/// The page of a run.
#[component]
pub fn RunPage() -> impl IntoView {
    let org = use_org();
    let params = use_params_map();
    let query = use_query_map();
    let run = Memo::new(move |_| params.with(|params| params.get("id").unwrap_or_default()));
    let slug = org.clone();
    let search = use_location().search;
    let page = loading(
        move || run.get(),
        move |run| {
            let (org, query, search) = (slug.clone(), query.get_untracked(), search.get_untracked());
            async move { Ok(load(org, run, query, search).await?) }
        },
    );
    view! {
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(loaded) => view! { <Alive org loaded query/> }.into_any(),
                        Err(error) => view! { <PageFailure error/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

/// A run that was loaded, from here on alive.
#[component]
fn Alive(org: String, loaded: Loaded, query: Memo<ParamsMap>) -> impl IntoView {
    let Loaded { detail, may_operate, part, approval, log, found, told } = loaded;
    let (open, wanted, from) = query.with_untracked(|query| {
        let open: Vec<_> =
            query.get("open").map(|open| open.split(',').map(StepId::from_text).collect()).unwrap_or_default();
        let from = query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        (open, query.get("step").filter(|step| !step.is_empty()), from)
    });
    let server_now = detail.now;
    let navigate = StoredValue::new(use_navigate());
    let go = Callback::new(move |(to, replace): (String, bool)| {
        let options = NavigateOptions { replace, scroll: false, ..NavigateOptions::default() };
        navigate.with_value(|navigate| navigate(&to, options));
    });
    let place = Memo::new(move |_| query.with(Place::of));
    let model = RunModel::new(org, detail, &open, wanted.as_deref(), place, go);
    model.mark(&found);
    let alive = RwSignal::new(false);
    let tab = Memo::new(move |_| query.with(tab_of));
    let full = Memo::new(move |_| query.with(is_full));
    let view = Memo::new(move |_| query.with(View::of));
    let in_address = Memo::new(move |_| query.with(|query| query.get_str("step").is_some_and(|step| !step.is_empty())));
    Effect::new(move |_| alive.set(true));
    stay_current(model, server_now);
    keep_address(model, query, tab);
    let again = may_operate.then(|| format!("{}/again", base(model)));
    Effect::new(move |_| page_keys(model, again.clone()));
    announce(model);
    let first_log = StoredValue::new(log);
    let ended = Signal::derive(move || model.data.with(|data| data.view.state.is_end()));
    let news = Signal::derive(move || {
        let last = model.data.with(|data| data.view.last_seq);
        u32::try_from(last).unwrap_or_default().wrapping_add(model.mended.get())
    });
    let first_part = StoredValue::new(Some((part, approval)));
    let told = StoredValue::new(told);
    let confirms = Signal::derive(move || query.with(|query| query.get_str("confirm").is_some()));
    let body = move || match view.get() {
        View::Steps => view! {
            <a class="skip" href="#step-detail" rel="external">"Skip to step detail"</a>
            <div class="run-split" class:has-step=move || in_address.get()>
                <Steps model from alive found=told.get_value()/>
                {
                    // Its HTML is in the page this once: whoever comes back from the log has it fetched.
                    let (first, approval) = first_part.try_update_value(Option::take).flatten().unzip();
                    view! { <Detail model tab full first approval=approval.flatten() confirms may_operate/> }
                }
            </div>
        }
        .into_any(),
        View::Log => {
            // What the page came with stands in it once; who comes back from the steps asks anew.
            let first = first_log.get_value().filter(|_| !alive.get_untracked());
            view! { <LogView org=model.org.get_value() run=Some(model.id) first news ended/> }.into_any()
        }
    };
    view! {
        <div class="run">
            <Head model may_operate/>
            <Views model view/>
            <Patterns/>
            {body}
        </div>
    }
    .into_any()
}

/// Follows the events, lets the clock tick, and asks now and then while the tab is hidden.
fn stay_current(model: RunModel, server_now: agentflow::kernel::Timestamp) {
    let goes_on = model.data.with_untracked(|data| !data.view.state.is_end());
    if !goes_on {
        return;
    }
    let after = model.data.with_untracked(|data| data.view.last_seq);
    use_live().follow(model.org.get_value(), Topic::Run { id: model.id, after }, move |messages: Vec<Message>| {
        model.take(messages);
    });
    Effect::new(move |_| {
        // How far the server's clock is from the browser's.
        let offset = server_now.timestamp_millis() - browser_now();
        let tick = move || {
            if model.data.with_untracked(|data| !data.view.state.is_end())
                && let Some(now) = agentflow::kernel::Timestamp::from_timestamp_millis(browser_now() + offset)
            {
                model.now.set(now);
            }
        };
        let poll = move || {
            if document().hidden() && model.data.with_untracked(|data| !data.view.state.is_end()) {
                model.reload();
            }
        };
        for handle in
            [set_interval_with_handle(tick, TICK), set_interval_with_handle(poll, HIDDEN_POLL)].into_iter().flatten()
        {
            on_cleanup(move || handle.clear());
        }
    });
}

/// The address always says what is selected, without an entry in the history; and what the address says is selected.
fn keep_address(model: RunModel, query: Memo<ParamsMap>, tab: Memo<Tab>) {
    let written = StoredValue::new(None::<String>);
    Effect::new(move |before: Option<Option<String>>| {
        let selected = model.selected.get().and_then(|key| model.address_of(key));
        let shown = query.with_untracked(|query| query.get("step").filter(|step| !step.is_empty()));
        let log = query.with_untracked(View::of) == View::Log;
        // What a failed run selects by itself would cover a small screen: there the address stays as it is.
        let unasked = before.is_none()
            && window().inner_width().ok().and_then(|width| width.as_f64()).is_some_and(|width| width < 768.0);
        if selected != shown && selected.is_some() && !log && !unasked {
            let step = selected.clone().unwrap_or_default();
            let timer = set_timeout_with_handle(
                move || {
                    written.set_value(Some(step.clone()));
                    let to = untrack(|| address(model, &step, tab.get()));
                    model.go.run((to, true));
                },
                REST,
            );
            if let Ok(timer) = timer {
                on_cleanup(move || timer.clear());
            }
        }
        selected
    });
    Effect::new(move |before: Option<Option<String>>| {
        let shown = query.with(|query| query.get("step").filter(|step| !step.is_empty()));
        let own = written.get_value() == shown;
        if before.as_ref().is_some_and(|before| *before != shown) && !own {
            match shown.as_deref().and_then(|step| model.key_of(step)) {
                Some(key) => model.select(key),
                None => model.selected.set(None),
            }
        }
        shown
    });
}

/// Says the run's state aloud when it changes, and how far it is at most every five seconds; and shows it in the tab.
fn announce(model: RunModel) {
    let announcer = use_context::<Announcer>();
    let status = Memo::new(move |_| model.data.with(|data| Status::from((data.view.state, data.view.waiting_on))));
    Effect::new(move |before: Option<Status>| {
        let status = status.get();
        set_favicon(Some(status.family.class()));
        if let (Some(before), Some(announcer)) = (before, announcer)
            && before != status
        {
            let title = model.data.with_untracked(|data| data.summary.title.clone());
            announcer.say(format!("Run {title}: {}", status.word.to_lowercase()));
        }
        status
    });
    Effect::new(move |before: Option<(i64, String)>| {
        let said = model.data.with(|data| words::progress(&data.view));
        let now = browser_now();
        match (before, announcer) {
            (Some((at, before)), Some(announcer)) if said != before && now - at >= 5_000 => {
                announcer.say(said.clone());
                (now, said)
            }
            (Some(before), _) => before,
            (None, _) => (now, said),
        }
    });
    on_cleanup(|| set_favicon(None));
}

/// The tab's small picture, in the colour of the state; none puts the product's own back.
fn set_favicon(family: Option<&str>) {
    let href = family.map_or_else(|| "/favicon.svg".to_owned(), |family| format!("/run-{family}.svg"));
    host::set_favicon(&href);
}

#[component]
fn Head(model: RunModel, may_operate: bool) -> impl IntoView {
    let summary = model.data.with_untracked(|data| data.summary.clone());
    let (retry_of, retried_by) = model.data.with_untracked(|data| (data.retry_of, data.retried_by.clone()));
    let org = model.org.get_value();
    let status = Memo::new(move |_| model.data.with(|data| Status::from((data.view.state, data.view.waiting_on))));
    let title = summary.title.clone();
    let full_title = {
        let title = title.clone();
        Signal::derive(move || format!("{} · {title} · Runs", status.get().word))
    };
    let run_link = {
        let org = org.clone();
        move |id: RunId, words: &'static str| {
            view! { <span>{words}" "<a href=format!("/o/{org}/runs/{id}")>{short(id)}</a></span> }.into_any()
        }
    };
    let workflow = format!("/o/{org}/workflows/{}", summary.workflow_id);
    // True for as long as it is what it was when that was asked.
    let (queued_because, state_then) = (summary.queued_because.clone(), summary.state);
    let queued_because = move || {
        let is_still = model.data.with(|data| data.view.state) == state_then;
        queued_because.clone().filter(|_| is_still).map(|words| view! { <p class="run-situation">{words}</p> })
    };
    let labels: Vec<_> = summary
        .labels
        .iter()
        .map(|label| {
            let href = format!("/o/{org}/runs?label={}", encoded(label));
            view! { <a class="tag run-label" href=href title="Runs with this label">{label.clone()}</a> }
        })
        .collect();
    let more = format!("/o/{org}/runs/{}/compare", summary.id);
    let about = {
        let summary = summary.clone();
        move || {
            // All of them, where they are few; else the newest, and the way to the others.
            let (count, many) = (retried_by.len(), retried_by.len() > FEW);
            let others = match count {
                MANY.. => "All that do it again".to_owned(),
                _ => format!("All {count} that do it again"),
            };
            let again: Vec<_> = retried_by
                .iter()
                .take(if many { 1 } else { FEW })
                .map(|(id, trigger)| run_link(*id, words::again_as(trigger)))
                .chain(many.then(|| view! { <a href=more>{others}</a> }.into_any()))
                .collect();
            view! {
                <div class="run-about">
                    <span><a href=workflow>{summary.workflow_name}</a>" version "{summary.workflow_version}</span>
                    <span>{words::trigger(&summary.trigger).to_owned()}" "{summary.started_by}</span>
                    <Time at=summary.created_at/>
                    {retry_of.map(|id| run_link(id, words::again_of(&summary.trigger)))}
                    {again}
                    {labels}
                    <code class="run-id">{summary.id.to_string()}</code>
                </div>
                <Facts model/>
                {queued_because}
                <RunSituation model/>
            }
        }
    };
    let crumbs = vec![Crumb::new("Runs", format!("/o/{org}/runs"))];
    let compare = format!("{}/compare", base(model));
    view! {
        <Title text=full_title/>
        <PageHeader
            title=Signal::stored(title)
            crumbs
            beside=move || view! { <StatusBadge status=status/> }
            about
        >
            <a class="btn" href=compare>"Compare with…"</a>
            <Show when=move || may_operate>
                <Actions model/>
            </Show>
        </PageHeader>
    }
    .into_any()
}

/// The beginning of an id, as people tell ids apart.
fn short(id: RunId) -> String {
    let id = id.to_string();
    let end = id.len();
    format!("run_…{}", &id[end - 6..])
}

/// The numbers of the run.
#[component]
fn Facts(model: RunModel) -> impl IntoView {
    let lasted = move || {
        let now = model.now.get();
        model.data.with(|data| text::duration(words::run_lasted(&data.view, data.summary.created_at, now)))
    };
    let usage = Memo::new(move |_| model.data.with(|data| data.view.usage));
    let errors = Memo::new(move |_| model.data.with(|data| data.errors.len()));
    let to_error = move |event: web_sys::MouseEvent| {
        event.prevent_default();
        model.to_error(true);
    };
    let first_error = move || {
        let step = model.data.with(|data| {
            data.errors.first().and_then(|place| data.view.steps.get(*place)).map(|step| step.id.to_string())
        });
        address(model, &step.unwrap_or_default(), Tab::Io)
    };
    view! {
        <dl class="facts">
            <div><dt>"Duration"</dt><dd>{lasted}</dd></div>
            <div><dt>"Tokens"</dt><dd>{move || text::grouped(usage.get().tokens())}</dd></div>
            <div><dt>"Cost"</dt><dd>{move || usage.get().cost.to_string()}</dd></div>
            <Show when=move || { errors.get() > 0 }>
                <div>
                    <dt>"Errors"</dt>
                    <dd><a class="facts-errors" href=first_error data-noscroll on:click=to_error>{move || words::counted(errors.get(), "error", "errors")}</a></dd>
                </div>
            </Show>
        </dl>
    }
    .into_any()
}

#[component]
fn Actions(model: RunModel) -> impl IntoView {
    let state = Memo::new(move |_| model.data.with(|data| data.view.state));
    let control = FormAction::new::<ControlRun>();
    let org = model.org.get_value();
    let again = format!("/o/{org}/runs/{}/again", model.id);
    let retries = model.data.with_untracked(|data| data.retried_by.len());
    move || {
        let (org, again, run) = (org.clone(), again.clone(), model.id.to_string());
        match state.get() {
            RunState::Cancelling => ().into_any(),
            state if words::goes_on(state) => view! {
                <noscript inner_html=refresh_link(model)></noscript>
                {control_form(control, &org, run.clone(), if state == RunState::Paused { "resume" } else { "pause" }, String::new())}
                {control_form(control, &org, run, "stop", String::new())}
            }
            .into_any(),
            state => view! {
                {(state != RunState::Succeeded)
                    .then(|| control_form(control, &org, run, "retry", format!("page-{}-{retries}", model.id)))}
                <LinkButton href=Signal::stored(again)>"Run again…"</LinkButton>
            }
            .into_any(),
        }
    }
}

/// A button that stops the run, holds it, lets it go on, or retries it.
fn control_form(action: FormAction<()>, org: &str, run: String, what: &'static str, key: String) -> AnyView {
    let (look, verb, busy) = match what {
        "pause" => (Look::Default, "Pause", "Pausing…"),
        "resume" => (Look::Primary, "Resume", "Resuming…"),
        "retry" => (Look::Primary, "Retry run", "Retrying…"),
        _ => (Look::Default, "Stop run", "Stopping…"),
    };
    let org = org.to_owned();
    view! {
        <Form action id=format!("run-{what}") class="form-inline">
            <input type="hidden" name="org" value=org/>
            <input type="hidden" name="run" value=run/>
            <input type="hidden" name="what" value=what/>
            <input type="hidden" name="key" value=key/>
            <Submit look busy>{verb}</Submit>
        </Form>
    }
    .into_any()
}

/// Inside of a `noscript`, which a browser that runs scripts reads as text: so it is given as text. Slugs and ids hold
/// letters, digits and hyphens only.
fn refresh_link(model: RunModel) -> String {
    format!(
        r#"<span class="quiet">Live updates need JavaScript.</span> <a class="btn" href="{}">Refresh</a>"#,
        base(model)
    )
}

/// The views of the same run.
#[component]
fn Views(model: RunModel, view: Memo<View>) -> impl IntoView {
    let steps = move || match model.selected.get().and_then(|key| model.address_of(key)) {
        Some(step) => address(model, &step, Tab::Io),
        None => base(model),
    };
    let current = move |of: View| (view.get() == of).then_some("page");
    view! {
        <nav class="tabs run-views" aria-label="Views of the run">
            <ul>
                <li><a href=steps data-noscroll prop:replace=true aria-current=move || current(View::Steps)>"Steps"</a></li>
                <li><a href=format!("{}?view=logs", base(model)) data-noscroll prop:replace=true aria-current=move || current(View::Log)>"Log"</a></li>
            </ul>
        </nav>
    }
    .into_any()
}
