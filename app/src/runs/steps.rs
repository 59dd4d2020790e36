//! The execution tree and its bars. Before the page is alive it is a nested list of links, in windows of 200; then it
//! becomes a tree with one tab stop, of which only the lines in sight are drawn once there are many.

use std::time::Duration;

use leptos::{ev, html, prelude::*};
use wasm_bindgen::JsCast;

use super::{
    facts::Focused,
    find::Find,
    gaps::Gap,
    line::{base, draw, encoded, line_id},
    model::RunModel,
    place::{Only, Place, address},
    tree::{self, Key, Move, Row, RowKey},
    waterfall::Part,
    words,
};
use crate::kit::{Glyph, Html, Icon};

/// Lines in one window of the plain list, and lines from which on only those in sight are drawn.
pub const WINDOW: usize = 200;
/// Lines that are drawn above and below those in sight.
const MARGIN: usize = 20;
/// While letters follow each other this quickly they are one word.
const TYPING: Duration = Duration::from_millis(700);
const DEEPEST_ZOOM: u32 = 12;

/// The tree of a run's steps with everything that belongs to it.
#[component]
pub fn Steps(
    /// The run.
    model: RunModel,
    /// At which line the plain list begins.
    from: usize,
    /// Whether the page is alive.
    alive: RwSignal<bool>,
    /// What the search found that came with the page.
    found: Html,
) -> impl IntoView {
    view! {
        <section class="steps" aria-labelledby="steps-heading">
            <Toolbar model alive/>
            <Find model first=found alive/>
            <Focused model/>
            <Head model/>
            {move || {
                if alive.get() { view! { <Tree model/> }.into_any() } else { plain(model, from) }
            }}
            <Legend/>
        </section>
    }
    .into_any()
}

#[component]
fn Toolbar(model: RunModel, alive: RwSignal<bool>) -> impl IntoView {
    let steps = move || model.data.with(|data| words::counted(data.view.steps.len(), "step", "steps"));
    let errors = Memo::new(move |_| model.data.with(|data| data.errors.len()));
    let zoomed = move || model.zoom.get() > 0;
    let only = move || {
        let on = model.place.with(|place| place.only == Only::Errors);
        let to = if on { Only::All } else { Only::Errors };
        let href = address(&base(model), &model.selected_address(), "", &model.place.with(|place| place.with(to)));
        view! { <a class="btn btn-quiet btn-small" href=href data-noscroll>{if on { "All steps" } else { "Errors only" }}</a> }
    };
    view! {
        <div class="steps-bar">
            <h2 id="steps-heading">"Steps"</h2>
            <span class="steps-count">{steps}</span>
            <Show when=move || { errors.get() > 0 }>
                <span class="steps-errors status-text danger">
                    <Icon glyph=Glyph::Failed/>
                    {move || words::counted(errors.get(), "error", "errors")}
                    <Show when=move || alive.get()>
                        <button type="button" class="btn btn-quiet btn-small btn-icon" aria-keyshortcuts="," title="Previous error (,)" on:click=move |_| model.to_error(false)>
                            <Icon glyph=Glyph::ArrowUp/><span class="visually-hidden">"Previous error"</span>
                        </button>
                        <button type="button" class="btn btn-quiet btn-small btn-icon" aria-keyshortcuts="." title="Next error (.)" on:click=move |_| model.to_error(true)>
                            <Icon glyph=Glyph::ArrowDown/><span class="visually-hidden">"Next error"</span>
                        </button>
                    </Show>
                    {only}
                </span>
            </Show>
            <Show when=move || alive.get()>
                <button type="button" class="btn btn-quiet btn-small steps-path" aria-pressed=move || model.marks_path.get().to_string()
                    title="The steps that determined when the run ended" on:click=move |_| model.marks_path.update(|on| *on = !*on)>
                    "Critical path"
                </button>
                <Show when=move || model.gaps.with(|gaps| !gaps.is_empty())>
                    <button type="button" class="btn btn-quiet btn-small" aria-pressed=move || model.folds.get().to_string()
                        title="Draws stretches in which nothing worked narrow" on:click=move |_| model.folds.update(|on| *on = !*on)>
                        "Fold idle time"
                    </button>
                </Show>
                <span class="steps-zoom" role="group" aria-label="Timeline zoom">
                    <button type="button" class="btn btn-quiet btn-small" aria-keyshortcuts="-" title="Zoom out (-)" aria-disabled=move || (!zoomed()).then_some("true") on:click=move |_| zoom(model, -1)>"−"<span class="visually-hidden">" Zoom out"</span></button>
                    <button type="button" class="btn btn-quiet btn-small" aria-keyshortcuts="0" title="Whole run (0)" aria-disabled=move || (!zoomed()).then_some("true") on:click=move |_| model.zoom.set(0)>"Whole run"</button>
                    <button type="button" class="btn btn-quiet btn-small" aria-keyshortcuts="+" title="Zoom in (+)" on:click=move |_| zoom(model, 1)>"+"<span class="visually-hidden">" Zoom in"</span></button>
                </span>
            </Show>
        </div>
    }
    .into_any()
}

