//! A part of a log, as the server puts it together: which lines, and the HTML around them.

use std::ops::Range;

use agentflow::{
    access::{Grant, right},
    kernel::{Error, RunId, Timestamp},
    logs::{
        Line, Place,
        address::{LogAddress, Mode, Times},
        service::{self, LogReader},
    },
};
use leptos::prelude::*;

use super::{BLOCK, BLOCKS, LogAsk, LogFacts, LogHtml, LogPart, Spot, bar, row::Writer};
use crate::kit::Html;

/// Lines of a page without JavaScript.
const PAGE: u64 = 500;
/// Blocks of one answer.
const MOST: u32 = 12;

/// Reads a part.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn read(grant: &Grant<right::ViewPayloads>, run: Option<RunId>, ask: &LogAsk) -> Result<LogPart, Error> {
    let place = run.map_or(Place::Organization, Place::Run);
    let mut address = LogAddress::read(&ask.address);
    let known = ask.known.as_deref().map(LogAddress::read);
    // While one looks at the same lines, their places stay the same: they begin where they began.
    let begin = ask.begin.filter(|_| known.as_ref().is_some_and(|known| known.filter == address.filter));
    let mut log = service::open(grant, place, &address, begin.and_then(Timestamp::from_timestamp_micros)).await?;
    // What is marked is looked at from the first on.
    if address.filter.mode == Mode::Highlight && address.hit.is_none() && address.end.is_none() {
        address.hit = log.hits().filter(|hits| *hits > 0).map(|_| 1);
    }
    address.hit = address.hit.and_then(|hit| log.clamped(hit));
    let hit = match address.hit {
        Some(hit) => log.place_of_hit(hit).await?,
        None => None,
    };
    let lines = lines_of(&ask.hash);
    let focus = match ask.spot {
        Spot::End | Spot::Block => None,
        Spot::Line => match lines {
            Some((first, _)) => Some(log.place_of(first).await?),
            None => None,
        },
        Spot::Address if known.as_ref().is_some_and(|known| same_lines(known, &address)) => ask.top,
        Spot::Address => hit.map(|(place, ..)| place).or(address.end.map(|end| end.saturating_sub(1))),
    };
    let total = log.total();
    let focus = focus.map(|focus| focus.min(total.saturating_sub(1)));
    let places = places(ask, &address, focus, total);
    let lines_there = log.lines(places.clone()).await?;
    let writer = Writer {
        cx: grant,
        place,
        address: &address,
        needle: log.needle().cloned(),
        begin: log.begin(),
        zone: ask.zone,
        marked: lines,
        hit: hit.map(|(_, run, seq)| (run, seq)),
    };
    let (rows, counts) = blocks(&writer, &lines_there, places.start);
    let is_new = matches!(ask.spot, Spot::Address | Spot::Line);
    let around = match address.around.filter(|_| is_new) {
        Some(seq) => Some((seq, log.around(seq).await?)),
        None => None,
    };
    let found = match is_new {
        true => {
            let around = around.map(|(seq, lines)| (seq, writer.alone(&lines)));
            // A line that the filter hides, although the address names it.
            let named = lines.map(|named| named.0).filter(|_| ask.spot == Spot::Line);
            let hidden = named.filter(|seq| lines_there.iter().all(|line| line.seq != *seq));
            bar::found(&address, place, &log, around, hidden)
        }
        false => Html::default(),
    };
    let shows_it = known.as_ref().is_some_and(|known| known.anywhere() == address.anywhere());
    let bar = match is_new && !shows_it {
        true => Some(bar(grant, place, &address, &mut log).await?),
        false => None,
    };
    let pages = if ask.whole { bar::pages(&address, place, &places, total) } else { Html::default() };
    let errors = match ask.since {
        Some(since) if since < total => log.errors_from(since).await?,
        _ => 0,
    };
    let last = match lines_there.last().filter(|_| places.end == total) {
        Some(line) => Some(line.at),
        None => log.last().await?.map(|line| line.at),
    };
    let facts = LogFacts {
        address: address.write(),
        total,
        first: u32::try_from(places.start / u64::from(BLOCK)).unwrap_or(u32::MAX),
        counts,
        focus,
        last_ms: last.map_or(0, |at| at.timestamp_millis()),
        begin: matches!(place, Place::Organization).then(|| log.begin().timestamp_micros()),
        errors,
        wrap: address.wrap,
        wants_zone: address.times_at(place) == Times::Local && ask.zone.is_none(),
        filtered: address.filter.conditions() > 0 || log.hits().is_some_and(|_| address.filter.mode == Mode::Filter),
    };
    Ok(LogPart { facts, html: LogHtml { bar, found, rows, pages } })
}

