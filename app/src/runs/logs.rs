//! The log of a run: the last lines at first, the earlier ones as the reader scrolls up, and the new ones as they are
//! written. Lines have the numbers of the journal, so that after a lost connection none is missing and none is there
//! twice. Only the lines in sight are drawn once there are many.

use agentflow::{
    engine::{journal::LogLevel, state::StepId},
    kernel::{Error, Timestamp, text},
    runs::{LogLine, LogPage, LogQuery},
};
use leptos::{ev, html, prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};

use super::{
    api,
    line::{base, encoded},
    model::RunModel,
    words,
};
use crate::{
    kit::{
        Failure, Glyph, Icon, Skeleton,
        time::{browser_now, for_machines},
    },
    live::{Connection, use_live},
};

/// Lines from which on only those in sight are drawn.
const POOLED: usize = 300;
const MARGIN: usize = 30;
/// The height of a line in pixels, as in the styles.
const HEIGHT: f64 = 24.0;
/// This near to the first line the earlier ones are fetched.
const NEAR: usize = 60;

/// Which lines are shown; all of it stands in the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFilter {
    /// At least this serious.
    pub level: Option<LogLevel>,
    /// Of this step and those below it.
    pub step: Option<StepId>,
    /// The window before this number, for reading without JavaScript.
    pub before: Option<i64>,
    /// The window after this number, for reading without JavaScript.
    pub after: Option<i64>,
}

impl LogFilter {
    /// The filter of an address, given as its entries.
    #[must_use]
    pub fn of(entry: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            level: entry("level").and_then(|word| level_of(&word)),
            step: entry("of").filter(|step| !step.is_empty()).map(StepId::from_text),
            before: entry("before").and_then(|number| number.parse().ok()),
            after: entry("after").and_then(|number| number.parse().ok()),
        }
    }

    /// The question to the server.
    #[must_use]
    pub fn query(&self) -> LogQuery {
        LogQuery { before: self.before, after: self.after, level: self.level, step: self.step.clone(), limit: None }
    }

    fn takes(&self, line: &LogLine) -> bool {
        let level = self.level.is_none_or(|level| line.level >= level);
        let step =
            self.step.as_ref().is_none_or(|step| line.step.as_ref().is_some_and(|of| of == step || step.holds(of)));
        level && step
    }

    /// The lines that are wanted, as entries of an address, each with a sign before it.
    fn wanted(&self) -> String {
        let level = self.level.map(|level| format!("&level={}", level.as_str().to_ascii_lowercase()));
        let step = self.step.as_ref().map(|step| format!("&of={}", encoded(step.as_str())));
        level.unwrap_or_default() + &step.unwrap_or_default()
    }

    fn address(&self, model: RunModel) -> String {
        let mut address = format!("{}?view=logs{}", base(model), self.wanted());
        if let Some(before) = self.before {
            address.push_str(&format!("&before={before}"));
        }
        if let Some(after) = self.after {
            address.push_str(&format!("&after={after}"));
        }
        address
    }
}

fn level_of(word: &str) -> Option<LogLevel> {
    LEVELS.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
}

const LEVELS: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

/// Lines put together with others: in order, each number once.
fn merge(lines: &mut Vec<LogLine>, more: Vec<LogLine>) {
    let follows = match (lines.last(), more.first()) {
        (Some(last), Some(first)) => last.seq < first.seq,
        _ => true,
    };
    lines.extend(more);
    if !follows {
        lines.sort_by_key(|line| line.seq);
        lines.dedup_by_key(|line| line.seq);
    }
}

/// What is known of the log.
#[derive(Clone, Copy)]
struct Log {
    model: RunModel,
    filter: StoredValue<LogFilter>,
    lines: RwSignal<Vec<LogLine>>,
    total: RwSignal<u64>,
    earlier: RwSignal<bool>,
    loading: RwSignal<bool>,
    failed: RwSignal<Option<Error>>,
    /// How many of the model's fresh lines are among the lines.
    taken: StoredValue<usize>,
    /// Whether the end is in sight and stays there; the number of the last line when that ended.
    paused_at: RwSignal<Option<i64>>,
    place: NodeRef<html::Div>,
}

