//! The panel beside the tree: the selected step (or the run itself) with its error first, then what went in and out, its
//! log, its times and its events.

use agentflow::{
    engine::{
        journal::{RunView, StepView},
        state::{StepError, StepId, StepState},
    },
    kernel::{ApprovalId, Error, RunId, text},
    runs::{LogPage, LogQuery, StepDetail},
};
use leptos::{prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    answer::{ModelFacts, Said},
    api::{self, ShownEvent},
    asked::{Asked, FetchedApproval},
    facts::{AgainFromHere, Focus, PartOf, Rules, Situation},
    line::base,
    logs::log_row,
    model::{RunModel, step_of},
    waterfall::{segments, sums},
    words,
};
use crate::kit::{
    Callout, CopyButton, Failure, Glyph, Icon, Json, Kv, KvList, Skeleton, StatusBadge, Time, Tone, kind_glyph,
    kind_word,
};

/// How long a selection has to rest before its payloads are fetched.
const REST: std::time::Duration = std::time::Duration::from_millis(80);

/// What of a step is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    /// What went in and came out.
    #[default]
    Io,
    /// Its lines of the log.
    Logs,
    /// When it did what.
    Timing,
    /// Its part of the journal.
    Events,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Io, Self::Logs, Self::Timing, Self::Events];

    /// The tab of a word in the address.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|tab| tab.word() == word).unwrap_or_default()
    }

    /// The word in the address.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Logs => "logs",
            Self::Timing => "timing",
            Self::Events => "events",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Io => "Input and output",
            Self::Logs => "Log",
            Self::Timing => "Timing",
            Self::Events => "Events",
        }
    }
}

/// What a tab shows, as it was fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Input and output.
    Io(Box<StepDetail>),
    /// Lines of the log.
    Logs(LogPage),
    /// Events.
    Events(Vec<ShownEvent>),
    /// Nothing has to be fetched.
    Known,
}

/// For which step and tab something was fetched, and at which moment of the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// The step.
    pub step: StepId,
    /// The tab.
    pub tab: Tab,
    moment: (StepState, u32),
}

impl Wanted {
    /// What the tab shows of a step as it stands.
    #[must_use]
    pub fn of(step: &StepView, tab: Tab) -> Self {
        Self { step: step.id.clone(), tab, moment: (step.state, step.attempt) }
    }
}

/// Fetches what a tab shows.
///
/// # Errors
/// As the server functions.
pub async fn fetch(org: String, run: RunId, step: StepId, tab: Tab, full: bool) -> Result<Content, Error> {
    let fetched = match tab {
        Tab::Io => api::find_step(org, run, step, full).await.map(|detail| Content::Io(Box::new(detail))),
        Tab::Logs => {
            let query = LogQuery { step: Some(step), ..LogQuery::default() };
            api::run_logs(org, run, query).await.map(Content::Logs)
        }
        Tab::Timing => Ok(Content::Known),
        Tab::Events => api::step_events(org, run, step).await.map(Content::Events),
    };
    fetched.map_err(|error| error.0)
}

/// The address of a step with a tab; the default tab is left out.
#[must_use]
pub fn address(model: RunModel, step: &str, tab: Tab) -> String {
    let tab = if tab == Tab::Io { "" } else { tab.word() };
    model.place.with(|place| super::place::address(&base(model), step, tab, place))
}

/// The panel.
#[component]
pub fn Detail(
    /// The run.
    model: RunModel,
    /// Which tab shows.
    tab: Memo<Tab>,
    /// What came with the page.
    first: Fetched,
    /// The approval that came with the page.
    approval: FetchedApproval,
    /// Whether the address asks for the confirmation of what cannot be undone.
    confirms: Signal<bool>,
    /// Whether the reader may run runs again.
    may_operate: bool,
) -> impl IntoView {
    let wanted = Memo::new(move |_| Some(Wanted::of(&model.selected_step()?, tab.get())));
    let content = RwSignal::new(first);
    follow_selection(model, wanted, content);
    let step = Memo::new(move |_| model.selected_step());
    let id = Memo::new(move |_| step.with(|step| step.as_ref().map(|step| step.id.clone())));
    let approvals = StoredValue::new(approval);
    view! {
        <aside class="detail" id="step-detail" aria-label="Step detail">
            {move || match id.get() {
                None => view! { <OfRun model/> }.into_any(),
                Some(_) => view! { <OfStep model step tab wanted content approvals confirms may_operate/> }.into_any(),
            }}
        </aside>
    }
    .into_any()
}

