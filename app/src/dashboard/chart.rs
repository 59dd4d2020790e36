//! The outcomes of a period as stacked bars, and the same as a table.

use agentflow::dashboard::{Bucket, Span};
use leptos::prelude::*;

use super::tiles::{count, runs_href};
use crate::kit::{Card, DataTable, Glyph, Icon, Th, time::in_short};

/// The drawing's height, and the width of a bar with its gap.
const HEIGHT: i64 = 120;
const STEP: usize = 10;

/// The outcomes of the period. `address` is the period's, with its question mark.
pub(super) fn outcomes(org: &str, span: &Span, buckets: &[Bucket], address: &str) -> AnyView {
    if buckets.iter().all(|bucket| bucket.total() == 0) {
        return view! {
            <Card title="Outcomes"><p class="muted">"No runs in this period."</p></Card>
        }
        .into_any();
    }
    let sum = |of: fn(&Bucket) -> i64| buckets.iter().map(of).sum::<i64>();
    // As they stand upon each other, the topmost first.
    let series = [
        ("open", "Not ended", sum(|it| it.open)),
        ("stopped", "Stopped", sum(|it| it.stopped)),
        ("failed", "Failed", sum(|it| it.failed)),
        ("succeeded", "Succeeded", sum(|it| it.succeeded)),
    ];
    let told: Vec<String> = series
        .iter()
        .rev()
        .filter(|it| it.2 > 0)
        .map(|it| format!("{} {}", count(it.2), it.1.to_lowercase()))
        .collect();
    let words = span.range.map_or_else(|| "this period".to_owned(), |range| format!("the last {}", range.words()));
    let summary = format!("Runs of {words}: {}.", told.join(", "));
    let legend: Vec<_> = series
        .iter()
        .filter(|it| it.2 > 0)
        .map(|(class, word, number)| {
            view! {
                <li>
                    <svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect class=*class width="12" height="12"/></svg>
                    {*word} " " <span class="num">{count(*number)}</span>
                </li>
            }
        })
        .collect();
    let csv = format!("/o/{org}/dashboard.csv{address}");
    let ends = buckets.first().zip(buckets.last()).map(|(first, last)| (in_short(first.from), in_short(last.to)));
    let most = buckets.iter().map(Bucket::total).max().unwrap_or(0);
    let (drawn, table) = (bars(buckets, most), table(org, buckets));
    view! {
        <Card
            title="Outcomes"
            class="outcomes"
            aside=move || view! {
                <a class="btn btn-quiet btn-small" href=csv rel="external" download><Icon glyph=Glyph::Download/> "CSV"</a>
            }
        >
            <figure class="outcome-chart">
                <figcaption class="visually-hidden">{summary}</figcaption>
                <span class="outcome-most" aria-hidden="true">{format!("{} {}", count(most), if most == 1 { "run" } else { "runs" })}</span>
                <div class="outcome-plot">
                    {drawn}
                    <ul class="outcome-legend">{legend}</ul>
                </div>
                {ends.map(|(first, last)| view! {
                    <div class="outcome-axis" aria-hidden="true"><span>{first}</span><span>{last} " UTC"</span></div>
                })}
            </figure>
            <details class="as-table">
                <summary>"Show as table"</summary>
                {table}
            </details>
        </Card>
    }
    .into_any()
}

fn bars(buckets: &[Bucket], most: i64) -> AnyView {
    let bars: Vec<_> = buckets
        .iter()
        .enumerate()
        .map(|(place, bucket)| {
            let mut top = HEIGHT;
            let parts = [
                ("succeeded", bucket.succeeded),
                ("failed", bucket.failed),
                ("stopped", bucket.stopped),
                ("open", bucket.open),
            ];
            parts
                .into_iter()
                .filter(|(_, number)| *number > 0)
                .map(|(class, number)| {
                    // Never so thin that it is not seen.
                    let height = (number * (HEIGHT - 8) / most.max(1)).max(2);
                    top -= height;
                    view! { <rect class=class x=(place * STEP + 1).to_string() y=top.to_string() width=(STEP - 2).to_string() height=height.to_string()/> }
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let width = buckets.len() * STEP;
    view! {
        <svg class="outcome-bars" viewBox=format!("0 0 {width} {HEIGHT}") preserveAspectRatio="none" aria-hidden="true">
            <defs>
                <pattern id="outcome-hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                    <rect class="hatch-ground" width="4" height="4"/>
                    <rect class="hatch-line" width="1.5" height="4"/>
                </pattern>
            </defs>
            {bars}
        </svg>
    }
    .into_any()
}

/// The bars that have runs; each leads to them.
fn table(org: &str, buckets: &[Bucket]) -> AnyView {
    let rows: Vec<_> = buckets
        .iter()
        .filter(|bucket| bucket.total() > 0)
        .map(|bucket| {
            let href = runs_href(org, None, bucket.from, Some(bucket.to));
            let name = format!("{} to {}", in_short(bucket.from), in_short(bucket.to));
            view! {
                <tr>
                    <th scope="row"><a href=href>{name}</a></th>
                    <td class="num">{count(bucket.succeeded)}</td>
                    <td class="num">{count(bucket.failed)}</td>
                    <td class="num">{count(bucket.stopped)}</td>
                    <td class="num">{count(bucket.open)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <DataTable
            caption="Outcomes of runs by the time they were accepted, UTC"
            head=ViewFnOnce::from(|| view! {
                <Th>"Accepted"</Th>
                <Th num=true>"Succeeded"</Th>
                <Th num=true>"Failed"</Th>
                <Th num=true>"Stopped"</Th>
                <Th num=true>"Not ended"</Th>
            })
        >
            {rows}
        </DataTable>
    }
    .into_any()
}