impl Log {
    fn take(self, page: LogPage, earlier: bool) {
        self.total.set(page.total);
        if earlier {
            self.earlier.set(page.earlier);
        }
        self.lines.update(|lines| merge(lines, page.lines));
    }

    /// Fetches from the last known line on, until nothing is missing.
    fn catch_up(self) {
        let query = self.filter.with_value(LogFilter::query);
        spawn_local(async move {
            loop {
                let Some(last) = self.lines.try_with_untracked(|lines| lines.last().map(|line| line.seq)) else {
                    return;
                };
                let fresh = last.is_none();
                let after = LogQuery { before: None, after: last, ..query.clone() };
                let answer = api::run_logs(self.model.org.get_value(), self.model.id, after).await;
                if self.lines.is_disposed() {
                    return;
                }
                match answer {
                    Ok(page) => {
                        let goes_on = page.later && !page.lines.is_empty();
                        self.failed.set(None);
                        self.take(page, fresh);
                        self.take_fresh();
                        if !goes_on {
                            return self.loading.set(false);
                        }
                    }
                    Err(error) => {
                        self.loading.set(false);
                        return self.failed.set(Some(error.0));
                    }
                }
            }
        });
    }

    /// Fetches the window before the first line. What is in sight stays where it is.
    fn load_earlier(self) {
        if self.loading.get_untracked() || !self.earlier.get_untracked() {
            return;
        }
        self.loading.set(true);
        let query = self.filter.with_value(LogFilter::query);
        let first = self.lines.with_untracked(|lines| lines.first().map(|line| line.seq));
        spawn_local(async move {
            let before = LogQuery { before: first, after: None, ..query };
            let answer = api::run_logs(self.model.org.get_value(), self.model.id, before).await;
            if self.lines.is_disposed() {
                return;
            }
            if let Ok(page) = answer {
                #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "pixels of a page")]
                let added = (page.lines.len() as f64 * HEIGHT) as i32;
                let top = self.place.get_untracked().map(|place| place.scroll_top());
                self.take(page, true);
                // The list has to be longer before it can be scrolled further.
                leptos::task::tick().await;
                if self.place.is_disposed() {
                    return;
                }
                if let (Some(place), Some(top)) = (self.place.get_untracked(), top) {
                    place.set_scroll_top(top + added);
                }
            }
            self.loading.set(false);
        });
    }

    fn take_fresh(self) {
        let fresh: Vec<_> = self.model.fresh_logs.with_untracked(|fresh| {
            let begin = self.taken.get_value().min(fresh.len());
            self.taken.set_value(fresh.len());
            self.filter.with_value(|filter| fresh[begin..].iter().filter(|line| filter.takes(line)).cloned().collect())
        });
        if !fresh.is_empty() {
            let before = self.lines.with_untracked(Vec::len);
            self.lines.update(|lines| merge(lines, fresh));
            let added = self.lines.with_untracked(Vec::len).saturating_sub(before);
            self.total.update(|total| *total += added as u64);
        }
    }

    fn pause(self) {
        if self.paused_at.get_untracked().is_none() && !self.model.data.with_untracked(|data| data.view.state.is_end())
        {
            self.paused_at.set(Some(self.lines.with_untracked(|lines| lines.last().map_or(0, |line| line.seq))));
        }
    }

    fn resume(self) {
        self.paused_at.set(None);
        if let Some(place) = self.place.get_untracked() {
            place.set_scroll_top(place.scroll_height());
        }
    }
}

