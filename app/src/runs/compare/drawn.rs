//! A comparison as HTML.

use agentflow::{
    agents::compare::lines,
    engine::{journal::Usage, state::StepId},
    kernel::text,
    runs::{
        RunSummary, SHOWN_BYTES,
        compare::{Ask, Chosen, Comparison, Offer, Pair, Side, Values, WINDOW},
    },
};
use leptos::prelude::*;

use crate::{
    agents::text_diff,
    kit::{
        Callout, Card, Crumb, DataTable, Html, Icon, NoValue, PageHeader, Status, StatusBadge, StatusText, Th, Time,
        Tone, json::printed, kind_glyph,
    },
    runs::{line::encoded, words},
};

/// What of a comparison an address asks for.
pub fn ask(show: &str, from: &str, step: String) -> Ask {
    let step = Some(step).filter(|step| !step.is_empty() && !step.contains('\0')).map(StepId::from_text);
    Ask { all: show == "all", from: from.parse().unwrap_or(0), step }
}

/// Where a page is.
struct Place<'a> {
    org: &'a str,
    comparison: &'a Comparison,
    all: bool,
    from: usize,
}

impl Place<'_> {
    fn href(&self, all: bool, from: usize, step: Option<&StepId>) -> String {
        let [one, other] = &self.comparison.runs;
        let mut asked = Vec::new();
        asked.extend(all.then(|| "show=all".to_owned()));
        asked.extend((from > 0).then(|| format!("from={from}")));
        asked.extend(step.map(|step| format!("step={}", encoded(step.as_str()))));
        let asked = if asked.is_empty() { String::new() } else { format!("?{}", asked.join("&")) };
        format!("/o/{}/runs/{}...{}{asked}", self.org, one.id, other.id)
    }

    fn run(&self, side: usize) -> String {
        format!("/o/{}/runs/{}", self.org, self.comparison.runs[side].id)
    }
}

/// Two runs beside each other, with the title of the page.
pub fn compared(org: &str, comparison: &Comparison, show: &str, from: &str) -> (String, Html) {
    let from = from.parse().unwrap_or(0);
    let place = Place { org, comparison, all: show == "all", from };
    let other = &comparison.runs[1];
    let crumbs = vec![
        Crumb::new("Runs", format!("/o/{org}/runs")),
        Crumb::new(other.title.clone(), format!("/o/{org}/runs/{}", other.id)),
    ];
    let [one, _] = &comparison.runs;
    let swapped = format!("/o/{org}/runs/{}...{}", other.id, one.id);
    let choose = format!("/o/{org}/runs/{}/compare", other.id);
    let strangers = (one.workflow_id != other.workflow_id).then(|| {
        view! { <Callout tone=Tone::Info><p>"These are runs of two workflows. Their steps are set beside each other by their ids."</p></Callout> }
    });
    let html = Html::of(|| {
        view! {
            <PageHeader title=Signal::stored("Compare runs".to_owned()) crumbs>
                <a class="btn" href=swapped data-noscroll>"Swap"</a>
                <a class="btn" href=choose>"Another run…"</a>
            </PageHeader>
            <div class="stack">
                {strangers}
                {totals(&place)}
                {first(&place)}
                {comparison.chosen.as_ref().map(|chosen| difference(&place, chosen))}
                {steps(&place)}
            </div>
        }
    });
    (format!("Compare · {} · Runs", other.title), html)
}