/// Magnifies the bars around the selected step.
fn zoom(model: RunModel, by: i32) {
    model.zoom.update(|zoom| *zoom = zoom.saturating_add_signed(by).min(DEEPEST_ZOOM));
}

#[component]
fn Head(model: RunModel) -> impl IntoView {
    // Where time is folded, a broken line stands.
    let folds = move || {
        let scale = model.scale.get();
        let fold = |gap: &Gap| {
            let x = format!("{:.2}%", scale.percent(gap.from_ms / 2 + gap.to_ms / 2));
            view! { <line class="axis-fold" x1=x.clone() x2=x y1="2" y2="24"></line> }
        };
        let inside = |gap: &&Gap| gap.to_ms > scale.from_ms && gap.from_ms < scale.to_ms;
        scale.gaps.iter().filter(inside).map(fold).collect::<Vec<_>>()
    };
    let marks = move || {
        let marks = model.scale.get().marks();
        let marks = marks.into_iter().map(|(percent, words)| {
            // The last mark is written to the left of its place, so that it stays inside.
            let anchor = if percent < 1.0 {
                "start"
            } else if percent > 94.0 {
                "end"
            } else {
                "middle"
            };
            let x = format!("{percent:.2}%");
            view! {
                <line x1=x.clone() x2=x.clone() y1="18" y2="24"></line>
                <text x=x y="13" text-anchor=anchor>{words}</text>
            }
        });
        marks.collect::<Vec<_>>()
    };
    view! {
        <div class="steps-head" aria-hidden="true">
            <div>"Step"</div>
            <div class="line-state">"Status"</div>
            <div class="line-num line-duration">"Duration"</div>
            <div class="line-num line-tokens">"Tokens"</div>
            <div class="line-num line-cost">"Cost"</div>
            <svg class="axis" height="24">{folds}{marks}</svg>
        </div>
    }
    .into_any()
}