/// The log of the whole run.
#[component]
pub fn LogView(
    /// The run.
    model: RunModel,
    /// Which lines.
    filter: LogFilter,
    /// What came with the page.
    first: Option<Result<LogPage, Error>>,
    /// Whether the page is alive.
    alive: RwSignal<bool>,
) -> impl IntoView {
    let (page, failed) = match first {
        Some(Ok(page)) => (Some(page), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let later = page.as_ref().is_some_and(|page| page.later);
    let known = page.is_some();
    let log = Log {
        model,
        filter: StoredValue::new(filter.clone()),
        total: RwSignal::new(page.as_ref().map_or(0, |page| page.total)),
        earlier: RwSignal::new(page.as_ref().is_some_and(|page| page.earlier)),
        lines: RwSignal::new(page.map(|page| page.lines).unwrap_or_default()),
        loading: RwSignal::new(!known && failed.is_none()),
        failed: RwSignal::new(failed),
        taken: StoredValue::new(0),
        paused_at: RwSignal::new(None),
        place: NodeRef::new(),
    };
    keep_current(log, known, later);
    view! {
        <section class="log-view" aria-label="Log">
            <Bar log filter=filter.clone() alive/>
            {move || log.failed.get().map(|error| view! { <Failure error/> })}
            <Body log alive/>
            <Pages log filter alive later/>
        </section>
    }
    .into_any()
}

fn keep_current(log: Log, known: bool, later: bool) {
    let model = log.model;
    Effect::new(move |before: Option<u32>| {
        let mended = model.mended.get();
        // At first only what the page did not bring; after a gap in the stream, what it may have swallowed.
        if before.is_some_and(|before| before != mended) || (before.is_none() && (!known || later)) {
            log.catch_up();
        }
        mended
    });
    Effect::new(move |_| {
        model.fresh_logs.track();
        log.take_fresh();
    });
    // The end stays in sight until the reader scrolls away from it.
    Effect::new(move |_| {
        log.lines.track();
        if log.paused_at.get_untracked().is_none() && model.data.with_untracked(|data| !data.view.state.is_end()) {
            set_timeout(
                move || {
                    if let Some(Some(place)) = log.place.try_get_untracked() {
                        place.set_scroll_top(place.scroll_height());
                    }
                },
                std::time::Duration::ZERO,
            );
        }
    });
}

#[component]
fn Bar(log: Log, filter: LogFilter, alive: RwSignal<bool>) -> impl IntoView {
    let model = log.model;
    let levels: Vec<_> = [None, Some(LogLevel::Info), Some(LogLevel::Warn), Some(LogLevel::Error)]
        .into_iter()
        .map(|level| {
            let words = match level {
                None => "All levels",
                Some(LogLevel::Info) => "Info and above",
                Some(LogLevel::Warn) => "Warnings and errors",
                Some(_) => "Errors",
            };
            let href = LogFilter { level, before: None, after: None, ..filter.clone() }.address(model);
            let current = filter.level == level;
            view! { <li><a href=href data-noscroll prop:replace=true aria-current=current.then_some("true")>{words}</a></li> }
        })
        .collect();
    let step = filter.step.clone().map(|step| {
        let href = LogFilter { step: None, before: None, after: None, ..filter.clone() }.address(model);
        view! {
            <p class="log-of">
                "Only step " <code>{step.to_string()}</code>
                <a href=href data-noscroll>"Show all steps"</a>
            </p>
        }
    });
    view! {
        <div class="log-bar">
            <p class="log-state">{state_text(log, alive)}</p>
            <nav aria-label="Level"><ul class="log-levels">{levels}</ul></nav>
            {step}
            <span class="log-files">
                <Icon glyph=Glyph::Download/>
                {["txt", "jsonl", "csv"].map(|form| {
                    let href = format!("{}/log.{form}?{}", base(model), filter.wanted().trim_start_matches('&'));
                    let label = format!("Download the log as .{form}");
                    view! { <a href=href download rel="external" aria-label=label>{format!(".{form}")}</a> }
                })}
            </span>
        </div>
    }
    .into_any()
}

/// `Live, 37 lines` · `Reconnecting, last line 12 s ago` · `Ended, 4,112 lines`: always there in words.
fn state_text(log: Log, alive: RwSignal<bool>) -> impl Fn() -> String + Send + Sync + 'static {
    let connection = use_live().connection();
    move || {
        let lines = words::counted(usize::try_from(log.total.get()).unwrap_or(usize::MAX), "line", "lines");
        if log.model.data.with(|data| data.view.state.is_end()) {
            return format!("Ended, {lines}");
        }
        // The clock of the model ticks every second: so does the age of the last line.
        let now = log.model.now.get();
        match connection.get() {
            Connection::Reconnecting { .. } => {
                let last = log.lines.with(|lines| lines.last().map(|line| line.at));
                let ago = last.map(|at| text::duration((now - at).num_milliseconds() / 1_000 * 1_000));
                ago.map_or_else(|| "Reconnecting".to_owned(), |ago| format!("Reconnecting, last line {ago} ago"))
            }
            Connection::Live if log.paused_at.get().is_some() => format!("Live, paused here, {lines}"),
            Connection::Live => format!("Live, {lines}"),
            Connection::Off if alive.get() => format!("Connecting, {lines}"),
            Connection::Off => format!("The run goes on, {lines} so far"),
        }
    }
}

#[component]
fn Body(log: Log, alive: RwSignal<bool>) -> impl IntoView {
    let zero = log.model.data.with_untracked(|data| data.summary.created_at);
    let (sight, set_sight) = signal((0_usize, 60_usize));
    let last_top = StoredValue::new(0);
    let on_scroll = move |_| {
        let Some(place) = log.place.get_untracked() else { return };
        let (top, height) = (place.scroll_top(), place.client_height());
        if top + height >= place.scroll_height() - 4 {
            log.paused_at.set(None);
        } else if top < last_top.get_value() {
            log.pause();
        }
        last_top.set_value(top);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lines on screen")]
        let lines = |pixels: i32| (f64::from(pixels) / HEIGHT) as usize;
        let next = (lines(top), lines(height) + 1);
        if sight.get_untracked() != next {
            set_sight.set(next);
        }
        if next.0 < NEAR {
            log.load_earlier();
        }
    };
    let on_wheel = move |event: ev::WheelEvent| {
        if event.delta_y() < 0.0 {
            log.pause();
        }
    };
    let on_key = move |event: ev::KeyboardEvent| match event.key().as_str() {
        "PageUp" | "ArrowUp" | "Home" => log.pause(),
        "End" | "f" if !(event.ctrl_key() || event.meta_key() || event.alt_key()) => {
            event.prevent_default();
            log.resume();
        }
        _ => {}
    };
    let window = Memo::new(move |_| {
        let all = log.lines.with(Vec::len);
        if !alive.get() || all <= POOLED {
            return (0, all);
        }
        let (first, fit) = sight.get();
        (first.saturating_sub(MARGIN).min(all), (first + fit + MARGIN).min(all))
    });
    let rows = move || {
        let (from, to) = window.get();
        log.lines.with(|lines| lines.get(from..to).unwrap_or_default().to_vec())
    };
    #[expect(clippy::cast_precision_loss, reason = "lines of a log")]
    let space = move |lines: usize| (if alive.get() { lines as f64 * HEIGHT } else { 0.0 }).to_string();
    let above = move || space(window.get().0);
    let below = move || space(log.lines.with(Vec::len).saturating_sub(window.get().1));
    let row = move |line: LogLine| {
        let link = line.step.as_ref().map(|step| {
            let filter = log.filter.with_value(|filter| LogFilter {
                step: Some(step.clone()),
                before: None,
                after: None,
                ..filter.clone()
            });
            filter.address(log.model)
        });
        log_row(&line, zero, link)
    };
    let empty = move || log.lines.with(Vec::is_empty) && !log.loading.get() && log.failed.with(Option::is_none);
    let fresh = move || {
        let paused = log.paused_at.get()?;
        let count = log.lines.with(|lines| lines.iter().rev().take_while(|line| line.seq > paused).count());
        Some(if count == 0 { "Paused".to_owned() } else { words::counted(count, "new line", "new lines") })
    };
    view! {
        <div class="log-frame">
            <div
                class="log"
                role="region"
                tabindex="0"
                aria-label="Lines of the log"
                aria-keyshortcuts="f End"
                node_ref=log.place
                on:scroll=on_scroll
                on:wheel=on_wheel
                on:keydown=on_key
            >
                <Show when=move || log.loading.get() && log.lines.with(Vec::is_empty)><Skeleton/></Show>
                <Show when=empty><p class="quiet">{move || empty_words(log)}</p></Show>
                <svg class="log-space" width="1" height=above aria-hidden="true"></svg>
                <ol>
                    <For each=rows key=|line| line.seq children=row/>
                </ol>
                <svg class="log-space" width="1" height=below aria-hidden="true"></svg>
            </div>
            {move || {
                fresh().map(|words| {
                    view! {
                        <button type="button" class="log-pill" aria-keyshortcuts="f" on:click=move |_| log.resume()>
                            {words}" · Jump to latest"
                        </button>
                    }
                })
            }}
        </div>
    }
    .into_any()
}

fn empty_words(log: Log) -> &'static str {
    let filtered = log.filter.with_value(|filter| filter.level.is_some() || filter.step.is_some());
    let ended = log.model.data.with(|data| data.view.state.is_end());
    match (filtered, ended) {
        (true, _) => "No line matches these filters.",
        (false, true) => "This run wrote no lines.",
        (false, false) => "Waiting for the first line.",
    }
}

