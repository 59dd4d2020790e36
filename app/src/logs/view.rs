//! The log in the browser: it shows what the server wrote, asks for the blocks around what is in sight, follows the end, and
//! keeps the address.

use std::time::Duration;

use agentflow::kernel::{Error, RunId, text};
use leptos::{ev, html, prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate},
};
use wasm_bindgen::JsCast;
use web_sys::Element;

use super::{
    BLOCK, BLOCKS, FirstLog, LogAsk, LogFacts, LogHtml, LogPart, Spot, api,
    hand::{close_menu, focus_search, is_plain, leave_menu, open_menu, page_keys, press, search_key},
    sight::Sight,
};
use crate::{
    host,
    kit::{Announcer, Failure, time::browser_now},
    live::{Connection, use_live},
};

/// The least time between two looks at the end.
const PAUSE: Duration = Duration::from_millis(150);
/// How long one scrolls before blocks are asked for.
const REST: Duration = Duration::from_millis(50);
/// The least time between two announcements, in milliseconds.
const SPOKEN: i64 = 10_000;
/// Lines of other runs are asked for so often: only that a run moved on is told.
const POLL: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
struct Log {
    org: StoredValue<String>,
    run: Option<RunId>,
    address: Memo<String>,
    hash: Memo<String>,
    ended: Signal<bool>,
    facts: StoredValue<LogFacts>,
    total: RwSignal<u64>,
    wrap: RwSignal<bool>,
    failed: RwSignal<Option<Error>>,
    loading: RwSignal<bool>,
    /// How many lines there were when the reader went away from the end.
    paused: RwSignal<Option<u64>>,
    sight: Sight,
    bar: NodeRef<html::Div>,
    found: NodeRef<html::Div>,
    /// Grows with each address that is asked for: older answers are left.
    asked: StoredValue<u32>,
    /// Whether the end is being looked at, and whether there was news meanwhile.
    busy: StoredValue<(bool, bool)>,
    /// Whether blocks are being asked for.
    looks: StoredValue<bool>,
    /// When something was announced, and how many lines there were.
    said: StoredValue<(i64, u64)>,
    announcer: Option<Announcer>,
}

impl Log {
    fn ask(self, ask: LogAsk) -> impl Future<Output = Option<Result<LogPart, Error>>> {
        let number = self.asked.get_value();
        // While the lines are the same, they begin where they began.
        let (shown, begin) = self.facts.with_value(|facts| (facts.address.clone(), facts.begin));
        let is_beside = matches!(ask.spot, Spot::Block | Spot::End);
        let ask = LogAsk {
            address: self.address.get_untracked(),
            hash: self.hash.get_untracked(),
            zone: host::zone_minutes(),
            known: ask.known.or_else(|| begin.filter(|_| is_beside).map(|_| shown)),
            begin,
            ..ask
        };
        let (org, run) = (self.org.get_value(), self.run);
        async move {
            let answer = api::read_log(org, run, ask).await;
            // The page was left, or asked for something else meanwhile.
            (self.asked.try_get_value() == Some(number)).then(|| answer.map_err(|error| error.0))
        }
    }

    /// Whether the end stays in sight.
    fn follows(self) -> bool {
        self.paused.get_untracked().is_none()
    }

    /// Asks for what the address says now. What is in sight stays there where the lines are the same.
    fn renew(self, spot: Spot) {
        let top = (!self.follows()).then(|| self.sight.seen().0);
        self.renew_at(spot, top, top);
    }

    /// Asks for what the address says now, with a line to be looked at where the lines are the same. `held` is that line where
    /// it is at the top already.
    fn renew_at(self, spot: Spot, top: Option<u64>, held: Option<u64>) {
        self.asked.update_value(|number| *number += 1);
        self.loading.set(true);
        let has_bar = self.bar.get_untracked().is_some_and(|bar| bar.first_element_child().is_some());
        let known = has_bar.then(|| self.facts.with_value(|facts| facts.address.clone()));
        let ask = LogAsk { spot, known, top, blocks: BLOCKS, ..LogAsk::default() };
        let answer = self.ask(ask);
        spawn_local(async move {
            let Some(answer) = answer.await else { return };
            self.loading.set(false);
            match answer {
                Ok(part) => {
                    self.failed.set(None);
                    self.take(part, held);
                }
                Err(error) => self.failed.set(Some(error)),
            }
        });
    }