#[component]
fn Legend() -> impl IntoView {
    let parts: Vec<_> = Part::ALL
        .into_iter()
        .map(|part| {
            let shape =
                format!(r#"<rect class="{} info" x="1" y="1" width="22" height="10" rx="2"></rect>"#, part.class());
            view! {
                <li>
                    <svg width="24" height="12" aria-hidden="true" inner_html=shape></svg>
                    {part.words()}
                </li>
            }
        })
        .collect();
    view! {
        <ul class="legend" aria-label="What the bars mean">{parts}</ul>
    }
    .into_any()
}

/// The patterns that the bars are filled with; once in a page.
#[component]
pub fn Patterns() -> impl IntoView {
    const PATTERNS: &str = r#"<defs>
        <pattern id="fill-queue" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="fill-queue" width="2.5" height="6"></rect></pattern>
        <pattern id="fill-backoff" width="5" height="5" patternUnits="userSpaceOnUse"><circle class="fill-backoff" cx="2" cy="2" r="1.4"></circle></pattern>
        <pattern id="fill-failed" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="fill-failed-back" width="6" height="6"></rect><rect class="fill-failed" width="1.5" height="6"></rect></pattern>
        <pattern id="fill-running" width="10" height="10" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="fill-running-back" width="10" height="10"></rect><rect class="fill-running" width="4" height="10"></rect></pattern>
    </defs>"#;
    view! { <svg class="patterns" width="0" height="0" aria-hidden="true" focusable="false" inner_html=PATTERNS></svg> }
        .into_any()
}

/// The list before the page is alive, and for good without JavaScript.
fn plain(model: RunModel, from: usize) -> AnyView {
    let lines = model.lines.get_untracked();
    let from = from.min(lines.rows.len());
    let to = (from + WINDOW).min(lines.rows.len());
    let shown = model.place.with_untracked(Place::further);
    let link = |from: usize| format!("{}?from={from}{shown}", base(model));
    let pages = (lines.rows.len() > WINDOW).then(|| {
        view! {
            <nav class="steps-pages" aria-label="More steps">
                {(from > 0).then(|| view! { <a href=link(from.saturating_sub(WINDOW)) data-noscroll>"Previous 200 steps"</a> })}
                {(to < lines.rows.len()).then(|| view! { <a href=link(to) data-noscroll>"Next 200 steps"</a> })}
            </nav>
        }
    });
    if lines.rows.is_empty() {
        return view! { <Empty model/> }.into_any();
    }
    view! {
        <div class="tree">
            {nested(model, &lines.rows[from..to])}
        </div>
        {pages}
    }
    .into_any()
}

/// Lines as lists in lists.
fn nested(model: RunModel, rows: &[Row]) -> AnyView {
    let Some(first) = rows.first() else { return ().into_any() };
    // A window may begin in the middle of a group: whatever is no deeper than its first line begins a list item.
    let mut items = Vec::new();
    let mut place = 0;
    while let Some(row) = rows.get(place) {
        let below = rows[place + 1..].iter().take_while(|other| other.depth > row.depth.min(first.depth)).count();
        let inside = &rows[place + 1..=place + below];
        let key = row.key;
        items.push(
            view! {
                <li>
                    {draw(model, key, None)}
                    {(!inside.is_empty()).then(|| nested(model, inside))}
                </li>
            }
            .into_any(),
        );
        place += below + 1;
    }
    view! { <ul>{items}</ul> }.into_any()
}

#[component]
fn Empty(model: RunModel) -> impl IntoView {
    let words = move || {
        if model.data.with(|data| data.view.state.is_end()) {
            "This run ended before its first step began."
        } else {
            "No step has begun yet. Steps appear here as soon as they do."
        }
    };
    view! { <p class="steps-empty">{words}</p> }.into_any()
}

/// The living tree.
#[component]
fn Tree(model: RunModel) -> impl IntoView {
    let place = NodeRef::<html::Div>::new();
    // What is in sight: the first line and how many fit.
    let (sight, set_sight) = signal((0_usize, 60_usize));
    let height = StoredValue::new(32.0_f64);
    let look = move || {
        let Some(tree) = place.get_untracked() else { return };
        if let Ok(Some(line)) = tree.query_selector(".line") {
            height.set_value(line.get_bounding_client_rect().height().max(16.0));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "lines on screen are few and not negative"
        )]
        let lines = |pixels: i32| (f64::from(pixels) / height.get_value()) as usize;
        let next = (lines(tree.scroll_top()), lines(tree.client_height()) + 1);
        if sight.get_untracked() != next {
            set_sight.set(next);
        }
    };
    let window = Memo::new(move |_| {
        model.lines.with(|lines| {
            let all = lines.rows.len();
            if all <= WINDOW {
                return (0, all);
            }
            let (first, fit) = sight.get();
            let from = first.saturating_sub(MARGIN).min(all);
            (from, (first + fit + MARGIN).min(all))
        })
    });
    let keys = move || {
        let (from, to) = window.get();
        model
            .lines
            .with(|lines| lines.rows.get(from..to).unwrap_or_default().iter().map(|row| row.key).collect::<Vec<_>>())
    };
    let choose = Callback::new(move |key: RowKey| {
        model.select(key);
        if let Some(tree) = place.get_untracked() {
            let _ = tree.focus();
        }
    });
    let typed = StoredValue::new((String::new(), 0_i64));
    let on_key = move |event: ev::KeyboardEvent| take_key(model, typed, &event);
    keep_in_sight(model, place, height, look);
    #[expect(clippy::cast_precision_loss, reason = "lines are far fewer than 2^52")]
    let pixels = move |lines: usize| format!("{}px", lines as f64 * height.get_value());
    // Only a line that is drawn can be named: the root may be elsewhere, or one has scrolled away.
    let active = move || {
        let key = model.selected.get()?;
        let place = model.lines.with(|lines| lines.place(key))?;
        let (from, to) = window.get();
        (from..to).contains(&place).then(|| line_id(key))
    };
    view! {
        <div
            class="tree is-live"
            class:is-windowed=move || model.lines.with(|lines| lines.rows.len() > WINDOW)
            role="tree"
            aria-labelledby="steps-heading"
            aria-activedescendant=active
            tabindex="0"
            node_ref=place
            on:keydown=on_key
            on:scroll=move |_| look()
        >
            <div class="tree-space" style:height=move || pixels(window.get().0)></div>
            <For each=keys key=|key| *key let:key>
                {draw(model, key, Some(choose))}
            </For>
            <div class="tree-space" style:height=move || pixels(model.lines.with(|lines| lines.rows.len()) - window.get().1.min(model.lines.with(|lines| lines.rows.len())))></div>
        </div>
        <Show when=move || model.lines.with(|lines| lines.rows.is_empty())>
            <Empty model/>
        </Show>
    }
    .into_any()
}