/// Older and newer windows, for reading without JavaScript.
#[component]
fn Pages(log: Log, filter: LogFilter, alive: RwSignal<bool>, later: bool) -> impl IntoView {
    let model = log.model;
    let (first, last) =
        log.lines.with_untracked(|lines| (lines.first().map(|line| line.seq), lines.last().map(|line| line.seq)));
    let older = first.filter(|_| log.earlier.get_untracked());
    let older = older.map(|before| LogFilter { before: Some(before), after: None, ..filter.clone() }.address(model));
    let newer = last.filter(|_| later);
    let newer = newer.map(|after| LogFilter { before: None, after: Some(after), ..filter }.address(model));
    move || {
        (!alive.get()).then(|| {
            view! {
                <nav class="log-pages" aria-label="Parts of the log">
                    {older.clone().map(|href| view! { <a href=href data-noscroll>"Older lines"</a> })}
                    {newer.clone().map(|href| view! { <a href=href data-noscroll>"Newer lines"</a> })}
                </nav>
            }
        })
    }
}

/// One line: when, how serious, which step, what.
pub fn log_row(line: &LogLine, zero: Timestamp, of_step: Option<String>) -> AnyView {
    let after = format!("+{}", text::duration((line.at - zero).num_milliseconds()));
    let level = match line.level {
        LogLevel::Debug | LogLevel::Info => "log-level neutral",
        LogLevel::Warn => "log-level warning",
        LogLevel::Error => "log-level danger",
    };
    let step = line.step.as_ref().map(|step| {
        let name = step.to_string();
        match of_step {
            Some(href) => {
                view! { <a class="log-step" href=href data-noscroll title="Only this step">{name}</a> }.into_any()
            }
            None => view! { <span class="log-step">{name}</span> }.into_any(),
        }
    });
    view! {
        <li class="log-line" id=format!("L{}", line.seq)>
            <span class="log-seq">{line.seq}</span>
            <time class="log-at" datetime=for_machines(line.at)>{after}</time>
            <span class=level>{line.level.as_str()}</span>
            {step}
            <span class="log-text">{line.message.clone()}</span>
        </li>
    }
    .into_any()
}

