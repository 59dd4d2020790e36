//! One line of the tree: what it shows, and how. The bars are drawn as SVG with attributes alone.

use std::fmt::Write as _;

use agentflow::{
    engine::{
        journal::{StepView, Usage},
        state::{StepKind, StepState},
    },
    kernel::{Timestamp, text},
};
use leptos::{attr::custom::custom_attribute, prelude::*};

use super::{
    model::{RunData, RunModel, address_of},
    place::{Place, address},
    tree::{Counts, DEEPEST_INDENT, Node, Row, RowKey},
    waterfall::{Scale, Segment, segments, sums},
    words,
};
use crate::kit::{Family, Glyph, Icon, Status, kind_glyph};

/// The width of one step to the right, and the height of a line, in pixels.
const INDENT: usize = 16;

/// Everything that a line shows. Two that are equal look the same, so a line is drawn anew only when it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place in the tree.
    pub row: Row,
    /// What is read out.
    pub label: String,
    /// Its address in the page.
    pub step: String,
    name: String,
    about: Option<String>,
    kind: Glyph,
    status: Status,
    state: String,
    duration: String,
    tokens: String,
    cost: String,
    /// Whether the sums are those of everything below too.
    rolled_up: bool,
    counts: Option<Counts>,
    bar: String,
    /// Whether the search found it.
    found: bool,
    /// Whether it is on the critical path, while that is marked.
    on_path: Option<bool>,
}

/// The line with this key, if it still exists.
#[must_use]
pub fn line(model: RunModel, key: RowKey) -> Option<Line> {
    let row = model.lines.with(|lines| lines.place(key).map(|place| lines.rows[place]))?;
    let scale = model.scale.get();
    let found = model.hits.with(|hits| hits.has(key.step));
    let on_path = model.path.with(|path| path.get(key.step).copied());
    let line = model.data.with(|data| {
        let (step, node) = data.step(key.step)?;
        // Only what is under way depends on the clock.
        let now = if step.state.is_end() { step.finished_at.unwrap_or(step.queued_at) } else { model.now.get() };
        if key.attempt > 0 {
            return attempt_line(data, step, row, &scale);
        }
        Some(step_line(data, step, node, row, now, &scale))
    })?;
    let mut label = line.label;
    if on_path == Some(true) {
        label.push_str(", on the critical path");
    }
    if found {
        label.push_str(", found");
    }
    Some(Line { label, found, on_path, ..line })
}

fn step_line(data: &RunData, step: &StepView, node: &Node, row: Row, now: Timestamp, scale: &Scale) -> Line {
    let status = words::status(step, node);
    let state = words::state_words(step, status, now);
    let rolled_up = row.open == Some(false);
    let usage = if rolled_up { node.total } else { step.usage };
    let counts =
        (matches!(step.kind, StepKind::Map | StepKind::Loop) && node.counts.total() > 0).then_some(node.counts);
    let progress = data.progress.get(&step.id).filter(|_| counts.is_none() && !step.state.is_end());
    let about = match (counts, progress) {
        (Some(counts), _) => Some(counts.words()),
        (None, Some((done, total))) => Some(format!("{} of {}", text::grouped(*done), text::grouped(*total))),
        (None, None) => words::left(step, now).or_else(|| words::about(step)),
    };
    let bars = segments(step, data.summary.created_at, now);
    let parts: Vec<_> = sums(&bars)
        .into_iter()
        .map(|(part, ms)| format!("{} {}", part.words().to_lowercase(), text::duration(ms)))
        .collect();
    let more = counts.map(Counts::words);
    let mut label = words::label(step, &state, usage, more.as_deref(), now);
    if parts.len() > 1 {
        let _ = write!(label, ", {}", parts.join(", "));
    }
    Line {
        label,
        step: address_of(data, row.key).unwrap_or_default(),
        name: step.name.clone(),
        about,
        kind: kind_glyph(step.kind),
        status,
        state,
        duration: words::lasted(step, now).map(text::duration).unwrap_or_default(),
        tokens: number(usage),
        cost: cost(usage),
        rolled_up: rolled_up && usage != step.usage,
        counts,
        bar: bar(&bars, scale, status.family, step.state, !node.children.is_empty()),
        row,
        found: false,
        on_path: None,
    }
}

