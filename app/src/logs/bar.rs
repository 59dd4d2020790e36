//! What is above and below the lines: the search, the filters, the chart, what was found, and the ways to other lines.

use std::ops::Range;

use agentflow::{
    access::Ctx,
    engine::journal::LogLevel,
    kernel::{Timestamp, text},
    logs::{
        Bar, LEVELS, Place,
        address::{LogAddress, LogFilter, Mode, Range as Period, Times},
        service::LogReader,
    },
};
use chrono::SecondsFormat;
use leptos::prelude::*;

use super::place::{file, href, path};
use crate::kit::{
    Glyph, Html, Icon,
    time::{in_clock, in_full, in_short},
};

/// The chart's height, and the width of a bar with its gap.
const HEIGHT: u64 = 40;
const STEP: usize = 10;

/// A link that leads to other lines, or shows them otherwise.
fn link(place: Place, to: &LogAddress, words: impl IntoView + 'static, current: bool) -> AnyView {
    view! { <a href=href(place, to) data-noscroll aria-current=current.then_some("true")>{words}</a> }.into_any()
}

/// The search, the filters and the chart.
pub fn bar(cx: &Ctx, place: Place, address: &LogAddress, agents: Vec<String>, chart: &[Bar]) -> Html {
    Html::of(|| {
        let files: Vec<_> = ["txt", "jsonl", "csv"]
            .map(|form| {
                let label = format!("Download the log as .{form}");
                let to = file(cx, place, form, address);
                view! { <a href=to download rel="external" aria-label=label>{format!(".{form}")}</a> }
            })
            .into_iter()
            .collect();
        view! {
            {search(cx, place, address, agents)}
            {conditions(place, address)}
            <div class="log-ways">
                {periods(place, address)}
                {ways(place, address)}
                <span class="log-files"><Icon glyph=Glyph::Download/>{files}</span>
            </div>
            {drawing(place, address, chart)}
        }
    })
}

fn search(cx: &Ctx, place: Place, address: &LogAddress, agents: Vec<String>) -> AnyView {
    let filter = &address.filter;
    let view_of = matches!(place, Place::Run(_)).then(|| hidden("view", "logs"));
    // What has no field of its own goes along.
    let kept = LogAddress {
        filter: LogFilter {
            not_levels: filter.not_levels.clone(),
            not_steps: filter.not_steps.clone(),
            not_agents: filter.not_agents.clone(),
            range: filter.range,
            ..LogFilter::default()
        },
        wrap: address.wrap,
        times: address.times,
        ..LogAddress::default()
    };
    let kept: Vec<_> = kept.entries().into_iter().map(|(name, value)| hidden(name, &value)).collect();
    let levels: Vec<_> = [
        (None, "All levels"),
        (Some(LogLevel::Info), "Info and above"),
        (Some(LogLevel::Warn), "Warnings and errors"),
        (Some(LogLevel::Error), "Errors"),
    ]
    .into_iter()
    .map(|(level, words)| {
        let word = level.map(|level: LogLevel| level.as_str().to_ascii_lowercase()).unwrap_or_default();
        view! { <option value=word selected=filter.level == level>{words}</option> }
    })
    .collect();
    let mut agents = agents;
    if let Some(agent) = filter.agent.as_ref().filter(|agent| !agents.contains(agent)) {
        agents.push(agent.clone());
    }
    let agents = (!agents.is_empty()).then(|| {
        let choices: Vec<_> = agents
            .into_iter()
            .map(|key| {
                let selected = filter.agent.as_ref() == Some(&key);
                view! { <option value=key.clone() selected=selected>{key.clone()}</option> }
            })
            .collect();
        view! {
            <select class="input" name="agent" aria-label="Agent"><option value="">"All agents"</option>{choices}</select>
        }
    });
    let step = filter.step.as_ref().map(ToString::to_string).unwrap_or_default();
    let field = |at: Option<Timestamp>| {
        let text = at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)).unwrap_or_default();
        // A field of a form takes thousandths and no more.
        let text = text.trim_end_matches('Z').to_owned();
        text.get(..23).map_or(text.clone(), ToOwned::to_owned)
    };
    let is_open = filter.step.is_some() || filter.agent.is_some() || filter.from.is_some() || filter.to.is_some();
    view! {
        <form class="filters log-search" action=path(cx, place) role="search" aria-label="Log">
            {view_of}
            {kept}
            <input
                type="search"
                class="input"
                id="log-q"
                name="q"
                value=filter.q.clone()
                data-q=filter.q.clone()
                maxlength="500"
                aria-label="Search all lines"
                aria-keyshortcuts="/"
                autocomplete="off"
                spellcheck="false"
            />
            <span class="check">
                <input type="checkbox" id="log-regex" name="regex" value="1" checked=filter.regex/>
                <label for="log-regex">"Pattern"</label>
            </span>
            <select class="input" name="mode" aria-label="Lines that match">
                <option value="filter" selected=filter.mode == Mode::Filter>"Filter"</option>
                <option value="highlight" selected=filter.mode == Mode::Highlight>"Highlight"</option>
            </select>
            <select class="input" name="level" aria-label="Level">{levels}</select>
            <button type="submit" class="btn"><Icon glyph=Glyph::Search/>"Search"</button>
            <details class="log-more" open=is_open>
                <summary>"More filters"</summary>
                <div class="log-fields">
                    <label>"Step" <input class="input" name="step" value=step autocomplete="off" spellcheck="false"/></label>
                    {agents}
                    <label>"From (UTC)" <input class="input" type="datetime-local" step="any" name="from" value=field(filter.from)/></label>
                    <label>"To (UTC)" <input class="input" type="datetime-local" step="any" name="to" value=field(filter.to)/></label>
                    <button type="submit" class="btn">"Apply"</button>
                </div>
            </details>
        </form>
    }
    .into_any()
}