/// Brings the selected line into sight whenever another one is selected.
fn keep_in_sight(
    model: RunModel,
    place: NodeRef<html::Div>,
    height: StoredValue<f64>,
    look: impl Fn() + Copy + 'static,
) {
    Effect::new(move |before: Option<Option<RowKey>>| {
        let selected = model.selected.get();
        let Some(tree) = place.get() else { return selected };
        look();
        let line = selected.and_then(|key| model.lines.with_untracked(|lines| lines.place(key)));
        let is_windowed = model.lines.with_untracked(|lines| lines.rows.len() > WINDOW);
        if !is_windowed {
            let named = || window().location().search().is_ok_and(|query| query.contains("step="));
            // What a page chooses by itself when it opens does not scroll it away from its head.
            let Some(key) = selected.filter(|_| before != Some(selected) && (before.is_some() || named())) else {
                return selected;
            };
            // A short tree scrolls with its page. A line that has just been opened is drawn first.
            request_animation_frame(move || center(&line_id(key)));
        } else if let Some(line) = line
            && before != Some(selected)
        {
            #[expect(clippy::cast_precision_loss, reason = "lines are far fewer than 2^52")]
            let top = line as f64 * height.get_value();
            let (from, sight) = (f64::from(tree.scroll_top()), f64::from(tree.client_height()));
            #[expect(clippy::cast_possible_truncation, reason = "pixels of a page")]
            if top < from || top + height.get_value() > from + sight {
                tree.set_scroll_top((top - sight / 2.0).max(0.0) as i32);
                look();
            }
        }
        selected
    });
}

/// Scrolls the page to a line that is out of its sight.
fn center(id: &str) {
    let Some(line) = document().get_element_by_id(id) else { return };
    let (place, bar) = (line.get_bounding_client_rect(), 64.0);
    let height = window().inner_height().ok().and_then(|height| height.as_f64()).unwrap_or(f64::MAX);
    if place.top() < bar || place.bottom() > height {
        let how = web_sys::ScrollIntoViewOptions::new();
        how.set_block(web_sys::ScrollLogicalPosition::Center);
        line.scroll_into_view_with_scroll_into_view_options(&how);
    }
}

/// The keys of trees everywhere, and those of the run page.
fn take_key(model: RunModel, typed: StoredValue<(String, i64)>, event: &ev::KeyboardEvent) {
    if event.ctrl_key() || event.meta_key() || event.alt_key() {
        return;
    }
    let name = event.key();
    let key = match name.as_str() {
        "ArrowUp" => Key::Up,
        "ArrowDown" => Key::Down,
        "ArrowLeft" => Key::Left,
        "ArrowRight" => Key::Right,
        "Home" => Key::Home,
        "End" => Key::End,
        "*" => Key::Star,
        _ => {
            if letter(model, typed, &name) {
                event.prevent_default();
                event.stop_propagation();
            }
            return;
        }
    };
    event.prevent_default();
    let step = model.lines.with_untracked(|lines| {
        let at = model.selected.get_untracked().and_then(|key| lines.place(key));
        match at {
            Some(at) => tree::press(&lines.rows, at, key),
            None if lines.rows.is_empty() => Move::Stay,
            None => Move::To(if key == Key::End { lines.rows.len() - 1 } else { 0 }),
        }
    });
    go(model, step);
}