    /// Shows what came instead of what is shown.
    fn take(self, part: LogPart, top: Option<u64>) {
        let LogPart { facts, html } = part;
        let LogHtml { bar, found, rows, .. } = html;
        if let (Some(bar), Some(node)) = (bar, self.bar.get_untracked()) {
            // Who was typing goes on typing.
            let was_in = document().active_element().is_some_and(|element| element.id() == "log-q");
            node.set_inner_html(&bar.into_inner());
            if was_in {
                focus_search();
            }
        }
        if let Some(node) = self.found.get_untracked() {
            node.set_inner_html(&found.into_inner());
        }
        self.wrap.set(facts.wrap);
        self.sight.set_total(facts.total);
        let last = facts.first + u32::try_from(facts.counts.len()).unwrap_or(0);
        self.sight.draw(facts.first, &facts.counts, &rows.into_inner(), Some((facts.first, last)), true);
        self.keep(facts);
        self.begin(top);
    }

    /// Takes in the numbers.
    fn keep(self, facts: LogFacts) {
        self.total.set(facts.total);
        self.facts.set_value(facts);
    }

    /// Goes to where one looks first.
    fn begin(self, top: Option<u64>) {
        let (focus, total) = self.facts.with_value(|facts| (facts.focus, facts.total));
        self.sight.settle(focus);
        match focus {
            Some(line) => {
                self.paused.set(Some(total));
                self.sight.to_line(line, top == Some(line));
            }
            None => {
                self.paused.set(None);
                self.sight.to_end();
            }
        }
        self.look();
    }

    /// Asks for the blocks in sight that are missing.
    fn look(self) {
        if self.looks.get_value() || self.sight.missing().is_none() {
            return;
        }
        self.looks.set_value(true);
        let number = self.asked.get_value();
        let run = move || {
            let Some((block, blocks)) = self.sight.missing().filter(|_| self.asked.try_get_value() == Some(number))
            else {
                let _ = self.looks.try_set_value(false);
                return;
            };
            let answer = self.ask(LogAsk { spot: Spot::Block, block, blocks, ..LogAsk::default() });
            spawn_local(async move {
                let answer = answer.await;
                let _ = self.looks.try_set_value(false);
                match answer {
                    Some(Ok(LogPart { facts, html })) => {
                        self.sight.set_total(facts.total);
                        self.total.set(facts.total);
                        self.sight.draw(facts.first, &facts.counts, &html.rows.into_inner(), None, false);
                        // What did not come now will not come: a line may have grown old.
                        if self.sight.missing() != Some((block, blocks)) {
                            self.look();
                        }
                    }
                    Some(Err(error)) => self.failed.set(Some(error)),
                    None => {}
                }
            });
        };
        set_timeout(run, REST);
    }

    /// There is news: looks at the end, or only how many lines there are.
    fn hear(self) {
        let (is_busy, _) = self.busy.get_value();
        self.busy.set_value((true, is_busy));
        if is_busy {
            return;
        }
        let run = move || {
            let Some((at, said)) = self.said.try_get_value() else { return };
            let now = browser_now();
            let since = Some(said).filter(|_| now - at >= SPOKEN);
            let fit = self.sight.seen().1 / u64::from(BLOCK) + 3;
            let blocks = if self.follows() { u32::try_from(fit).unwrap_or(BLOCKS).min(BLOCKS + 2) } else { 0 };
            let answer = self.ask(LogAsk { spot: Spot::End, blocks, since, ..LogAsk::default() });
            spawn_local(async move {
                let answer = answer.await;
                if let Some(Ok(part)) = answer {
                    self.failed.set(None);
                    self.grow(part, blocks > 0, since, now);
                }
                match self.busy.try_get_value() {
                    Some((_, true)) => {
                        self.busy.set_value((false, false));
                        self.hear();
                    }
                    _ => drop(self.busy.try_set_value((false, false))),
                }
            });
        };
        set_timeout(run, PAUSE);
    }