fn hidden(name: &str, value: &str) -> AnyView {
    view! { <input type="hidden" name=name.to_owned() value=value.to_owned()/> }.into_any()
}

/// What the lines are chosen by, each with the way back.
fn conditions(place: Place, address: &LogAddress) -> Option<AnyView> {
    let filter = &address.filter;
    let mut all: Vec<(String, LogAddress)> = Vec::new();
    if let Some(level) = filter.level {
        all.push((format!("{} and above", level.as_str()), address.with(|filter| filter.level = None)));
    }
    for level in &filter.not_levels {
        let without = address.with(|filter| filter.not_levels.retain(|other| other != level));
        all.push((format!("Not {}", level.as_str()), without));
    }
    if let Some(step) = &filter.step {
        all.push((format!("Step {step}"), address.with(|filter| filter.step = None)));
    }
    for step in &filter.not_steps {
        all.push((format!("Not step {step}"), address.with(|filter| filter.not_steps.retain(|other| other != step))));
    }
    if let Some(agent) = &filter.agent {
        let without = address.with(|filter| filter.not_agents.push(agent.clone()));
        let without = LogAddress { filter: LogFilter { agent: None, ..without.filter }, ..without };
        all.push((format!("Agent {agent}"), address.with(|filter| filter.agent = None)));
        all.push((format!("All but agent {agent}"), without));
    }
    for agent in &filter.not_agents {
        let without = address.with(|filter| filter.not_agents.retain(|other| other != agent));
        all.push((format!("Not agent {agent}"), without));
    }
    if filter.from.is_some() || filter.to.is_some() {
        let words = match (filter.from, filter.to) {
            (Some(from), Some(to)) => format!("{} to {}", in_full(from), in_full(to)),
            (Some(from), None) => format!("From {}", in_full(from)),
            (None, to) => format!("Before {}", to.map(in_full).unwrap_or_default()),
        };
        all.push((words, address.with(|filter| (filter.from, filter.to) = (None, None))));
    }
    if all.is_empty() {
        return None;
    }
    let chips: Vec<_> = all
        .into_iter()
        .map(|(words, without)| match words.strip_prefix("All but ") {
            Some(_) => view! { <li>{link(place, &without, words.clone(), false)}</li> }.into_any(),
            None => {
                let label = format!("Remove: {words}");
                view! {
                    <li class="tag">
                        {words}
                        <a href=href(place, &without) data-noscroll aria-label=label><Icon glyph=Glyph::Close/></a>
                    </li>
                }
                .into_any()
            }
        })
        .collect();
    let clear = LogAddress { wrap: address.wrap, times: address.times, ..LogAddress::default() };
    Some(
        view! {
            <ul class="log-conditions" aria-label="Filters">
                {chips}
                <li>{link(place, &clear, "Clear filters", false)}</li>
            </ul>
        }
        .into_any(),
    )
}