fn attempt_line(data: &RunData, step: &StepView, row: Row, scale: &Scale) -> Option<Line> {
    let failure = step.failures.iter().find(|failure| failure.attempt == row.key.attempt)?;
    let since = |at: Timestamp| (at - data.summary.created_at).num_milliseconds().max(0);
    let began = failure.from.unwrap_or(failure.at);
    let work = Segment { part: super::waterfall::Part::Work, from_ms: since(began), to_ms: since(failure.at) };
    let status = Status::new("Failed", Glyph::Failed, Family::Danger);
    Some(Line {
        label: words::attempt_label(failure),
        step: address_of(data, row.key)?,
        name: format!("Attempt {}", failure.attempt),
        about: Some(failure.error.message.clone()),
        kind: Glyph::Retry,
        status,
        state: status.word.to_owned(),
        duration: text::duration((failure.at - began).num_milliseconds()),
        tokens: String::new(),
        cost: String::new(),
        rolled_up: false,
        counts: None,
        bar: bar(&[work], scale, Family::Danger, StepState::Failed, false),
        row,
        found: false,
        on_path: None,
    })
}

fn number(usage: Usage) -> String {
    if usage.tokens() > 0 { text::grouped(usage.tokens()) } else { String::new() }
}

fn cost(usage: Usage) -> String {
    if usage.cost.micros() > 0 { usage.cost.to_string() } else { String::new() }
}

/// A bar's shapes. Numbers only go in, so nothing has to be escaped.
fn bar(segments: &[Segment], scale: &Scale, family: Family, state: StepState, parent: bool) -> String {
    let mut shapes = String::new();
    for segment in segments {
        if segment.to_ms < scale.from_ms || segment.from_ms > scale.to_ms {
            continue;
        }
        let (from, to) = (scale.percent(segment.from_ms), scale.percent(segment.to_ms));
        let (y, height) = if parent { (9, 6) } else { (6, 12) };
        let _ = write!(
            shapes,
            r#"<rect class="{} {}{}" x="{from:.2}%" y="{y}" width="{:.2}%" height="{height}" rx="2"></rect>"#,
            segment.part.class(),
            family.class(),
            match state {
                StepState::Running => " is-running",
                StepState::Failed => " is-failed",
                StepState::Cancelled => " is-stopped",
                _ => "",
            },
            (to - from).max(0.0),
        );
    }
    shapes
}

/// How many of a group's items are at which state, as one small bar.
fn counts_bar(counts: Counts) -> String {
    let total = f64::from(counts.total().max(1));
    let mut from = 0.0;
    let mut shapes = String::new();
    for (count, family) in [
        (counts.succeeded, Family::Success),
        (counts.failed, Family::Danger),
        (counts.running, Family::Info),
        (counts.waiting, Family::Attention),
        (counts.other, Family::Neutral),
    ] {
        let width = f64::from(count) * 100.0 / total;
        if count > 0 {
            let _ = write!(
                shapes,
                r#"<rect class="bar-work {}" x="{from:.2}%" y="0" width="{width:.2}%" height="6"></rect>"#,
                family.class()
            );
        }
        from += width;
    }
    shapes
}

/// The lines that lead from a parent to its children, and where they turn to this one.
fn guides(row: &Row) -> String {
    let mut path = String::new();
    for depth in 0..row.depth.min(DEEPEST_INDENT) {
        let x = depth * INDENT + INDENT / 2;
        let child = depth + 1 == row.depth;
        // The level's own bit says whether a later sibling follows on the children's level.
        if row.guides & (1 << (depth + 1)) != 0 {
            let _ = write!(path, "M{x}.5 0V100");
        } else if child {
            let _ = write!(path, "M{x}.5 0V16");
        }
        if child {
            let _ = write!(path, "M{x}.5 16.5H{}", x + INDENT / 2);
        }
    }
    path
}