/// What was fetched last, and for what.
pub type Fetched = Option<(Wanted, Result<Content, Error>)>;

/// Fetches what the selection needs, once it rests.
fn follow_selection(model: RunModel, wanted: Memo<Option<Wanted>>, content: RwSignal<Fetched>) {
    Effect::new(move |_| {
        let Some(wanted_now) = wanted.get() else { return };
        if content.with_untracked(|content| content.as_ref().is_some_and(|(of, _)| *of == wanted_now)) {
            return;
        }
        let org = model.org.get_value();
        let timer = set_timeout_with_handle(
            move || {
                spawn_local(async move {
                    let fetched = fetch(org, model.id, wanted_now.step.clone(), wanted_now.tab, false).await;
                    if wanted.try_get_untracked().flatten().as_ref() == Some(&wanted_now) {
                        let _ = content.try_set(Some((wanted_now, fetched)));
                    }
                });
            },
            REST,
        );
        if let Ok(timer) = timer {
            on_cleanup(move || timer.clear());
        }
    });
}

#[component]
fn OfStep(
    model: RunModel,
    step: Memo<Option<StepView>>,
    tab: Memo<Tab>,
    wanted: Memo<Option<Wanted>>,
    content: RwSignal<Fetched>,
    approvals: StoredValue<FetchedApproval>,
    confirms: Signal<bool>,
    may_operate: bool,
) -> impl IntoView {
    let asked = Memo::new(move |_| step.with(|step| step.as_ref().and_then(asked_of)));
    let shown = move || {
        let wanted = wanted.get()?;
        content.with(|content| {
            // While a step goes on, what was fetched before stays until the new answer is there.
            let (of, fetched) = content.as_ref()?;
            (of.step == wanted.step && of.tab == wanted.tab).then(|| fetched.clone())
        })
    };
    let body = move || match (tab.get(), shown()) {
        (Tab::Timing, _) => step.get().map(|step| view! { <Timing model step/> }.into_any()),
        (_, None) => Some(view! { <Skeleton/> }.into_any()),
        (_, Some(Err(error))) => Some(view! { <Failure error/> }.into_any()),
        (_, Some(Ok(content))) => Some(of_content(model, content)),
    };
    view! {
        {move || step.get().map(|step| view! { <Head model step may_operate/> })}
        {move || step.get().and_then(|step| attempt_error(model, &step)).map(|error| view! { <ErrorBox error/> })}
        {move || {
            asked.get().map(|approval| {
                let step = step.with_untracked(|step| step.as_ref().map(|step| step.id.to_string())).unwrap_or_default();
                view! { <Asked model approval first=approvals.get_value() href=address(model, &step, Tab::Io) confirms/> }
            })
        }}
        <Writing model step/>
        <Tabs model tab/>
        <div class="detail-body">{body}</div>
    }
    .into_any()
}