    /// There are more lines.
    fn grow(self, part: LogPart, with_lines: bool, since: Option<u64>, now: i64) {
        let LogPart { facts, html } = part;
        self.total.set(facts.total);
        self.sight.set_total(facts.total);
        self.facts.update_value(|known| (known.total, known.last_ms) = (facts.total, facts.last_ms));
        if let Some(before) = since {
            self.announce(facts.total.saturating_sub(before), facts.errors);
            self.said.set_value((now, facts.total));
        }
        if with_lines && !facts.counts.is_empty() {
            let last = facts.first + u32::try_from(facts.counts.len()).unwrap_or(1) - 1;
            let follows = self.paused.get_untracked().is_none();
            let kept = follows.then(|| (facts.first.min(last.saturating_sub(BLOCKS - 1)), last));
            self.sight.draw(facts.first, &facts.counts, &html.rows.into_inner(), kept, false);
            if follows {
                self.sight.to_end();
            }
        }
        self.look();
    }

    fn announce(self, lines: u64, errors: u64) {
        let errors = match errors {
            0 => String::new(),
            errors => format!(", {}", counted(errors, "error")),
        };
        if let Some(announcer) = self.announcer.filter(|_| lines > 0) {
            announcer.say(format!("{}{errors}", counted(lines, "new line")));
        }
    }

    fn pause(self) {
        if self.follows() && self.sight.can_go_up() {
            self.paused.set(Some(self.total.get_untracked()));
        }
    }

    fn resume(self) {
        self.paused.set(None);
        self.sight.to_end();
        if !self.ended.get_untracked() {
            self.hear();
        }
        self.look();
    }
}

/// `12 new lines`.
fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", text::grouped(number), if number == 1 { "" } else { "s" })
}