fn totals(place: &Place<'_>) -> AnyView {
    let [one, other] = &place.comparison.runs;
    let head = || view! { <Th><span class="visually-hidden">"What"</span></Th><Th>"First run"</Th><Th>"Second run"</Th><Th>"Difference"</Th> };
    let run = |side: usize| {
        let summary = &place.comparison.runs[side];
        view! { <a href=place.run(side)>{summary.title.clone()}</a> " " <code class="muted">{short(&summary.id.to_string())}</code> }
    };
    let state = |summary: &RunSummary| {
        let status = Status::from((summary.state, summary.waiting_on));
        view! { <StatusBadge status=Signal::stored(status)/> }
    };
    let lasted =
        |summary: &RunSummary| summary.finished_at.map(|at| (at - summary.created_at).num_milliseconds().max(0));
    let version = |summary: &RunSummary| format!("{} version {}", summary.workflow_name, summary.workflow_version);
    let same_version = (one.workflow_id, one.workflow_version) == (other.workflow_id, other.workflow_version);
    let of_version = |version: Option<i32>| match version {
        Some(version) => format!("Version {version}").into_any(),
        None => view! { <NoValue/> }.into_any(),
    };
    let row = |name: String, cells: [AnyView; 2], difference: String| {
        let [a, b] = cells;
        view! { <tr><th scope="row">{name}</th><td data-label="First run">{a}</td><td data-label="Second run">{b}</td><td data-label="Difference">{difference}</td></tr> }
            .into_any()
    };
    let both = |pick: &dyn Fn(&RunSummary) -> AnyView| [pick(one), pick(other)];
    let mut rows = vec![
        row("Run".to_owned(), [run(0).into_any(), run(1).into_any()], String::new()),
        row("State".to_owned(), both(&|it| state(it).into_any()), is_same(one.state == other.state)),
        row("Workflow".to_owned(), both(&|it| version(it).into_any()), is_same(same_version)),
    ];
    rows.extend(
        place
            .comparison
            .agents
            .iter()
            .map(|(name, [a, b])| row(format!("Agent {name}"), [of_version(*a), of_version(*b)], is_same(a == b))),
    );
    let started =
        |it: &RunSummary| view! { <Time at=it.created_at absolute=true/>", "{it.started_by.clone()} }.into_any();
    let duration = |it: &RunSummary| match lasted(it) {
        Some(ms) => text::duration(ms).into_any(),
        None => view! { <NoValue/> }.into_any(),
    };
    rows.extend([
        row("Started".to_owned(), both(&started), String::new()),
        row("Duration".to_owned(), both(&duration), longer(lasted(one), lasted(other))),
        row(
            "Tokens".to_owned(),
            both(&|it| text::grouped(it.usage.tokens()).into_any()),
            more_tokens(one.usage, other.usage),
        ),
        row("Cost".to_owned(), both(&|it| it.usage.cost.to_string().into_any()), more_cost(one.usage, other.usage)),
    ]);
    view! { <DataTable caption="The two runs" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

fn first(place: &Place<'_>) -> AnyView {
    let Comparison { total, differing, given, first, .. } = place.comparison;
    let all = words::counted(*total, "step", "steps");
    let Some(pair) = first else {
        let same = format!("All {all} are the same: state, input and output.");
        return view! { <Callout tone=Tone::Success><p>{same}</p></Callout> }.into_any();
    };
    let href = place.href(place.all, place.from, Some(&pair.id));
    let (name, id, what) = (pair.name.clone(), pair.id.to_string(), changes(pair).join(", "));
    let others = format!("{} of {all} differ.", text::grouped(*differing as u64));
    let given = given.then(|| view! { <p>"The runs were given different inputs."</p> });
    view! {
        <Callout>
            {given}
            <p>"The first difference is at " <a href=href data-noscroll>{name}</a> " (" <code>{id}</code> "): " {what} ". " {others}</p>
        </Callout>
    }
    .into_any()
}

/// What differs of a step, in words.
fn changes(pair: &Pair) -> Vec<&'static str> {
    match pair.sides {
        [Some(one), Some(other)] => [
            (one.state != other.state, "state"),
            (pair.input, "input"),
            (pair.output, "output"),
            (pair.error && one.state == other.state, "error"),
        ]
        .into_iter()
        .filter_map(|(differs, word)| differs.then_some(word))
        .collect(),
        [Some(_), None] => vec!["only in the first run"],
        _ => vec!["only in the second run"],
    }
}

fn steps(place: &Place<'_>) -> AnyView {
    let Comparison { steps, more, total, differing, first, .. } = place.comparison;
    let shown = if place.all { *total } else { *differing };
    let first = first.as_ref().map(|pair| &pair.id);
    let tab = |all: bool, label: &str, count: usize| {
        view! {
            <li>
                <a href=place.href(all, 0, None) data-noscroll aria-current=(place.all == all).then_some("page")>
                    {label.to_owned()}<span class="count">{text::grouped(count as u64)}</span>
                </a>
            </li>
        }
    };
    let tabs = view! {
        <nav class="tabs" aria-label="Which steps">
            <ul>{tab(false, "Steps that differ", *differing)}{tab(true, "All steps", *total)}</ul>
        </nav>
    };
    if steps.is_empty() {
        return view! { <section>{tabs}<p class="hint">"None."</p></section> }.into_any();
    }
    let head = || {
        view! {
            <Th>"Step"</Th><Th>"First run"</Th><Th>"Second run"</Th><Th>"What differs"</Th>
            <Th num=true>"Duration"</Th><Th num=true>"Tokens"</Th><Th num=true>"Cost"</Th>
        }
    };
    let rows: Vec<_> = steps.iter().map(|pair| row(place, pair, first == Some(&pair.id))).collect();
    let caption = format!(
        "Steps {} to {} of {}",
        text::grouped(place.from as u64 + 1),
        text::grouped((place.from + steps.len()) as u64),
        text::grouped(shown as u64)
    );
    let before = (place.from > 0).then(|| place.href(place.all, place.from.saturating_sub(WINDOW), None));
    let after = more.then(|| place.href(place.all, place.from + WINDOW, None));
    let pages = (before.is_some() || after.is_some()).then(|| {
        view! {
            <nav class="steps-pages" aria-label="More steps">
                <span class="hint">{caption.clone()}</span>
                {before.map(|href| view! { <a href=href>"Previous 200 steps"</a> })}
                {after.map(|href| view! { <a href=href>"Next 200 steps"</a> })}
            </nav>
        }
    });
    view! {
        <section>
            {tabs}
            <DataTable caption=caption.clone() head=head.into() class="cards compared">{rows}</DataTable>
            {pages}
        </section>
    }
    .into_any()
}

fn row(place: &Place<'_>, pair: &Pair, is_first: bool) -> AnyView {
    let href = place.href(place.all, place.from, Some(&pair.id));
    let chosen = place.comparison.chosen.as_ref().is_some_and(|chosen| chosen.pair.id == pair.id);
    let state = |side: usize| match pair.sides[side] {
        Some(Side { state, .. }) => {
            let status = Status::from((state, pair.kind));
            let href = format!("{}?step={}", place.run(side), encoded(pair.id.as_str()));
            view! { <a class="compared-state" href=href><StatusText status=Signal::stored(status)/></a> }.into_any()
        }
        None => view! { <NoValue/> }.into_any(),
    };
    let what = changes(pair);
    let what = if what.is_empty() { "nothing".to_owned() } else { what.join(", ") };
    let what = if is_first { view! { <strong>"First: "</strong>{what} }.into_any() } else { what.into_any() };
    let [duration, tokens, cost] = match pair.sides {
        [Some(one), Some(other)] => [
            longer(one.lasted(), other.lasted()),
            more_tokens(one.usage, other.usage),
            more_cost(one.usage, other.usage),
        ],
        _ => Default::default(),
    };
    // Inline styles are refused, so the indent is made of spaces.
    let indent = "\u{2003}".repeat(pair.depth.min(8));
    view! {
        <tr class:is-first=is_first>
            <th scope="row">
                <span aria-hidden="true">{indent}</span>
                <Icon glyph=kind_glyph(pair.kind)/>" "
                <a href=href data-noscroll aria-current=chosen.then_some("true")>{pair.name.clone()}</a>" "
                <code class="muted">{pair.id.to_string()}</code>
            </th>
            <td data-label="First run">{state(0)}</td>
            <td data-label="Second run">{state(1)}</td>
            <td data-label="What differs">{what}</td>
            <td class="num" data-label="Duration">{duration}</td>
            <td class="num" data-label="Tokens">{tokens}</td>
            <td class="num" data-label="Cost">{cost}</td>
        </tr>
    }
    .into_any()
}

/// What went into the step that is looked at, and what came out, line by line.
fn difference(place: &Place<'_>, chosen: &Chosen) -> AnyView {
    let Chosen { pair, input, output } = chosen;
    let open = [0, 1].map(|side| {
        pair.sides[side].map(|_| {
            let href = format!("{}?step={}", place.run(side), encoded(pair.id.as_str()));
            let words = if side == 0 { "Open in the first run" } else { "Open in the second run" };
            view! { <a href=href>{words}</a> }
        })
    });
    let title = format!("{}, {}", pair.name, pair.id);
    let open: Vec<_> = open.into_iter().collect();
    let (input, output) = (values("Input", pair, input), values("Output", pair, output));
    view! {
        <Card title>
            <div class="stack">
                <p class="compared-links">{open}</p>
                {input}
                {output}
            </div>
        </Card>
    }
    .into_any()
}

fn values(title: &'static str, pair: &Pair, values: &Values) -> AnyView {
    let Values { values: [one, other], bytes } = values;
    let is_too_large = |value: &Option<serde_json::Value>, bytes: u64| value.is_none() && bytes > 0;
    let differs = if title == "Input" { pair.input } else { pair.output };
    let plain = |words: String| view! { <div><h3>{title}</h3><p class="hint">{words}</p></div> }.into_any();
    if is_too_large(one, bytes[0]) || is_too_large(other, bytes[1]) {
        let sizes = format!("{} and {}", words::bytes(bytes[0]), words::bytes(bytes[1]));
        let what = if differs { "They differ" } else { "They are the same" };
        return plain(format!(
            "{what}, and are too large to be shown beside each other ({sizes}; at most {}).",
            words::bytes(SHOWN_BYTES)
        ));
    }
    let text_of = |value: &Option<serde_json::Value>| value.as_ref().map(printed).unwrap_or_default();
    match (one, other) {
        (None, None) => plain("Neither run has one.".to_owned()),
        _ => match text_diff(title, &lines(&text_of(one), &text_of(other))) {
            Some(view) => view,
            None => plain("The same in both runs.".to_owned()),
        },
    }
}

/// What a run can be compared with, with the title of the page. `typed` is what was asked for and is no run.
pub fn choice(org: &str, offer: &Offer, typed: &str) -> (String, Html) {
    let Offer { run, related, others, again } = offer;
    let here = format!("/o/{org}/runs/{}", run.id);
    let crumbs = vec![Crumb::new("Runs", format!("/o/{org}/runs")), Crumb::new(run.title.clone(), here.clone())];
    let refused = (!typed.is_empty()).then_some("There is no run with this id.");
    let table = |caption: String, runs: &[RunSummary]| {
        let head = || view! { <Th>"Run"</Th><Th>"State"</Th><Th>"Version"</Th><Th>"Started"</Th><Th>"By"</Th> };
        let rows: Vec<_> = runs.iter().map(|other| offered(org, run, other)).collect();
        let title = caption.clone();
        (!rows.is_empty()).then(move || {
            view! { <Card title class="flush"><DataTable caption head=head.into() class="cards">{rows}</DataTable></Card> }
        })
    };
    let again = match again {
        0 => "The run that this one does again".to_owned(),
        1 => "Runs that belong together: 1 does this one again".to_owned(),
        more => format!("Runs that belong together: {} do this one again", text::grouped(*more)),
    };
    let none = (related.is_empty() && others.is_empty())
        .then(|| view! { <p class="hint">"There is no other run of this workflow yet."</p> });
    let html = Html::of(|| {
        view! {
            <PageHeader title=Signal::stored("Compare with another run".to_owned()) crumbs/>
            <div class="stack">
                <form class="choose" method="get" action=format!("{here}/compare")>
                    <label class="label" for="compare-with">"Id of a run"</label>
                    <input class="input" id="compare-with" name="with" value=typed.to_owned() placeholder="run_…" required=true
                        autocomplete="off" spellcheck="false" aria-invalid=refused.map(|_| "true") aria-describedby=refused.map(|_| "compare-refused")/>
                    {refused.map(|words| view! { <p class="field-error" id="compare-refused">{words}</p> })}
                    <button class="btn">"Compare"</button>
                </form>
                {table(again, related)}
                {table(format!("Other runs of {}", run.workflow_name), others)}
                {none}
            </div>
        }
    });
    (format!("Compare · {} · Runs", run.title), html)
}

fn offered(org: &str, run: &RunSummary, other: &RunSummary) -> AnyView {
    // The older one stands first.
    let (first, second) = if other.created_at <= run.created_at { (other.id, run.id) } else { (run.id, other.id) };
    let status = Status::from((other.state, other.waiting_on));
    view! {
        <tr>
            <th scope="row">
                <a href=format!("/o/{org}/runs/{first}...{second}")>{other.title.clone()}</a>" "
                <code class="muted">{short(&other.id.to_string())}</code>
            </th>
            <td data-label="State"><StatusText status=Signal::stored(status)/></td>
            <td data-label="Version">{other.workflow_version}</td>
            <td data-label="Started"><Time at=other.created_at absolute=true/></td>
            <td data-label="By">{words::trigger(&other.trigger).to_owned()}" "{other.started_by.clone()}</td>
        </tr>
    }
    .into_any()
}

/// The end of an id, as people tell ids apart.
fn short(id: &str) -> String {
    format!("…{}", id.get(id.len().saturating_sub(6)..).unwrap_or(id))
}

fn is_same(same: bool) -> String {
    if same { "the same" } else { "differs" }.to_owned()
}

/// `1.2 s longer`.
fn longer(one: Option<i64>, other: Option<i64>) -> String {
    let Some((one, other)) = one.zip(other) else { return String::new() };
    by(one, other, text::duration, ["longer", "shorter"])
}

/// `1,200 more`.
fn more_tokens(one: Usage, other: Usage) -> String {
    let count = |usage: Usage| i64::try_from(usage.tokens()).unwrap_or(i64::MAX);
    by(count(one), count(other), |count| text::grouped(count.unsigned_abs()), ["more", "fewer"])
}

/// `$0.0125 less`.
fn more_cost(one: Usage, other: Usage) -> String {
    by(one.cost.micros(), other.cost.micros(), |micros| agentflow::kernel::Money(micros).to_string(), ["more", "less"])
}

fn by(one: i64, other: i64, words: impl Fn(i64) -> String, [more, less]: [&str; 2]) -> String {
    let difference = other.saturating_sub(one);
    match difference {
        0 => "the same".to_owned(),
        1.. => format!("{} {more}", words(difference)),
        _ => format!("{} {less}", words(difference.saturating_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_said_in_words() {
        assert_eq!(longer(Some(1_000), Some(2_200)), "1.2\u{a0}s longer");
        assert_eq!(longer(Some(2_200), Some(1_000)), "1.2\u{a0}s shorter");
        assert_eq!(longer(Some(1), None), "");
        let usage = |tokens_in, micros| Usage { tokens_in, tokens_out: 0, cost: agentflow::kernel::Money(micros) };
        assert_eq!(more_tokens(usage(10, 0), usage(1_210, 0)), "1,200 more");
        assert_eq!(more_tokens(usage(5, 0), usage(5, 0)), "the same");
        assert!(more_cost(usage(0, 30_000), usage(0, 10_000)).ends_with(" less"));
    }
}