#[component]
fn Head(model: RunModel, step: StepView, may_operate: bool) -> impl IntoView {
    let id = step.id.clone();
    let attempt = {
        let step = step.clone();
        move || attempt_words(model, &step).map(|words| view! { <span>{words}</span> })
    };
    let status = Signal::derive(move || {
        model.data.with(|data| {
            let place = data.tree.find(&id);
            place.and_then(|place| data.step(place)).map(|(step, node)| words::status(step, node))
        })
    });
    let fallback: crate::kit::Status = (step.state, step.kind).into();
    let name = step.name.clone();
    let lasted = {
        let step = step.clone();
        move || words::lasted(&step, model.now.get()).map(text::duration)
    };
    view! {
        <header class="detail-head">
            <a class="detail-back" href=base(model) data-noscroll prop:replace=true>
                <Icon glyph=Glyph::ArrowLeft/>"All steps"
            </a>
            <h2>
                <Icon glyph=kind_glyph(step.kind)/>
                {name}
            </h2>
            <div class="detail-facts">
                <StatusBadge status=Signal::derive(move || status.get().unwrap_or(fallback))/>
                <span>{kind_word(step.kind)}</span>
                {words::about(&step).filter(|_| step.lock.is_none()).map(|about| view! { <span>{about}</span> })}
                <span>{lasted}</span>
                {words::tokens(step.usage).map(|tokens| view! { <span>{tokens}</span> })}
                {(step.usage.cost.micros() > 0).then(|| view! { <span>{step.usage.cost.to_string()}</span> })}
                {attempt}
                <PartOf model step=step.clone()/>
            </div>
            <Situation model step=step.clone()/>
            <div class="detail-actions">
                <Focus model step=step.clone()/>
                {may_operate.then(|| view! { <AgainFromHere model step/> })}
            </div>
        </header>
    }
    .into_any()
}

/// Which attempt it is, where there was more than one, and which pause followed the one that is selected.
fn attempt_words(model: RunModel, step: &StepView) -> Option<String> {
    let selected = model.selected.get().map_or(0, |key| key.attempt);
    let of = step.attempts.map(|of| format!(" of {of}")).unwrap_or_default();
    match step.failures.iter().find(|failure| failure.attempt == selected) {
        Some(failure) => {
            let pause = words::backoff(failure).map(|pause| format!(", then a pause of {pause}")).unwrap_or_default();
            Some(format!("Attempt {selected}{of}{pause}"))
        }
        None => (step.attempt > 1).then(|| format!("Attempt {}{of}", step.attempt)),
    }
}

/// The error of the selected attempt, or of the step.
fn attempt_error(model: RunModel, step: &StepView) -> Option<StepError> {
    let attempt = model.selected.get().map_or(0, |key| key.attempt);
    let failure = step.failures.iter().find(|failure| failure.attempt == attempt);
    failure.map(|failure| failure.error.clone()).or_else(|| step.error.clone())
}

/// What went wrong: class, words, code.
#[component]
pub fn ErrorBox(
    /// The error.
    error: StepError,
) -> impl IntoView {
    let code = error.code.clone();
    view! {
        <Callout tone=Tone::Danger>
            <p class="error-class">{words::class_words(error.class)}</p>
            <p class="error-message">{error.message}</p>
            <p class="error-code"><code>{error.code}</code> <CopyButton text=code label="Copy code"/></p>
        </Callout>
    }
    .into_any()
}

/// The approval that the selected step waits for.
#[must_use]
pub fn asked_of(step: &StepView) -> Option<ApprovalId> {
    step.approval.filter(|_| step.state == StepState::Waiting)
}

/// The text that a model is writing right now.
#[component]
fn Writing(model: RunModel, step: Memo<Option<StepView>>) -> impl IntoView {
    let text = Memo::new(move |_| {
        let step = step.get()?;
        if step.state.is_end() {
            return None;
        }
        model.writing.with(|writing| {
            let own = writing.get(&step.id).map(|writing| writing.text.clone());
            // An agent shows what its newest model call writes.
            own.or_else(|| {
                let data = model.data.read();
                let newest =
                    data.view.steps.iter().rev().find(|other| step.id.holds(&other.id) && !other.state.is_end())?;
                writing.get(&newest.id).map(|writing| writing.text.clone())
            })
        })
    });
    move || {
        text.get().filter(|text| !text.is_empty()).map(|text| {
            view! {
                <div class="writing">
                    <h3>"Writing now"</h3>
                    <p>{text}<span class="caret" aria-hidden="true"></span></p>
                </div>
            }
        })
    }
}