/// The log of a run, or of all runs of the organization.
#[component]
pub fn LogView(
    /// The organization's address.
    org: String,
    /// The run.
    run: Option<RunId>,
    /// What the page began with.
    first: Option<Result<FirstLog, Error>>,
    /// Grows with what may have become new.
    #[prop(into)]
    news: Signal<u32>,
    /// Whether no line can follow any more.
    ended: Signal<bool>,
) -> impl IntoView {
    let location = use_location();
    let (first, failed) = match first {
        Some(Ok(first)) => (Some(first), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let is_known = first.is_some() || failed.is_some();
    let FirstLog { facts, html } =
        first.unwrap_or_else(|| FirstLog { facts: LogFacts::default(), html: LogHtml::default() });
    let LogHtml { bar, found, rows, pages } = html;
    let log = Log {
        org: StoredValue::new(org),
        run,
        address: location.search,
        hash: location.hash,
        ended,
        total: RwSignal::new(facts.total),
        wrap: RwSignal::new(facts.wrap),
        failed: RwSignal::new(failed),
        loading: RwSignal::new(!is_known),
        paused: RwSignal::new(None),
        sight: Sight::new(facts.first, facts.counts.clone(), facts.total),
        bar: NodeRef::new(),
        found: NodeRef::new(),
        asked: StoredValue::new(0),
        busy: StoredValue::new((false, false)),
        looks: StoredValue::new(false),
        said: StoredValue::new((0, facts.total)),
        facts: StoredValue::new(facts),
        announcer: use_context(),
    };
    let alive = RwSignal::new(false);
    let hint = RwSignal::new(false);
    keep_current(log, is_known, news, alive);
    let keys_are_on = crate::frame::single_keys();
    page_keys(hint, keys_are_on);
    let navigate = StoredValue::new(use_navigate());
    let go = move |to: String| {
        let options = NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() };
        navigate.with_value(|navigate| navigate(&(location.pathname.get_untracked() + &to), options));
    };
    let on_click = move |event: ev::MouseEvent| clicked(log, &event, go);
    let on_submit = move |event: ev::SubmitEvent| {
        if let Some(query) = host::form_query(&event) {
            event.prevent_default();
            go(format!("?{query}"));
        }
    };
    let on_key = move |event: ev::KeyboardEvent| search_key(&event);
    let rows_count = move || log.total.get().to_string();
    view! {
        <section class="log-view" aria-label="Log" on:click=on_click on:submit=on_submit on:keydown=on_key>
            <p class="log-state">{state_text(log, alive)}</p>
            <div class="log-bar" node_ref=log.bar inner_html=bar.unwrap_or_default().into_inner()></div>
            <div class="log-found" node_ref=log.found inner_html=found.into_inner()></div>
            <Show when=move || hint.get()>
                <p class="callout" role="status">
                    "The browser looks only at the lines that are drawn. Press / to search all lines."
                </p>
            </Show>
            {move || log.failed.get().map(|error| view! { <Failure error/> })}
            <div class="log-frame">
                <div
                    class="log"
                    class:log-wrap=move || log.wrap.get()
                    role="region"
                    tabindex="0"
                    aria-label="Lines of the log"
                    aria-keyshortcuts="f End w"
                    aria-busy=move || log.loading.get().then_some("true")
                    node_ref=log.sight.frame
                    on:scroll=move |_| scrolled(log)
                    on:wheel=move |event: ev::WheelEvent| {
                        if event.delta_y() < 0.0 {
                            log.pause();
                        }
                    }
                    on:keydown=move |event: ev::KeyboardEvent| frame_key(log, &event, keys_are_on)
                >
                    {move || empty_words(log).map(|words| view! { <p class="quiet">{words}</p> })}
                    <svg class="log-space" width="1" height="0" aria-hidden="true" node_ref=log.sight.above></svg>
                    <div
                        class="log-rows"
                        role="table"
                        aria-label="Lines"
                        aria-rowcount=rows_count
                        node_ref=log.sight.table
                        inner_html=rows.into_inner()
                    ></div>
                    <svg class="log-space" width="1" height="0" aria-hidden="true" node_ref=log.sight.below></svg>
                </div>
                {move || pill(log)}
            </div>
            <nav class="log-pages" aria-label="Parts of the log" hidden=move || alive.get() inner_html=pages.into_inner()></nav>
        </section>
    }
    .into_any()
}

fn keep_current(log: Log, is_known: bool, news: Signal<u32>, alive: RwSignal<bool>) {
    Effect::new(move |before: Option<(String, String)>| {
        let now = (log.address.get(), log.hash.get());
        match before {
            // At first, what the page brought: less of it is drawn, and one looks where the address says.
            None => {
                alive.set(true);
                let (wants_zone, total) = log.facts.with_value(|facts| (facts.wants_zone, facts.total));
                log.sight.set_total(total);
                log.said.set_value((browser_now(), total));
                if now.1.starts_with("#L") {
                    log.renew(Spot::Line);
                } else if !is_known || wants_zone {
                    // Where the address says, as the server told.
                    log.renew_at(Spot::Address, log.facts.with_value(|facts| facts.focus), None);
                } else {
                    log.begin(None);
                }
                // What was written since the server wrote the page.
                if !log.ended.get_untracked() {
                    log.hear();
                }
            }
            // Without the word the page of the run shows its steps again.
            Some((address, _)) if address != now.0 && (log.run.is_none() || now.0.contains("view=logs")) => {
                log.renew(Spot::Address);
            }
            Some((_, hash)) if hash != now.1 && now.1.starts_with("#L") => log.renew(Spot::Line),
            Some(_) => {}
        }
        now
    });
    Effect::new(move |before: Option<()>| {
        news.track();
        if before.is_some() {
            log.hear();
        }
    });
    if log.run.is_none() {
        Effect::new(move |_| {
            let poll = move || {
                if !document().hidden() {
                    log.hear();
                }
            };
            if let Ok(handle) = set_interval_with_handle(poll, POLL) {
                on_cleanup(move || handle.clear());
            }
        });
    }
}

fn scrolled(log: Log) {
    let (at_end, went_up) = log.sight.scrolled();
    if at_end {
        if log.paused.get_untracked().is_some() {
            log.paused.set(None);
            if !log.ended.get_untracked() {
                log.hear();
            }
        }
    } else if went_up {
        log.pause();
    }
    log.look();
}

fn frame_key(log: Log, event: &ev::KeyboardEvent, keys_are_on: impl Fn() -> bool) {
    if event.default_prevented() {
        return;
    }
    // Not where single letters do nothing, nor where the letter says where a `g` leads.
    let acts = || is_plain(event) && keys_are_on() && !crate::palette::waits_for_letter();
    match event.key().as_str() {
        "PageUp" | "ArrowUp" | "Home" => log.pause(),
        "End" if is_plain(event) => {
            event.prevent_default();
            log.resume();
        }
        "f" if acts() => {
            event.prevent_default();
            log.resume();
        }
        "w" if acts() => press(".log-wraps"),
        "Escape" => leave_menu(),
        _ => {}
    }
}

/// Links of the view change it in place; a value offers what can be done with it; a number is marked.
fn clicked(log: Log, event: &ev::MouseEvent, go: impl Fn(String)) {
    close_menu();
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let link = target.and_then(|target| target.closest("a[href^='?'], a[href^='#L']").ok().flatten());
    let Some(link) = link.filter(|_| !(event.ctrl_key() || event.meta_key() || event.alt_key())) else { return };
    let href = link.get_attribute("href").unwrap_or_default();
    event.prevent_default();
    if let Some(field) = link.get_attribute("data-pick") {
        open_menu(&link, &field, &href, &log.address.get_untracked(), log.run.is_some());
    } else if href.starts_with('?') {
        go(href);
    } else {
        // With Shift, all from the line that was marked before.
        let hash = log.hash.get_untracked();
        let from = hash.split('-').next().filter(|from| event.shift_key() && from.starts_with("#L"));
        let hash = from.map_or_else(|| href.clone(), |from| format!("{from}-{}", href.trim_start_matches('#')));
        go(format!("?{}{hash}", log.address.get_untracked()));
    }
}

/// `Live, 37 lines` · `Reconnecting, last line 12 s ago` · `Ended, 4,112 lines`: always there in words.
fn state_text(log: Log, alive: RwSignal<bool>) -> impl Fn() -> String + Send + Sync + 'static {
    let connection = use_live().connection();
    let tick = RwSignal::new(0_u32);
    Effect::new(move |_| {
        if let Ok(handle) = set_interval_with_handle(move || tick.update(|tick| *tick += 1), Duration::from_secs(1)) {
            on_cleanup(move || handle.clear());
        }
    });
    move || {
        let lines = counted(log.total.get(), "line");
        if log.ended.get() {
            return format!("Ended, {lines}");
        }
        match connection.get() {
            Connection::Reconnecting { .. } => {
                tick.track();
                match log.facts.with_value(|facts| facts.last_ms) {
                    0 => "Reconnecting".to_owned(),
                    last => {
                        let ago = (browser_now() - last).max(0) / 1_000 * 1_000;
                        format!("Reconnecting, last line {} ago", text::duration(ago))
                    }
                }
            }
            Connection::Live if log.paused.get().is_some() => format!("Live, paused here, {lines}"),
            Connection::Live => format!("Live, {lines}"),
            Connection::Off if alive.get() => format!("Connecting, {lines}"),
            Connection::Off if log.run.is_some() => format!("The run goes on, {lines} so far"),
            Connection::Off => lines,
        }
    }
}

fn empty_words(log: Log) -> Option<&'static str> {
    if log.total.get() > 0 || log.loading.get() || log.failed.with(Option::is_some) {
        return None;
    }
    let filtered = log.facts.with_value(|facts| facts.filtered);
    Some(match (filtered, log.run, log.ended.get()) {
        (true, ..) => "No line matches these filters.",
        (false, None, _) => "No run wrote a line in this time.",
        (false, Some(_), true) => "This run wrote no lines.",
        (false, Some(_), false) => "Waiting for the first line.",
    })
}

fn pill(log: Log) -> Option<AnyView> {
    let paused = log.paused.get().filter(|_| !log.ended.get())?;
    let words = match log.total.get().saturating_sub(paused) {
        0 => "Paused".to_owned(),
        lines => counted(lines, "new line"),
    };
    Some(
        view! {
            <button type="button" class="log-pill" aria-keyshortcuts="f" on:click=move |_| log.resume()>
                {words}" · Jump to latest"
            </button>
        }
        .into_any(),
    )
}