/// How far back.
fn periods(place: Place, address: &LogAddress) -> Option<AnyView> {
    if matches!(place, Place::Run(_)) {
        return None;
    }
    let filter = &address.filter;
    let is_free = filter.from.is_none() && filter.to.is_none();
    let links: Vec<_> = [(Period::Hour, "Last hour"), (Period::Day, "24 hours"), (Period::Week, "7 days")]
        .into_iter()
        .map(|(range, words)| {
            let to = address.with(|filter| {
                *filter = LogFilter { range, from: None, to: None, ..filter.clone() };
            });
            view! { <li>{link(place, &to, words, is_free && filter.range == range)}</li> }
        })
        .collect();
    Some(view! { <nav aria-label="Period"><ul class="log-levels">{links}</ul></nav> }.into_any())
}

/// How lines are shown.
fn ways(place: Place, address: &LogAddress) -> AnyView {
    let here = address.anywhere();
    let now = address.times_at(place);
    let times: Vec<_> = Times::ALL
        .into_iter()
        .filter(|times| matches!(place, Place::Run(_)) || *times != Times::SinceStart)
        .map(|times| {
            let words = match times {
                Times::SinceStart => "Since start",
                Times::Utc => "UTC",
                Times::Local => "Local time",
            };
            let to = LogAddress { times: Some(times), ..here.clone() };
            view! { <li>{link(place, &to, words, times == now)}</li> }
        })
        .collect();
    let wrap = LogAddress { wrap: !address.wrap, ..here.clone() };
    let wrap_words = if address.wrap { "One line each" } else { "Wrap lines" };
    view! {
        <nav aria-label="Times"><ul class="log-levels">{times}</ul></nav>
        <a class="log-wraps" href=href(place, &wrap) data-noscroll aria-keyshortcuts="w">{wrap_words}</a>
    }
    .into_any()
}

/// How many lines there were when. Each bar is a way to its lines; the same can be typed into the fields.
fn drawing(place: Place, address: &LogAddress, bars: &[Bar]) -> Option<AnyView> {
    let most = bars.iter().map(Bar::total).max().filter(|most| *most > 0)?;
    let sum = |level: usize| bars.iter().map(|bar| bar.lines[level]).sum::<u64>();
    let told: Vec<String> = LEVELS
        .iter()
        .enumerate()
        .filter(|(place, _)| sum(*place) > 0)
        .map(|(place, level)| format!("{} {}", text::grouped(sum(place)), level.as_str()))
        .collect();
    let busiest = bars.iter().find(|bar| bar.total() == most)?;
    let (first, last) = (bars.first()?, bars.last()?);
    let summary = format!(
        "Lines from {} to {} UTC: {}. Most of them from {} to {}: {}.",
        in_short(first.from),
        in_short(last.to),
        told.join(", "),
        in_clock(busiest.from),
        in_clock(busiest.to),
        text::grouped(most)
    );
    let drawn: Vec<_> = bars
        .iter()
        .enumerate()
        .filter(|(_, bar)| bar.total() > 0)
        .map(|(number, bar)| {
            let mut below = HEIGHT;
            let parts: Vec<_> = LEVELS
                .iter()
                .zip(bar.lines)
                .rev()
                .filter(|(_, lines)| *lines > 0)
                .map(|(level, lines)| {
                    let height = (lines * HEIGHT).div_ceil(most).min(below);
                    below -= height;
                    let class = format!("log-bar-{}", level.as_str().to_ascii_lowercase());
                    view! {
                        <rect class=class x=(number * STEP).to_string() y=below.to_string() width=(STEP - 2).to_string() height=height.to_string()/>
                    }
                })
                .collect();
            let to = address.with(|filter| (filter.from, filter.to) = (Some(bar.from), Some(bar.to)));
            let words = format!("{} to {}: {} lines", in_clock(bar.from), in_clock(bar.to), text::grouped(bar.total()));
            view! {
                <a href=href(place, &to) data-noscroll tabindex="-1">
                    <title>{words}</title>
                    <rect class="log-bar-room" x=(number * STEP).to_string() y="0" width=(STEP - 2).to_string() height=HEIGHT.to_string()/>
                    {parts}
                </a>
            }
        })
        .collect();
    let size = format!("0 0 {} {HEIGHT}", bars.len() * STEP);
    Some(
        view! {
            <figure class="log-chart">
                <svg viewBox=size preserveAspectRatio="none" aria-hidden="true" focusable="false">{drawn}</svg>
                <figcaption class="visually-hidden">{summary}</figcaption>
            </figure>
        }
        .into_any(),
    )
}