/// Whether two addresses look at the same place of the same lines.
fn same_lines(known: &LogAddress, address: &LogAddress) -> bool {
    known.filter == address.filter && known.hit == address.hit && known.end == address.end
}

/// The lines of `#L12` or `#L12-L15`.
fn lines_of(hash: &str) -> Option<(i64, i64)> {
    let number = |text: &str| text.strip_prefix('L')?.parse::<i64>().ok();
    let hash = hash.trim_start_matches('#');
    let (first, last) = hash.split_once('-').unwrap_or((hash, hash));
    let (first, last) = (number(first)?, number(last)?);
    Some((first.min(last), first.max(last)))
}

/// Which places are answered with.
fn places(ask: &LogAsk, address: &LogAddress, focus: Option<u64>, total: u64) -> Range<u64> {
    if ask.whole {
        let end = match (address.end, focus) {
            (Some(end), _) => end.min(total),
            (None, Some(focus)) => (focus + PAGE / 2).min(total),
            (None, None) => total,
        };
        return end.saturating_sub(PAGE)..end;
    }
    let size = u64::from(BLOCK);
    let blocks = u64::from(ask.blocks.min(MOST));
    let first = match (ask.spot, focus) {
        (Spot::Block, _) => u64::from(ask.block),
        (_, Some(focus)) => (focus / size).saturating_sub(u64::from(BLOCKS) / 2),
        (_, None) => total.div_ceil(size).saturating_sub(blocks),
    };
    let end = ((first + blocks) * size).min(total);
    (first * size).min(end)..end
}

/// Lines in their blocks, and how many there are in each.
fn blocks(writer: &Writer, lines: &[Line], first: u64) -> (Html, Vec<u32>) {
    let mut rest = lines;
    let mut place = first;
    let (mut parts, mut counts) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let room = BLOCK - u32::try_from(place % u64::from(BLOCK)).unwrap_or(0);
        let (block, after) = rest.split_at(rest.len().min(room as usize));
        let rows = writer.rows(block, place);
        parts.push(Html::of(move || view! { <div class="log-block" role="rowgroup">{rows}</div> }));
        counts.push(u32::try_from(block.len()).unwrap_or(0));
        place += block.len() as u64;
        rest = after;
    }
    (Html::joined(parts), counts)
}

async fn bar(
    grant: &Grant<right::ViewPayloads>,
    place: Place,
    address: &LogAddress,
    log: &mut LogReader,
) -> Result<Html, Error> {
    let agents = log.agents().await?;
    let chart = log.chart(&address.filter).await?;
    Ok(bar::bar(grant, place, address, agents, &chart))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_names_a_line_or_some() {
        assert_eq!(lines_of("#L1204"), Some((1_204, 1_204)));
        assert_eq!(lines_of("L1210-L1204"), Some((1_204, 1_210)));
        for other in ["", "#content", "#L", "#Lx", "#L1-2", "#L1-L"] {
            assert_eq!(lines_of(other), None, "{other}");
        }
    }

    #[test]
    fn blocks_are_asked_for_by_number_and_pages_by_their_end() {
        let ask = |spot, block, blocks| LogAsk { spot, block, blocks, ..LogAsk::default() };
        let plain = LogAddress::default();
        assert_eq!(places(&ask(Spot::Block, 3_000, 2), &plain, None, 100_000), 90_000..90_060);
        assert_eq!(places(&ask(Spot::Block, 3_333, 2), &plain, None, 100_000), 99_990..100_000);
        assert_eq!(places(&ask(Spot::Block, 9_999, 2), &plain, None, 100_000), 100_000..100_000);
        assert_eq!(places(&ask(Spot::End, 0, 2), &plain, None, 100_000), 99_960..100_000);
        assert_eq!(places(&ask(Spot::End, 0, 0), &plain, None, 100_000).count(), 0);
        assert_eq!(places(&ask(Spot::Address, 0, 4), &plain, Some(50), 100_000), 0..120);
        assert_eq!(places(&ask(Spot::Address, 0, 4), &plain, Some(500), 100_000), 420..540);
        let whole = LogAsk { whole: true, ..LogAsk::default() };
        let older = LogAddress { end: Some(804), ..LogAddress::default() };
        assert_eq!(places(&whole, &plain, None, 1_304), 804..1_304);
        assert_eq!(places(&whole, &older, Some(803), 1_304), 304..804);
        assert_eq!(places(&whole, &plain, Some(10), 1_304), 0..260);
    }
}