/// Draws a line. `live` is after hydration: then the tree takes the keys, and clicks select without loading anything.
pub fn draw(model: RunModel, key: RowKey, live: Option<Callback<RowKey>>) -> AnyView {
    let line = Memo::new(move |_| line(model, key));
    let Some(first) = line.get_untracked() else { return ().into_any() };
    let get = move |pick: fn(&Line) -> String| move || line.with(|line| line.as_ref().map(pick).unwrap_or_default());
    let row = Memo::new(move |_| line.with(|line| line.as_ref().map_or(first.row, |line| line.row)));
    let selected = move || model.selected.get() == Some(key);
    let step = first.step.clone();
    let href = move || page_address(model, &step);
    let is = move |pick: fn(&Line) -> bool| move || line.with(|line| line.as_ref().is_some_and(pick));
    let open_class = move || match row.get().open {
        Some(true) => "twist is-open",
        Some(false) => "twist",
        None => "twist is-leaf",
    };
    let toggle = move |event: web_sys::MouseEvent| {
        if live.is_some() {
            event.prevent_default();
            event.stop_propagation();
            model.set_open(&[key.step], row.get_untracked().open == Some(false));
        }
    };
    let choose = move |event: web_sys::MouseEvent| {
        let plain =
            event.button() == 0 && !(event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key());
        if let Some(choose) = live
            && plain
        {
            event.prevent_default();
            choose.run(key);
        }
    };
    let (is_live, is_attempt) = (live.is_some(), key.attempt > 0);
    let when_live = move |value: String| is_live.then_some(value);
    view! {
        <div
            class="line"
            class:is-selected=selected
            class:is-attempt=is_attempt
            class:is-found=is(|line| line.found)
            class:is-off-path=is(|line| line.on_path == Some(false))
            id=when_live(line_id(key))
            role=is_live.then_some("treeitem")
            aria-label=move || when_live(get(|line| line.label.clone())())
            {..custom_attribute("aria-level", move || when_live((row.get().depth + 1).to_string()))}
            aria-posinset=move || when_live(row.get().position.to_string())
            aria-setsize=move || when_live(row.get().siblings.to_string())
            aria-expanded=move || row.get().open.and_then(|open| when_live(open.to_string()))
            aria-selected=move || when_live(selected().to_string())
        >
            <div class="line-name">
                <svg class="guides" aria-hidden="true" width=move || row.get().depth.min(DEEPEST_INDENT) * INDENT>
                    <path d=move || guides(&row.get())></path>
                </svg>
                {move || (row.get().depth > DEEPEST_INDENT).then(|| view! { <span class="depth">{row.get().depth}</span> })}
                {twist(model, row, open_class, toggle, is_live)}
                <a class="line-link" href=href data-noscroll tabindex=is_live.then_some("-1") aria-current=move || selected().then_some("true") on:click=choose title=get(|line| line.name.clone())>
                    <span class="line-kind"><Icon glyph=first.kind/></span>
                    <span class="line-title">{get(|line| line.name.clone())}</span>
                </a>
                <span class="line-about">{get(|line| line.about.clone().unwrap_or_default())}</span>
                {move || line.with(|line| line.as_ref().and_then(|line| line.counts)).map(|counts| view! {
                    <svg class="counts" aria-hidden="true" height="6" inner_html=counts_bar(counts)></svg>
                })}
            </div>
            <div class=move || format!("line-state status-text {}", line.with(|line| line.as_ref().map_or("", |line| line.status.family.class())))>
                {move || line.with(|line| line.as_ref().map(|line| line.status.glyph)).map(|glyph| view! { <Icon glyph/> })}
                <span>{get(|line| line.state.clone())}</span>
            </div>
            <div class="line-num line-duration">{get(|line| line.duration.clone())}</div>
            <div class="line-num line-tokens">{get(|line| sum(line, &line.tokens))}</div>
            <div class="line-num line-cost">{get(|line| sum(line, &line.cost))}</div>
            <svg class="line-bar" aria-hidden="true" height="24" inner_html=get(|line| line.bar.clone())></svg>
        </div>
    }
    .into_any()
}

fn sum(line: &Line, value: &str) -> String {
    if line.rolled_up && !value.is_empty() { format!("Σ\u{a0}{value}") } else { value.to_owned() }
}

/// The mark that opens and closes a group: a link before the page is alive, part of the line afterwards.
fn twist(
    model: RunModel,
    row: Memo<Row>,
    class: impl Fn() -> &'static str + Send + Sync + 'static,
    toggle: impl Fn(web_sys::MouseEvent) + 'static,
    is_live: bool,
) -> AnyView {
    let first = row.get_untracked();
    let step = model.data.with_untracked(|data| data.view.steps.get(first.key.step).map(|step| step.id.to_string()));
    let shown = model.place.with_untracked(Place::further);
    let href = format!("{}?open={}{shown}", base(model), step.unwrap_or_default());
    let words = if first.open == Some(true) { "Close others" } else { "Open" };
    if is_live || first.open != Some(false) {
        return view! { <span class=class aria-hidden="true" on:click=toggle><Icon glyph=Glyph::ChevronRight/></span> }
            .into_any();
    }
    view! {
        <a class=class href=href data-noscroll aria-label=words on:click=toggle>
            <Icon glyph=Glyph::ChevronRight/>
        </a>
    }
    .into_any()
}

/// The id of a line's element.
#[must_use]
pub fn line_id(key: RowKey) -> String {
    format!("line-{}-{}", key.step, key.attempt)
}

/// The address of the run's page.
#[must_use]
pub fn base(model: RunModel) -> String {
    format!("/o/{}/runs/{}", model.org.get_value(), model.id)
}

/// The address that selects a step.
#[must_use]
pub fn page_address(model: RunModel, step: &str) -> String {
    model.place.with(|place| address(&base(model), step, "", place))
}

/// A text made fit for an address. Steps are made of letters, digits, dots and underscores; whatever else is there is
/// escaped.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