fn go(model: RunModel, step: Move) {
    match step {
        Move::To(place) => {
            let key = model.lines.with_untracked(|lines| lines.rows.get(place).map(|row| row.key));
            if let Some(key) = key {
                model.selected.set(Some(key));
            }
        }
        Move::Set(steps, open) => model.set_open(&steps, open),
        Move::Stay => {}
    }
}

/// Letters select by name.
fn letter(model: RunModel, typed: StoredValue<(String, i64)>, name: &str) -> bool {
    let mut letters = name.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else { return false };
    // Keys of the page: to what the search found, and to running the run again.
    let to_hit = matches!(letter, 'n' | 'N') && model.hits.with_untracked(|hits| !hits.steps.is_empty());
    if !letter.is_alphabetic() || to_hit || letter == 'R' {
        return false;
    }
    let now = crate::kit::time::browser_now();
    let word = typed.with_value(|(word, at)| {
        let goes_on = now - at < i64::try_from(TYPING.as_millis()).unwrap_or(i64::MAX);
        if goes_on { format!("{word}{letter}") } else { letter.to_string() }
    });
    typed.set_value((word.clone(), now));
    let target = model.lines.with_untracked(|lines| {
        let at = model.selected.get_untracked().and_then(|key| lines.place(key)).unwrap_or(0);
        let name = |key: RowKey| {
            model
                .data
                .with_untracked(|data| data.view.steps.get(key.step).map(|step| step.name.clone()).unwrap_or_default())
        };
        tree::type_ahead(&lines.rows, name, at, &word).map(|place| lines.rows[place].key)
    });
    if let Some(key) = target {
        model.selected.set(Some(key));
    }
    true
}

/// The keys that work anywhere on the run page, as long as nothing is being typed into. `again` is where the run can be
/// run again.
pub fn page_keys(model: RunModel, again: Option<String>) {
    let keys_are_on = crate::frame::single_keys();
    let handle = window_event_listener(ev::keydown, move |event| {
        let typing =
            event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()).is_some_and(|element| {
                element
                    .closest("input, textarea, select, [contenteditable], dialog[open]")
                    .is_ok_and(|found| found.is_some())
            });
        if typing || event.default_prevented() || event.ctrl_key() || event.meta_key() {
            return;
        }
        if event.alt_key() {
            if let Some(outer) = untrack(|| model.outer()).filter(|_| event.key() == "ArrowUp") {
                event.prevent_default();
                let place = model.place.with_untracked(|place| place.rooted(outer));
                model.go.run((address(&base(model), &untrack(|| model.selected_address()), "", &place), false));
            }
            return;
        }
        if !keys_are_on() {
            return;
        }
        match event.key().as_str() {
            "." => model.to_error(true),
            "," => model.to_error(false),
            "+" | "=" => zoom(model, 1),
            "-" => zoom(model, -1),
            "0" => model.zoom.set(0),
            "l" if !window().location().search().is_ok_and(|query| query.contains("view=logs")) => {
                model.go.run((format!("{}?view=logs", base(model)), false));
            }
            "i" | "t" => {
                let step = untrack(|| model.selected_address());
                let to = model.place.with_untracked(|place| address(&base(model), &step, "", place));
                model.go.run((to, false));
            }
            "n" => model.to_hit(true),
            "N" => model.to_hit(false),
            "/" => {
                let field = document().get_element_by_id("run-find");
                if let Some(field) = field.and_then(|field| field.dyn_into::<web_sys::HtmlElement>().ok()) {
                    event.prevent_default();
                    let _ = field.focus();
                }
            }
            "R" => {
                let ended = model.data.with_untracked(|data| data.view.state.is_end());
                if let Some(again) = again.as_ref().filter(|_| ended) {
                    let step = model
                        .selected_step_untracked()
                        .filter(|step| model.data.with_untracked(|data| words::can_begin_again(&data.view, step)));
                    let from = step.map(|step| format!("?from={}", encoded(step.id.as_str()))).unwrap_or_default();
                    model.go.run((format!("{again}{from}"), false));
                }
            }
            digit if digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit() => {
                model.open_to(usize::from(digit.as_bytes()[0] - b'0'));
            }
            _ => {}
        }
    });
    on_cleanup(move || handle.remove());
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
