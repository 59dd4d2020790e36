//! The versions of an agent: what was changed, by whom, what differs between two, and bringing one back.

use agentflow::agents::compare::{Changed, Comparison, Line};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    address, agent_id,
    api::{AgentHead, AgentVersionsPage, DeployAgent, RestoreAgentVersion, RollBackAgent, load_agent_versions},
    head,
};
use crate::{
    frame::use_org,
    kit::{
        Card, Choice, DataTable, Form, FormAction, Glyph, Look, NoValue, Select, Status, StatusText, Submit, Th, Time,
        status::Family,
    },
    wire::{Loaded, hidden, loading, on_success},
};

/// The versions of an agent.
#[component]
pub fn AgentVersionsPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let renewed = RwSignal::new(0_u32);
    let source = move || {
        let version = |name: &str| query.with(|query| query.get(name)).and_then(|text| text.parse::<i32>().ok());
        (org.get(), params.with(|params| params.get("id")), version("a"), version("b"), renewed.get())
    };
    let page = loading(source, |(org, id, a, b, _)| async move { load_agent_versions(org, agent_id(id)?, a, b).await });
    view! { <Loaded resource=page view=move |page| body(&org.get_untracked(), page, renewed)/> }.into_any()
}

fn body(org: &str, page: AgentVersionsPage, renewed: RwSignal<u32>) -> AnyView {
    let here = address(org, page.head.id);
    let AgentVersionsPage { head: top, versions, deployments, comparison } = page;
    let choose = (versions.len() > 1).then(|| {
        let chosen = comparison.as_ref().map(|it| (it.from, it.to));
        let (newest, before) = (top.version, versions.get(1).map_or(top.version, |line| line.version));
        let choices = || versions.iter().map(|line| version_choice(line.version, &line.note)).collect::<Vec<_>>();
        let (a, b) = chosen.unwrap_or((before, newest));
        view! {
            <form class="form compare" method="get" action=format!("{here}/versions")>
                <Select name="a" label="From version" choices=choices() value=a.to_string()/>
                <Select name="b" label="To version" choices=choices() value=b.to_string()/>
                <button type="submit" class="btn">"Compare versions"</button>
            </form>
        }
    });
    let told: Vec<_> = deployments
        .into_iter()
        .map(|one| view! { <li>{format!("Version {}", one.version)}<p class="muted">{one.deployed_by}", "<Time at=one.deployed_at/></p></li> })
        .collect();
    let told = (!told.is_empty()).then(|| view! { <Card title="Deployments"><ol class="versions">{told}</ol></Card> });
    let rows: Vec<_> = versions
        .into_iter()
        .map(|line| {
            let version = line.version;
            let state = if top.deployed_version == Some(version) {
                Some(Status::new("Deployed", Glyph::Succeeded, Family::Success))
            } else if version == top.version {
                Some(Status::new("Newest", Glyph::Edit, Family::Neutral))
            } else {
                None
            };
            let state = match state {
                Some(state) => view! { <StatusText status=Signal::stored(state)/> }.into_any(),
                None => view! { <NoValue/> }.into_any(),
            };
            let changes = (version > 1).then(|| {
                let href = format!("{here}/versions?a={}&b={version}", version - 1);
                view! { <a href=href>"Changes"<span class="visually-hidden">{format!(" of version {version}")}</span></a> }
            });
            view! {
                <tr>
                    <th scope="row"><a href=format!("{here}?v={version}")>{format!("Version {version}")}</a></th>
                    <td data-label="Note">{line.note}</td>
                    <td data-label="State">{state}</td>
                    <td data-label="Saved by">{line.saved_by}</td>
                    <td data-label="Saved"><Time at=line.created_at/></td>
                    <td class="actions">{changes}{actions(org, &top, version, renewed)}</td>
                </tr>
            }
        })
        .collect();
    let table_head = || {
        view! {
            <Th>"Version"</Th><Th>"Note"</Th><Th>"State"</Th><Th>"Saved by"</Th><Th>"Saved"</Th>
            <Th><span class="visually-hidden">"Actions"</span></Th>
        }
    };
    view! {
        {head(org, &top, "versions", None)}
        <div class="with-aside">
            <div class="stack">
                {comparison.map(|comparison| compared(&comparison))}
                <DataTable caption="Versions" head=table_head.into() class="cards">{rows}</DataTable>
            </div>
            <div class="stack">
                {choose.map(|choose| view! { <Card title="Compare">{choose}</Card> })}
                {told}
            </div>
        </div>
    }
    .into_any()
}

fn version_choice(version: i32, note: &str) -> Choice {
    let note: String = note.chars().take(50).collect();
    Choice::new(version.to_string(), if note.is_empty() { version.to_string() } else { format!("{version}: {note}") })
}