/// The browser's clock as the server's: how far apart they are.
#[must_use]
pub fn clock_offset(server: Timestamp) -> i64 {
    server.timestamp_millis() - browser_now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::fixture::at;

    fn line(seq: i64) -> LogLine {
        LogLine { seq, at: at(seq), level: LogLevel::Info, step: None, message: seq.to_string() }
    }

    #[test]
    fn lines_have_no_gap_and_no_duplicate_however_they_arrive() {
        let mut lines: Vec<_> = (5..=9).map(line).collect();
        merge(&mut lines, (10..=12).map(line).collect());
        merge(&mut lines, (11..=14).map(line).collect());
        merge(&mut lines, (1..=4).map(line).collect());
        merge(&mut lines, Vec::new());
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), (1..=14).collect::<Vec<_>>());
    }

    #[test]
    fn the_address_says_which_lines_are_shown() {
        let entries = |name: &str| match name {
            "level" => Some("warn".to_owned()),
            "of" => Some("triage".to_owned()),
            _ => None,
        };
        let filter = LogFilter::of(entries);
        assert_eq!((filter.level, filter.step.as_ref().map(StepId::as_str)), (Some(LogLevel::Warn), Some("triage")));
        let below = LogLine { level: LogLevel::Error, step: Some(StepId::from_text("triage.model1")), ..line(1) };
        assert!(filter.takes(&below));
        assert!(!filter.takes(&LogLine { level: LogLevel::Info, ..below.clone() }));
        assert!(!filter.takes(&LogLine { step: Some(StepId::from_text("triage2")), ..below }));
        assert_eq!(LogFilter::of(|_| Some("nonsense".to_owned())).level, None);
    }
}