#[component]
fn Tabs(model: RunModel, tab: Memo<Tab>) -> impl IntoView {
    let step = move || model.selected.get().and_then(|key| model.address_of(key)).unwrap_or_default();
    let links: Vec<_> = Tab::ALL
        .into_iter()
        .map(|it| {
            view! {
                <li>
                    <a
                        href=move || address(model, &step(), it)
                        data-noscroll
                        prop:replace=true
                        aria-current=move || (tab.get() == it).then_some("page")
                    >
                        {it.label()}
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <nav class="tabs" aria-label="Parts of the step">
            <ul>{links}</ul>
        </nav>
    }
    .into_any()
}

fn of_content(model: RunModel, content: Content) -> AnyView {
    match content {
        Content::Io(detail) => view! { <Payloads model detail=*detail/> }.into_any(),
        Content::Logs(page) => view! { <StepLog model page/> }.into_any(),
        Content::Events(events) => view! { <Events model events/> }.into_any(),
        Content::Known => ().into_any(),
    }
}

#[component]
fn Payloads(model: RunModel, detail: StepDetail) -> impl IntoView {
    let id = detail.view.id.clone();
    let full = RwSignal::new(None::<StepDetail>);
    let in_full = format!("{}&full=1", address(model, id.as_str(), Tab::Io));
    let load = Callback::new(move |()| {
        let (org, id) = (model.org.get_value(), id.clone());
        spawn_local(async move {
            if let Ok(Content::Io(detail)) = fetch(org, model.id, id, Tab::Io, true).await {
                let _ = full.try_set(Some(*detail));
            }
        });
    });
    let ended = detail.view.state.is_end();
    let first = detail;
    move || {
        let detail = full.get().unwrap_or_else(|| first.clone());
        let (kind, output) = (detail.view.kind, detail.output.clone());
        view! {
            <Rules model rules=detail.rules/>
            <Said kind output=output.clone()/>
            <ModelFacts kind output/>
            <Payload title="Output" value=detail.output bytes=detail.output_bytes in_full=in_full.clone() load empty=if ended { "No output." } else { "Not there yet." }/>
            <Payload title="Input" value=detail.input bytes=detail.input_bytes in_full=in_full.clone() load empty="No input."/>
        }
    }
}

/// One value: shown, or offered where it is large.
#[component]
fn Payload(
    title: &'static str,
    value: Option<Value>,
    bytes: u64,
    in_full: String,
    load: Callback<()>,
    empty: &'static str,
) -> impl IntoView {
    let body = match value {
        Some(value) => view! { <Json value label=title/> }.into_any(),
        None if bytes > 0 => {
            let show = move |event: web_sys::MouseEvent| {
                event.prevent_default();
                load.run(());
            };
            let words = format!("Show {} of {}", words::bytes(bytes), title.to_lowercase());
            view! { <p><a class="btn" href=in_full data-noscroll on:click=show>{words}</a></p> }.into_any()
        }
        None => view! { <p class="quiet">{empty}</p> }.into_any(),
    };
    view! {
        <section class="payload">
            <h3>{title}</h3>
            {body}
        </section>
    }
    .into_any()
}

#[component]
fn StepLog(model: RunModel, page: LogPage) -> impl IntoView {
    let last = page.lines.last().map_or(0, |line| line.seq);
    let step = model.selected_step().map(|step| step.id);
    let zero = model.data.with_untracked(|data| data.summary.created_at);
    let fresh = move || {
        model.fresh_logs.with(|lines| {
            let mine = |id: &StepId| step.as_ref().is_some_and(|step| step == id || step.holds(id));
            let lines = lines.iter().filter(|line| line.seq > last && line.step.as_ref().is_some_and(mine));
            lines.map(|line| log_row(line, zero, None)).collect::<Vec<_>>()
        })
    };
    let lines: Vec<_> = page.lines.iter().map(|line| log_row(line, zero, None)).collect();
    let none = lines.is_empty();
    view! {
        <div class="log log-small" role="region" tabindex="0" aria-label="Log of this step">
            {(none && model.fresh_logs.with_untracked(Vec::is_empty)).then(|| view! { <p class="quiet">"This step has written no lines."</p> })}
            <ol>{lines}{fresh}</ol>
        </div>
        <p><a href=format!("{}?view=logs", base(model))>"Log of the whole run"</a></p>
    }
    .into_any()
}

#[component]
fn Timing(model: RunModel, step: StepView) -> impl IntoView {
    let accepted = model.data.with_untracked(|data| data.summary.created_at);
    let parts = {
        let step = step.clone();
        move || {
            let parts = sums(&segments(&step, accepted, model.now.get()));
            parts
                .into_iter()
                .map(|(part, ms)| view! { <Kv name=part.words()>{text::duration(ms)}</Kv> })
                .collect::<Vec<_>>()
        }
    };
    let failures: Vec<_> = step
        .failures
        .iter()
        .map(|failure| {
            let began = failure.from.map(|from| text::duration((failure.at - from).num_milliseconds()));
            view! {
                <tr>
                    <td class="num">{failure.attempt}</td>
                    <td class="num">{began}</td>
                    <td>{words::class_words(failure.error.class)}": "{failure.error.message.clone()}</td>
                    <td class="num">{words::backoff(failure).unwrap_or_else(|| "—".to_owned())}</td>
                </tr>
            }
        })
        .collect();
    let attempts = (!failures.is_empty()).then(|| {
        view! {
            <h3>"Attempts that failed"</h3>
            <div class="table-region" role="region" aria-label="Attempts that failed" tabindex="0">
                <table class="table">
                    <thead><tr><th scope="col">"Attempt"</th><th scope="col">"Worked"</th><th scope="col">"Error"</th><th scope="col">"Pause"</th></tr></thead>
                    <tbody>{failures}</tbody>
                </table>
            </div>
        }
    });
    view! {
        <KvList>
            <Kv name="Ready"><Time at=step.queued_at absolute=true/></Kv>
            {step.started_at.map(|at| view! { <Kv name="Began"><Time at absolute=true/></Kv> })}
            {step.finished_at.map(|at| view! { <Kv name="Ended"><Time at absolute=true/></Kv> })}
            {parts}
        </KvList>
        {attempts}
    }
    .into_any()
}

#[component]
fn Events(model: RunModel, events: Vec<ShownEvent>) -> impl IntoView {
    let zero = model.data.with_untracked(|data| data.summary.created_at);
    if events.is_empty() {
        return view! { <p class="quiet">"Nothing has happened to this step yet."</p> }.into_any();
    }
    let rows: Vec<_> = events
        .into_iter()
        .map(|event| {
            let after = text::duration((event.at - zero).num_milliseconds());
            let label = format!("Event {}", event.seq);
            view! {
                <li>
                    <details>
                        <summary>
                            <span class="event-seq">{event.seq}</span>
                            <code>{event.name}</code>
                            <span class="event-at">"+"{after}</span>
                        </summary>
                        <Json value=event.data label/>
                    </details>
                </li>
            }
        })
        .collect();
    view! { <ol class="events">{rows}</ol> }.into_any()
}

/// The panel while no step is selected: the run's own input, output and error.
#[component]
fn OfRun(model: RunModel) -> impl IntoView {
    let view = move |pick: fn(&RunView) -> Option<StepError>| move || model.data.with(|data| pick(&data.view));
    let error = view(|view| view.error.clone());
    let load = Callback::new(move |()| model.load_payloads());
    let payloads = move || {
        model.data.with(|data| {
            let values = data.payloads.clone();
            let ended = data.view.state.is_end();
            let in_full = format!("{}?full=1", base(model));
            view! {
                <Payload title="Output" value=values.output bytes=values.output_bytes in_full=in_full.clone() load empty=if ended { "No output." } else { "Not there yet." }/>
                <Payload title="Input" value=values.input bytes=values.input_bytes in_full load empty="No input."/>
            }
        })
    };
    view! {
        <header class="detail-head"><h2>"Run"</h2><p class="quiet">"Select a step to see what went in and what came out."</p></header>
        {move || error().map(|error| view! { <ErrorBox error/> })}
        <div class="detail-body">{payloads}</div>
    }
    .into_any()
}

/// The step that an address names, without the attempt.
#[must_use]
pub fn named(wanted: &str) -> StepId {
    step_of(wanted).0
}
