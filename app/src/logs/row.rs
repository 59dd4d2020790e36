//! Lines of a log as HTML: the number, when, how serious, which step, and what it says, with the colours that it was written
//! with, what is searched for marked, and JSON to be unfolded.

use std::{collections::HashMap, ops::Range};

use agentflow::{
    access::Ctx,
    engine::journal::LogLevel,
    kernel::{RunId, Timestamp, text},
    logs::{
        Line, Needle, Place,
        address::{LogAddress, Times},
        ansi::{self, Look},
    },
};
use chrono::{FixedOffset, Timelike};
use leptos::prelude::*;
use serde_json::Value;

use super::place::{href, line as line_href};
use crate::kit::time::{for_machines, in_full, in_short};

/// The most bytes of a line that are shown in it.
const SHOWN: usize = 8_192;
/// The most pieces that a line is cut into; what follows them is plain.
const PIECES: usize = 500;
/// The most bytes of a line that are read as JSON.
const JSON: usize = 65_536;

/// What is needed to write lines.
pub struct Writer<'a> {
    /// Who looks.
    pub cx: &'a Ctx,
    /// Whose lines they are.
    pub place: Place,
    /// The address that they are looked at by.
    pub address: &'a LogAddress,
    /// What is searched for.
    pub needle: Option<Needle>,
    /// From when on time is counted.
    pub begin: Timestamp,
    /// How many minutes the reader's clock is behind the world's.
    pub zone: Option<i32>,
    /// The lines that the address names.
    pub marked: Option<(i64, i64)>,
    /// The hit that is looked at.
    pub hit: Option<(RunId, i64)>,
}

impl Writer<'_> {
    /// Lines that follow each other, the first of which is at a place.
    pub fn rows(&self, lines: &[Line], first: u64) -> Vec<AnyView> {
        let mut links = Links::default();
        (first..).zip(lines).map(|(place, line)| self.row(line, Some(place), &mut links)).collect()
    }

    /// Lines beside the log: they have no place in it.
    pub fn alone(&self, lines: &[Line]) -> Vec<AnyView> {
        let mut links = Links::default();
        lines.iter().map(|line| self.row(line, None, &mut links)).collect()
    }

    fn row(&self, line: &Line, place: Option<u64>, links: &mut Links) -> AnyView {
        let marked = self.marked.is_some_and(|(first, last)| (first..=last).contains(&line.seq));
        let marked = marked || (place.is_none() && self.address.around == Some(line.seq));
        let class = match (marked, self.hit == Some((line.run, line.seq))) {
            (_, true) => "log-line is-hit",
            (true, false) => "log-line is-marked",
            (false, false) => "log-line",
        };
        let (id, number) = match self.place {
            Place::Run(_) => (format!("L{}", line.seq), format!("#L{}", line.seq)),
            Place::Organization => (format!("L{}-{}", line.seq, line.run), line_href(self.cx, line.run, line.seq)),
        };
        let run = matches!(self.place, Place::Organization).then(|| {
            let name = line.run.to_string();
            let short = format!("run_…{}", &name[name.len() - 6..]);
            let to = line_href(self.cx, line.run, line.seq);
            view! { <span role="cell" class="log-run"><a href=to title=name>{short}</a></span> }
        });
        let level = match line.level {
            LogLevel::Debug | LogLevel::Info => "log-level neutral",
            LogLevel::Warn => "log-level warning",
            LogLevel::Error => "log-level danger",
        };
        let word = line.level.as_str();
        let by_level =
            links.of("level", word, || href(self.place, &self.address.with(|filter| filter.level = Some(line.level))));
        let step = line.step.as_ref().map(|step| {
            let by_step = links.of("step", step.as_str(), || {
                href(self.place, &self.address.with(|filter| filter.step = Some(step.clone())))
            });
            view! { <a class="log-step" href=by_step data-pick="step" data-noscroll>{step.to_string()}</a> }
        });
        view! {
            <div class=class role="row" id=place.map(|_| id) aria-rowindex=place.map(|place| (place + 1).to_string())>
                {run}
                <span role="cell" class="log-seq"><a class="log-no" href=number>{line.seq}</a></span>
                <span role="cell" class="log-at">{self.time(line.at)}</span>
                <span role="cell" class=level><a href=by_level data-pick="level" data-noscroll>{word}</a></span>
                <span role="cell" class="log-of-step">{step}</span>
                <span role="cell" class="log-text">{self.said(line)}</span>
            </div>
        }
        .into_any()
    }

    fn time(&self, at: Timestamp) -> AnyView {
        let words = match self.address.times_at(self.place) {
            Times::SinceStart => format!("+{}", text::duration((at - self.begin).num_milliseconds())),
            Times::Utc => clock(at, self.place),
            Times::Local => {
                let zone = self.zone.and_then(|zone| FixedOffset::west_opt(zone.saturating_mul(60)));
                let there = zone.map_or(at, |zone| at.with_timezone(&zone).naive_local().and_utc());
                clock(there, self.place)
            }
        };
        view! { <time datetime=for_machines(at) title=in_full(at)>{words}</time> }.into_any()
    }

    /// What the line says; JSON can be unfolded.
    fn said(&self, line: &Line) -> AnyView {
        let (plain, looks) = ansi::read(&line.message);
        let marks = self.needle.as_ref().map(|needle| needle.marks(&plain)).unwrap_or_default();
        let pieces = pieces(&plain, &looks, &marks);
        let whole = (plain.len() <= JSON && plain.trim_start().starts_with(['{', '['])).then_some(&*plain);
        let whole = whole.and_then(|plain| serde_json::from_str::<Value>(plain).ok());
        let unfolded: Vec<String> =
            whole.iter().chain(&line.fields).filter_map(|value| serde_json::to_string_pretty(value).ok()).collect();
        if unfolded.is_empty() {
            return pieces.into_any();
        }
        let unfolded = unfolded.join("\n");
        view! {
            <details class="log-json">
                <summary>{pieces}</summary>
                <pre>{unfolded}</pre>
            </details>
        }
        .into_any()
    }
}

