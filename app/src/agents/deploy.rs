//! Before a version is deployed: its test cases, beside those of the version that is deployed, and the last button.

use agentflow::{
    agents::cases::{
        Check,
        rehearsal::{Count, Outcome, Rehearsal, Spent, Tried, Verdict},
    },
    kernel::{AgentId, Money, RehearsalId, text},
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    address, agent_id,
    api::{AgentHead, DeployAgent, DeployPage, RehearseAgent, load_agent_deploy, load_rehearsal},
    head,
};
use crate::{
    frame::use_org,
    kit::{
        Callout, Card, DataTable, EmptyState, Form, FormAction, Glyph, Kv, KvList, Look, NoValue, Status, StatusText,
        Submit, Th, Time, Tone, status::Family,
    },
    live::{Topic, use_live},
    refresh,
    wire::{Loaded, hidden, loading},
};

/// What is known of a version before it is deployed.
#[component]
pub fn AgentDeployPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let source = move || {
        let version = query.with(|query| query.get("v")).and_then(|text| text.parse::<i32>().ok());
        let rehearsal = query.with(|query| query.get("rehearsal")).and_then(|id| id.parse::<RehearsalId>().ok());
        (org.get(), params.with(|params| params.get("id")), version, rehearsal)
    };
    let page = loading(source, |(org, id, version, rehearsal)| async move {
        load_agent_deploy(org, agent_id(id)?, version, rehearsal).await
    });
    view! { <Loaded resource=page view=move |page| body(org.get_untracked(), page)/> }.into_any()
}

fn body(org: String, page: DeployPage) -> AnyView {
    let DeployPage { head: top, version, note, rehearsal } = page;
    let here = address(&org, top.id);
    let shown = RwSignal::new(rehearsal.clone());
    if let Some(rehearsal) = &rehearsal {
        follow(org.clone(), top.id, rehearsal, shown);
    }
    let results = match &rehearsal {
        Some(first) => {
            let (facts, slug, first) =
                (started(&here, first), StoredValue::new(org.clone()), StoredValue::new(first.clone()));
            let table = move || {
                let now = shown.get().unwrap_or_else(|| first.get_value());
                slug.with_value(|slug| view! { {worse(&now)}{table(slug, &now)} }.into_any())
            };
            view! { {meanwhile(&top, &first.get_value())}{table}{facts} }.into_any()
        }
        None if top.cases == 0 => {
            let tests = format!("{here}/tests");
            view! {
                <EmptyState title="No test cases yet" glyph=Glyph::Check>
                    <p>"With test cases this page shows what a version does better or worse than the one that is live."</p>
                    <p><a class="btn" href=tests>"Make a test case"</a></p>
                </EmptyState>
            }
            .into_any()
        }
        None => view! {
            <EmptyState title="Not tried yet" glyph=Glyph::Check>
                <p>{format!("The test cases were not run with version {version}, or their runs are kept no more.")}</p>
            </EmptyState>
        }
        .into_any(),
    };
    let last = last_step(&org, &top, version, shown);
    view! {
        {head(&org, &top, "deploy", None)}
        <div class="with-aside">
            <div class="stack">
                {heading(&here, &top, version, note)}
                {results}
            </div>
            <div class="stack">{last}</div>
        </div>
    }
    .into_any()
}

/// Reads the rehearsal again whenever some run changed, as long as anything may still come of it.
fn follow(org: String, agent: AgentId, first: &Rehearsal, shown: RwSignal<Option<Rehearsal>>) {
    let (id, version) = (first.id, first.version);
    let (ticks, set_ticks) = signal(0_u32);
    use_live().follow(org.clone(), Topic::Runs, move |_| {
        let open = shown.try_with_untracked(|shown| shown.as_ref().is_some_and(Rehearsal::is_open));
        if open == Some(true) {
            set_ticks.update(|count| *count += 1);
        }
    });
    let fetch = move || load_rehearsal(org.clone(), agent, version, id);
    refresh::on_tick(ticks, fetch, move |now| shown.set(Some(now)));
}

/// What would be deployed in the place of what, and what differs.
fn heading(here: &str, top: &AgentHead, version: i32, note: Option<String>) -> AnyView {
    let compare = |live: i32| {
        let href = format!("{here}/versions?a={live}&b={version}");
        view! { <p><a href=href>{format!("What differs from version {live}")}</a></p> }
    };
    let (words, link) = match top.deployed_version {
        Some(live) if live == version => (format!("Version {version} is live"), None),
        Some(live) => (format!("Version {version} in the place of version {live}"), Some(compare(live))),
        None => (format!("Version {version} as the first that is deployed"), None),
    };
    view! {
        <div>
            <h2>{words}</h2>
            {note.map(|note| view! { <p class="muted">{note}</p> })}
            {link}
        </div>
    }
    .into_any()
}