/// What was found, which of it is looked at, and the line that is shown with those around it.
pub fn found(
    address: &LogAddress,
    place: Place,
    log: &LogReader,
    around: Option<(i64, Vec<AnyView>)>,
    hidden: Option<i64>,
) -> Html {
    let hidden = hidden.map(|seq| {
        let context = LogAddress { around: Some(seq), ..address.clone() };
        view! {
            <p class="log-hits">{format!("Line {seq} is not among these lines.")} {link(place, &context, "Show context", false)}</p>
        }
    });
    let around = around.map(|(seq, lines)| {
        let close = LogAddress { around: None, ..address.clone() };
        let lines = match lines.is_empty() {
            true => view! { <p class="quiet">"This run has no such line."</p> }.into_any(),
            false => view! { <div class="log log-small" role="region" tabindex="0" aria-label="Lines around it"><div role="table" aria-label="Lines around it">{lines}</div></div> }.into_any(),
        };
        view! {
            <section class="log-around" aria-labelledby="log-around">
                <h2 id="log-around">{format!("Around line {seq}")}</h2>
                {link(place, &close, "Close", false)}
                {lines}
            </section>
        }
    });
    let hits = match (log.fault(), log.hits()) {
        (Some(fault), _) => Some(view! { <p class="field-error" role="alert">{fault.to_owned()}</p> }.into_any()),
        (None, Some(0)) => Some(view! { <p class="log-hits">"No line holds it."</p> }.into_any()),
        (None, Some(hits)) => Some(hits_of(address, place, hits)),
        (None, None) => None,
    };
    let capped = log.capped().map(|most| {
        let words = format!(
            "Only the first {} lines that fit were looked for. Choose a shorter stretch of time to see the others.",
            text::grouped(most)
        );
        view! { <p class="log-hits">{words}</p> }
    });
    Html::of(|| view! { {hits} {capped} {hidden} {around} })
}

fn hits_of(address: &LogAddress, place: Place, hits: u64) -> AnyView {
    let all = text::grouped(hits);
    let words = match address.hit {
        Some(hit) => format!("{} of {all} lines that hold it", text::grouped(hit)),
        None if hits == 1 => "1 line holds it".to_owned(),
        None => format!("{all} lines hold it"),
    };
    let to = |hit: u64| href(place, &LogAddress { hit: Some(hit), ..address.anywhere() });
    let next = address.hit.map_or(1, |hit| if hit >= hits { 1 } else { hit + 1 });
    let before = address.hit.map_or(hits, |hit| if hit <= 1 { hits } else { hit - 1 });
    view! {
        <p class="log-hits">
            <span role="status">{words}</span>
            <a class="btn btn-small" href=to(before) rel="prev" data-noscroll>"Previous"</a>
            <a class="btn btn-small" href=to(next) rel="next" data-noscroll>"Next"</a>
        </p>
    }
    .into_any()
}

/// Older and newer lines, for reading without JavaScript.
pub fn pages(address: &LogAddress, place: Place, places: &Range<u64>, total: u64) -> Html {
    let size = places.end - places.start;
    let at = |end: u64| LogAddress { end: Some(end).filter(|end| *end < total), ..address.anywhere() };
    let older = (places.start > 0).then(|| link(place, &at(places.start), "Older lines", false));
    // As many as there are on a full page: the first one may be shorter.
    let newer =
        (places.end < total).then(|| link(place, &at((places.end + size.max(500)).min(total)), "Newer lines", false));
    Html::of(|| view! { {older} {newer} })
}
