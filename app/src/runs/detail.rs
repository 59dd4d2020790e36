//! The panel beside the tree: the selected step (or the run itself) with its error first, then what went in and out, its
//! log, its times and its events.

use agentflow::{
    engine::{
        journal::{RunView, StepView},
        state::{StepError, StepId, StepState},
    },
    kernel::{ApprovalId, text},
};
use leptos::prelude::*;

use super::{
    asked::{Asked, FetchedApproval},
    facts::{AgainFromHere, Focus, PartOf, Situation},
    line::base,
    model::{RunModel, step_of},
    part::{Fetched, Part, Tab, Wanted},
    waterfall::{segments, sums},
    words,
};
use crate::kit::{Callout, CopyButton, Glyph, Icon, Kv, KvList, StatusBadge, Time, Tone, kind_glyph, kind_word};

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
    /// Whether values are shown however large they are.
    full: Memo<bool>,
    /// What came with the page.
    first: Option<Fetched>,
    /// The approval that came with the page.
    approval: FetchedApproval,
    /// Whether the address asks for the confirmation of what cannot be undone.
    confirms: Signal<bool>,
    /// Whether the reader may run runs again.
    may_operate: bool,
) -> impl IntoView {
    let step = Memo::new(move |_| model.selected_step());
    let id = Memo::new(move |_| step.with(|step| step.as_ref().map(|step| step.id.clone())));
    let wanted = Memo::new(move |_| match step.get() {
        Some(step) => Wanted::of(&step, tab.get(), full.get(), model.fresh_lines(&step.id)),
        None => Wanted::of_run(model.data.with(|data| data.view.state).as_str(), full.get()),
    });
    let approvals = StoredValue::new(approval);
    let timing = move || step.get().filter(|_| tab.get() == Tab::Timing).map(|step| view! { <Timing model step/> });
    view! {
        <aside class="detail" id="step-detail" aria-label="Step detail">
            {move || match id.get() {
                None => view! { <OfRun model/> }.into_any(),
                Some(_) => view! { <OfStep model step tab approvals confirms may_operate/> }.into_any(),
            }}
            <div class="detail-body">{timing}<Part model wanted first/></div>
        </aside>
    }
    .into_any()
}

#[component]
fn OfStep(
    model: RunModel,
    step: Memo<Option<StepView>>,
    tab: Memo<Tab>,
    approvals: StoredValue<FetchedApproval>,
    confirms: Signal<bool>,
    may_operate: bool,
) -> impl IntoView {
    let asked = Memo::new(move |_| step.with(|step| step.as_ref().and_then(asked_of)));
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

/// The panel while no step is selected: the run's own input, output and error.
#[component]
fn OfRun(model: RunModel) -> impl IntoView {
    let view = move |pick: fn(&RunView) -> Option<StepError>| move || model.data.with(|data| pick(&data.view));
    let error = view(|view| view.error.clone());
    view! {
        <header class="detail-head"><h2>"Run"</h2><p class="quiet">"Select a step to see what went in and what came out."</p></header>
        {move || error().map(|error| view! { <ErrorBox error/> })}
    }
    .into_any()
}

/// The step that an address names, without the attempt.
#[must_use]
pub fn named(wanted: &str) -> StepId {
    step_of(wanted).0
}