/// Says so where another version is live by now than the one that the cases were run beside.
fn meanwhile(top: &AgentHead, rehearsal: &Rehearsal) -> Option<AnyView> {
    let live =
        top.deployed_version.filter(|live| *live != rehearsal.version && Some(*live) != rehearsal.live_version)?;
    let words = format!("Version {live} was deployed after these cases were run. Run them again to compare with it.");
    Some(view! { <Callout tone=Tone::Warning><p>{words}</p></Callout> }.into_any())
}

/// What passes in the version that is live and fails in the other one: nothing on the page matters more.
fn worse(rehearsal: &Rehearsal) -> Option<AnyView> {
    let live = rehearsal.live_version?;
    let worse: Vec<&Tried> = rehearsal.cases.iter().filter(|case| case.got_worse()).collect();
    if worse.is_empty() {
        return None;
    }
    let words = format!(
        "{} got worse: {} in version {live}, which is live, and {} in version {}.",
        cases(worse.len()),
        if worse.len() == 1 { "it passes" } else { "they pass" },
        if worse.len() == 1 { "fails" } else { "fail" },
        rehearsal.version,
    );
    let links: Vec<_> = worse
        .iter()
        .map(|case| view! { <li><a href=format!("#case-{}", case.seq)>{case.name.clone()}</a></li> })
        .collect();
    Some(view! { <Callout tone=Tone::Danger><p>{words}</p><ul>{links}</ul></Callout> }.into_any())
}