/// What can be done with a version.
fn actions(org: &str, top: &AgentHead, version: i32, renewed: RwSignal<u32>) -> AnyView {
    let again = move || renewed.update(|count| *count += 1);
    let entries = || hidden([("org", org.to_owned()), ("agent", top.id.to_string()), ("version", version.to_string())]);
    let of = move || view! { <span class="visually-hidden">{format!(" version {version}")}</span> };
    let deployed = top.deployed_version == Some(version);
    let deploy = (top.can_deploy && !deployed).then(|| {
        let action = FormAction::new::<DeployAgent>();
        on_success(action, again);
        let entries = entries();
        view! {
            <Form action id=format!("deploy-{version}") class="inline">
                {entries}
                <Submit look=Look::Quiet busy="Deploying…">"Deploy"{of()}</Submit>
            </Form>
        }
    });
    let back = top.former.filter(|_| top.can_deploy && deployed).map(|former| {
        let action = FormAction::new::<RollBackAgent>();
        on_success(action, again);
        let words = if former < version {
            format!("Roll back to version {former}")
        } else {
            format!("Go back to version {former}")
        };
        let entries = entries();
        view! {
            <Form action id=format!("roll-back-{version}") class="inline">
                {entries}
                <Submit look=Look::Default busy="Deploying…">{words}</Submit>
            </Form>
        }
    });
    let restore = (top.can_build && version != top.version).then(|| {
        let action = FormAction::new::<RestoreAgentVersion>();
        on_success(action, again);
        let (entries, base) = (entries(), hidden([("base", top.version.to_string())]));
        view! {
            <Form action id=format!("restore-{version}") class="inline">
                {entries}
                {base}
                <Submit look=Look::Quiet busy="Restoring…">"Restore"{of()}</Submit>
            </Form>
        }
    });
    view! { {back}{deploy}{restore} }.into_any()
}

/// Two versions beside each other.
fn compared(comparison: &Comparison) -> AnyView {
    let (from, to) = (comparison.from, comparison.to);
    let title = format!("From version {from} to version {to}");
    if comparison.is_same() {
        return view! { <Card title=title><p>"They hold the same."</p></Card> }.into_any();
    }
    let settings = (!comparison.settings.is_empty()).then(|| settings_table(from, to, &comparison.settings));
    let instructions = text_diff("Instructions", &comparison.instructions);
    let output_schema = text_diff("Form of the answer", &comparison.output_schema);
    view! {
        <Card title=title>
            <div class="stack">
                {settings}
                {instructions}
                {output_schema}
            </div>
        </Card>
    }
    .into_any()
}

fn settings_table(from: i32, to: i32, settings: &[Changed]) -> AnyView {
    let or_none = |value: Option<String>| match value {
        None => view! { <NoValue/> }.into_any(),
        Some(value) => value.into_any(),
    };
    let rows: Vec<_> = settings
        .iter()
        .cloned()
        .map(|row| {
            view! {
                <tr>
                    <th scope="row">{row.name}</th>
                    <td data-label=format!("Version {from}")>{or_none(row.from)}</td>
                    <td data-label=format!("Version {to}")>{or_none(row.to)}</td>
                </tr>
            }
        })
        .collect();
    let head =
        move || view! { <Th>"Setting"</Th><Th>{format!("Version {from}")}</Th><Th>{format!("Version {to}")}</Th> };
    view! { <DataTable caption="Settings that differ" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

/// The lines of a text: what was removed and added is said in words too, as colours and signs are not for everybody.
pub(crate) fn text_diff(title: &'static str, lines: &[Line]) -> Option<AnyView> {
    if lines.is_empty() {
        return None;
    }
    let rows: Vec<_> = lines.iter().cloned().map(diff_line).collect();
    let view = view! {
        <div>
            <h3>{title}</h3>
            <ol class="diff" tabindex="0" aria-label=format!("{title}, line by line")>{rows}</ol>
        </div>
    };
    Some(view.into_any())
}

fn diff_line(line: Line) -> AnyView {
    match line {
        Line::Same { text } => view! { <li><span class="diff-mark" aria-hidden="true">" "</span>{text}</li> }.into_any(),
        Line::Removed { text } => view! {
            <li class="diff-removed"><span class="diff-mark" aria-hidden="true">"−"</span><span class="visually-hidden">"Removed: "</span><del>{text}</del></li>
        }
        .into_any(),
        Line::Added { text } => view! {
            <li class="diff-added"><span class="diff-mark" aria-hidden="true">"+"</span><span class="visually-hidden">"Added: "</span><ins>{text}</ins></li>
        }
        .into_any(),
        Line::Folded { lines: 1 } => view! { <li class="diff-folded">"1 line that is the same"</li> }.into_any(),
        Line::Folded { lines } => view! { <li class="diff-folded">{format!("{lines} lines that are the same")}</li> }.into_any(),
    }
}