/// The links of values: a log has few values and many lines.
#[derive(Default)]
struct Links(HashMap<(&'static str, String), String>);

impl Links {
    fn of(&mut self, field: &'static str, value: &str, make: impl FnOnce() -> String) -> String {
        self.0.entry((field, value.to_owned())).or_insert_with(make).clone()
    }
}

/// A moment to the millisecond; with its day where lines are of many.
fn clock(at: Timestamp, place: Place) -> String {
    let exact = format!("{:02}.{:03}", at.second(), at.timestamp_subsec_millis());
    match place {
        Place::Run(_) => format!("{:02}:{:02}:{exact}", at.hour(), at.minute()),
        Place::Organization => format!("{}:{exact}", in_short(at)),
    }
}

/// A text in pieces that each look one way.
fn pieces(text: &str, looks: &[(usize, Look)], marks: &[Range<usize>]) -> Vec<AnyView> {
    let end = text.floor_char_boundary(SHOWN);
    let mut cuts: Vec<usize> = looks.iter().map(|look| look.0).collect();
    cuts.extend(marks.iter().flat_map(|mark| [mark.start, mark.end]));
    cuts.push(0);
    cuts.push(end);
    cuts.retain(|cut| *cut <= end);
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces: Vec<AnyView> = Vec::new();
    // Both follow each other, as the cuts do: each is passed once.
    let (mut looks, mut marks) = (looks.iter().peekable(), marks.iter().peekable());
    let mut look = Look::default();
    for (number, two) in cuts.windows(2).enumerate() {
        let begin = two[0];
        if number == PIECES {
            pieces.push(text[begin..end].to_owned().into_any());
            break;
        }
        while let Some(next) = looks.next_if(|look| look.0 <= begin) {
            look = next.1;
        }
        while marks.next_if(|mark| mark.end <= begin).is_some() {}
        let is_marked = marks.peek().is_some_and(|mark| mark.contains(&begin));
        let piece = text[begin..two[1]].to_owned();
        let piece = match class_of(look) {
            class if class.is_empty() => piece.into_any(),
            class => view! { <span class=class>{piece}</span> }.into_any(),
        };
        pieces.push(if is_marked { view! { <mark>{piece}</mark> }.into_any() } else { piece });
    }
    if end < text.len() {
        pieces.push(view! { <span class="quiet">" … cut here, whole in the file"</span> }.into_any());
    }
    pieces
}

fn class_of(look: Look) -> String {
    let colour = look.colour.map(|colour| format!("ansi-{colour}"));
    let words = [
        look.bold.then_some("ansi-bold"),
        look.dim.then_some("ansi-dim"),
        look.italic.then_some("ansi-italic"),
        look.underline.then_some("ansi-underline"),
    ];
    colour.as_deref().into_iter().chain(words.into_iter().flatten()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::Html;

    fn html(text: &str, marks: &[Range<usize>]) -> String {
        let (plain, looks) = ansi::read(text);
        let pieces = pieces(&plain, &looks, marks);
        Html::of(move || pieces).into_inner()
    }

    #[test]
    fn a_line_is_written_in_its_colours_with_the_hits_marked() {
        assert_eq!(html("plain & <b>", &[]), "plain &amp; &lt;b&gt;");
        assert_eq!(
            html("\u{1b}[1;32mok\u{1b}[0m order", std::slice::from_ref(&(1..5))),
            "<span class=\"ansi-2 ansi-bold\">o</span><mark><span class=\"ansi-2 ansi-bold\">k</span></mark>\
             <mark> or</mark>der"
        );
        // However often the colour changes.
        let many = html(&"\u{1b}[31ma\u{1b}[0mb".repeat(2_000), &[]);
        assert_eq!(many.matches("<span").count(), PIECES / 2);
        assert!(many.ends_with(&"ab".repeat(1_750)), "{many}");
        let long = html(&"ä".repeat(SHOWN), &[]);
        assert!(long.ends_with("whole in the file</span>") && long.len() < SHOWN + 100, "{}", long.len());
    }
}