fn table(org: &str, rehearsal: &Rehearsal) -> AnyView {
    let (version, live) = (rehearsal.version, rehearsal.live_version);
    let rows: Vec<_> = rehearsal
        .cases
        .iter()
        .map(|case| {
            let words = Check::KINDS.iter().find(|(word, _)| *word == case.check).map_or("", |(_, words)| words);
            let beside = live.map(|live| {
                let cell = match &case.live {
                    Some(outcome) => outcome_view(org, outcome, &case.name, live),
                    None => view! { <NoValue/> }.into_any(),
                };
                view! { <td data-label=format!("Version {live}, live")>{cell}</td> }
            });
            let change = if case.got_worse() {
                Some(view! { " "<span class="tag">"Worse"</span> })
            } else if case.got_better() {
                Some(view! { " "<span class="tag">"Better"</span> })
            } else {
                None
            };
            view! {
                <tr id=format!("case-{}", case.seq)>
                    <th scope="row">
                        {case.name.clone()}{change}
                        <span class="sub clamp">{case.prompt.clone()}</span>
                        <span class="sub clamp">{format!("{words}: {}", case.expected)}</span>
                    </th>
                    <td data-label=format!("Version {version}")>{outcome_view(org, &case.candidate, &case.name, version)}</td>
                    {beside}
                </tr>
            }
        })
        .collect();
    let head = move || {
        let beside = live.map(|live| view! { <Th>{format!("Version {live}, live")}</Th> });
        view! { <Th>"Test case"</Th><Th>{format!("Version {version}")}</Th>{beside} }
    };
    view! { <DataTable caption="Test cases by version" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

/// What came of a case with one version.
fn outcome_view(org: &str, outcome: &Outcome, name: &str, version: i32) -> AnyView {
    let (status, why) = match &outcome.verdict {
        Verdict::Passed => (Status::new("Passed", Glyph::Succeeded, Family::Success), None),
        Verdict::Failed { why } => (Status::new("Failed", Glyph::Failed, Family::Danger), Some(why.clone())),
        Verdict::Broken { why } => (Status::new("No answer", Glyph::Warning, Family::Danger), Some(why.clone())),
        Verdict::NeedsApproval => (Status::new("Needs approval", Glyph::Hand, Family::Attention), None),
        Verdict::UnderWay => (Status::new("Running", Glyph::Running, Family::Info), None),
    };
    let asks = (outcome.verdict == Verdict::NeedsApproval)
        .then(|| view! { <a href=format!("/o/{org}/approvals")>"Open the inbox"</a>" · " });
    let mut facts = Vec::new();
    if let Some(ms) = outcome.took_ms {
        facts.push(text::duration(ms));
        facts.push(outcome.cost.to_string());
    }
    let facts = facts.iter().map(|fact| format!("{fact} · ")).collect::<String>();
    let trace = format!("/o/{org}/runs/{}", outcome.run);
    let of = format!(" of {name} with version {version}");
    view! {
        <div class="tried">
            <StatusText status=Signal::stored(status)/>
            {why.map(|why| view! { <p>{why}</p> })}
            {outcome.answer.clone().map(|answer| view! { <p class="sub clamp">{answer}</p> })}
            <p class="sub">{facts}{asks}<a href=trace>"Open trace"<span class="visually-hidden">{of}</span></a></p>
        </div>
    }
    .into_any()
}

/// Who ran the cases when, and the way to look again for browsers without scripts.
fn started(here: &str, rehearsal: &Rehearsal) -> AnyView {
    // Inside of a `noscript`, which a browser that runs scripts reads as text. Slugs and ids need no escapes.
    let again = rehearsal.is_open().then(|| {
        let href = format!("{here}/deploy?v={}&amp;rehearsal={}", rehearsal.version, rehearsal.id);
        let link = format!(r#"<p class="hint">Live updates need JavaScript. <a href="{href}">Look again</a></p>"#);
        view! { <noscript inner_html=link></noscript> }
    });
    view! {
        {again}
        <p class="hint">
            "Run by "{rehearsal.started_by.clone()}", "<Time at=rehearsal.started_at/>
            ". What tools would have changed or sent was simulated. Cases that were changed since are shown as they were."
        </p>
    }
    .into_any()
}

/// The totals, running the cases again, and the last button.
fn last_step(org: &str, top: &AgentHead, version: i32, shown: RwSignal<Option<Rehearsal>>) -> AnyView {
    let has_cases = top.cases > 0;
    let totals = move || shown.with(|shown| shown.as_ref().map(totals));
    let sentence = Memo::new(move |_| shown.with(|shown| sentence(shown.as_ref(), version, has_cases)));
    let again = (has_cases && top.can_try).then(|| {
        let words = move || shown.with(|shown| if shown.is_some() { "Run the cases again" } else { "Run the cases" });
        let (action, entries) = (FormAction::new::<RehearseAgent>(), entries(org, top.id, version));
        view! {
            <Form action class="inline">
                {entries}
                <Submit look=Look::Default busy="Starting…">{words}</Submit>
            </Form>
        }
    });
    let deploy = (top.deployed_version != Some(version)).then(|| {
        if !top.can_deploy {
            return view! { <p class="hint">"An admin or owner can deploy it."</p> }.into_any();
        }
        let words = move || {
            if shown.with(|shown| is_well(shown.as_ref(), has_cases)) {
                format!("Deploy version {version}")
            } else {
                format!("Deploy version {version} anyway")
            }
        };
        let (action, entries) = (FormAction::new::<DeployAgent>(), entries(org, top.id, version));
        let back = top.deployed_version.map(|_| " A roll back takes one step.");
        view! {
            <Form action>
                {entries}
                {hidden([("now", "true".to_owned())])}
                <p class="hint">
                    {format!("New runs use version {version} from that moment on. Runs that have begun keep what they have.")}
                    {back}
                </p>
                <Submit busy="Deploying…">{words}</Submit>
            </Form>
        }
        .into_any()
    });
    let title = if deploy.is_some() { "Deploy" } else { "Test cases" };
    view! {
        <Card title=title>
            <div class="stack">
                {totals}
                <p role="status">{move || sentence.get()}</p>
                {deploy}
                {again}
            </div>
        </Card>
    }
    .into_any()
}

fn entries(org: &str, agent: AgentId, version: i32) -> AnyView {
    hidden([("org", org.to_owned()), ("agent", agent.to_string()), ("version", version.to_string())])
}

fn totals(rehearsal: &Rehearsal) -> AnyView {
    let beside = rehearsal.live_version.zip(rehearsal.live_count());
    let beside = beside.map(|(live, count)| view! { <Kv name=format!("Version {live}")>{passed(count)}</Kv> });
    let spent = match (rehearsal.live_version, rehearsal.spent()) {
        (Some(live), Some(Spent { cost, median_ms })) => {
            let money = |amount: i64| Money(amount).to_string();
            view! {
                <Kv name="Cost">{against(cost.0.micros(), cost.1.micros(), live, money)}</Kv>
                <Kv name="Median time">{against(median_ms.0, median_ms.1, live, text::duration)}</Kv>
            }
            .into_any()
        }
        _ => {
            let cost: Money = rehearsal.cases.iter().map(|case| case.candidate.cost).sum();
            view! { <Kv name="Cost">{cost.to_string()}</Kv> }.into_any()
        }
    };
    let (version, count) = (format!("Version {}", rehearsal.version), passed(rehearsal.count()));
    view! {
        <KvList>
            <Kv name=version>{count}</Kv>
            {beside}
            {spent}
        </KvList>
    }
    .into_any()
}

fn passed(count: Count) -> String {
    format!("{} of {} passed", count.passed, count.all())
}

/// `1.2 s, 0.3 s more than version 3`.
fn against(now: i64, before: i64, live: i32, words: impl Fn(i64) -> String) -> String {
    match now - before {
        0 => format!("{}, as version {live}", words(now)),
        more @ 1.. => format!("{}, {} more than version {live}", words(now), words(more)),
        less => format!("{}, {} less than version {live}", words(now), words(-less)),
    }
}

/// Whether nothing speaks against deploying.
fn is_well(rehearsal: Option<&Rehearsal>, has_cases: bool) -> bool {
    match rehearsal.map(Rehearsal::count) {
        Some(count) => count.passed == count.all(),
        None => !has_cases,
    }
}

/// What the cases say of a version, in a sentence or two.
fn sentence(rehearsal: Option<&Rehearsal>, version: i32, has_cases: bool) -> String {
    let Some(rehearsal) = rehearsal else {
        return if has_cases {
            format!("The cases were not run with version {version}: nobody knows how it does.")
        } else {
            format!("There are no test cases: nothing tells how version {version} does.")
        };
    };
    let Count { passed, failed, open } = rehearsal.count();
    let all = passed + failed + open;
    if passed == all {
        return if all == 1 { "The case passed.".to_owned() } else { format!("All {all} cases passed.") };
    }
    let mut told = Vec::new();
    if failed > 0 {
        let worse = rehearsal.cases.iter().filter(|case| case.got_worse()).count();
        let of_them = match rehearsal.live_version.filter(|_| worse > 0) {
            Some(live) => format!(", {worse} of them passed in version {live}"),
            None => String::new(),
        };
        told.push(format!("{failed} of {all} failed{of_them}."));
    }
    if open > 0 {
        told.push(format!("{open} of {all} have no result yet."));
    }
    told.join(" ")
}

fn cases(number: usize) -> String {
    format!("{number} {}", if number == 1 { "case" } else { "cases" })
}

#[cfg(test)]
mod tests {
    use agentflow::kernel::{RunId, Timestamp};

    use super::*;

    fn rehearsal(verdicts: &[(Verdict, Verdict)]) -> Rehearsal {
        let outcome = |verdict: &Verdict| Outcome {
            run: RunId::from_uuid(Default::default()),
            verdict: verdict.clone(),
            answer: None,
            cost: Money::ZERO,
            took_ms: None,
        };
        let tried = |(candidate, live): &(Verdict, Verdict)| Tried {
            seq: 1,
            name: "Sum".to_owned(),
            prompt: String::new(),
            check: "contains".to_owned(),
            expected: String::new(),
            candidate: outcome(candidate),
            live: Some(outcome(live)),
        };
        Rehearsal {
            id: RehearsalId::from_uuid(Default::default()),
            version: 4,
            live_version: Some(3),
            started_by: "Ada".to_owned(),
            started_at: Timestamp::default(),
            cases: verdicts.iter().map(tried).collect(),
        }
    }

    #[test]
    fn what_the_cases_say_is_told_in_words() {
        let failed = || Verdict::Failed { why: "No.".to_owned() };
        let told = |verdicts: &[(Verdict, Verdict)]| {
            let rehearsal = rehearsal(verdicts);
            (sentence(Some(&rehearsal), 4, true), is_well(Some(&rehearsal), true))
        };
        assert_eq!(told(&[(Verdict::Passed, failed())]), ("The case passed.".to_owned(), true));
        let two = [(Verdict::Passed, Verdict::Passed), (Verdict::Passed, Verdict::Passed)];
        assert_eq!(told(&two), ("All 2 cases passed.".to_owned(), true));
        let mixed = [
            (failed(), Verdict::Passed),
            (failed(), failed()),
            (Verdict::UnderWay, Verdict::Passed),
            (Verdict::NeedsApproval, Verdict::Passed),
        ];
        let words = "2 of 4 failed, 1 of them passed in version 3. 2 of 4 have no result yet.";
        assert_eq!(told(&mixed), (words.to_owned(), false));
        assert!(is_well(None, false) && !is_well(None, true));
        assert!(sentence(None, 4, true).contains("not run with version 4"));
    }

    #[test]
    fn differences_say_which_way_they_go() {
        let money = |amount: i64| Money(amount).to_string();
        assert_eq!(against(3_000, 2_000, 3, money), "$0.003, $0.001 more than version 3");
        assert_eq!(against(2_000, 3_000, 3, money), "$0.002, $0.001 less than version 3");
        assert_eq!(against(0, 0, 3, money), "$0.00, as version 3");
    }
}
