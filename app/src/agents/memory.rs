//! What an agent remembers, and making it forget.

use agentflow::{
    kernel::text,
    memory::{Entry, KeyLine, Memories},
};
use leptos::prelude::*;
use leptos_router::{
    hooks::{use_params_map, use_query_map},
    location::Url,
};

use super::{
    address, agent_id,
    api::{AgentMemoryPage, ForgetAll, ForgetMemory, load_agent_memory},
    head,
};
use crate::{
    frame::use_org,
    kit::{Callout, Card, DataTable, EmptyState, Form, FormAction, Glyph, Icon, Look, Submit, Th, Time},
    wire::{Loaded, hidden, loading, on_success},
};

/// What an agent remembers.
#[component]
pub fn AgentMemoryPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let renewed = RwSignal::new(0_u32);
    let source = move || {
        let asked = |name: &str| query.with(|query| query.get(name)).filter(|text| !text.is_empty());
        (org.get(), params.with(|params| params.get("id")), asked("q"), asked("key"), renewed.get())
    };
    let page = loading(source, |(org, id, wanted, key, _)| async move {
        let page = load_agent_memory(org, agent_id(id)?, wanted.clone(), key).await?;
        Ok((page, wanted.unwrap_or_default()))
    });
    let view = move |(page, wanted): (AgentMemoryPage, String)| body(&org.get_untracked(), page, &wanted, renewed);
    view! { <Loaded resource=page view/> }.into_any()
}

fn body(org: &str, page: AgentMemoryPage, wanted: &str, renewed: RwSignal<u32>) -> AnyView {
    let here = format!("{}/memory", address(org, page.head.id));
    let AgentMemoryPage { head: top, memories } = page;
    let content = match memories {
        None => {
            let words = "What agents remember is what runs were given. Seeing it takes the right to see that.";
            view! { <Callout><p>{words}</p></Callout> }.into_any()
        }
        Some(memories) if memories.all == 0 => view! {
            <EmptyState title="Nothing remembered yet" glyph=Glyph::Clock>
                <p>"An agent whose memory is “by key” remembers each task that a workflow's step gives it with a key, such as the customer it is about. The next task with the same key is told of it."</p>
            </EmptyState>
        }
        .into_any(),
        Some(memories) => remembered(org, &top.id.to_string(), &here, memories, wanted, top.can_build, renewed),
    };
    view! {
        {head(org, &top, "memory", None)}
        {content}
    }
    .into_any()
}

fn remembered(
    org: &str,
    agent: &str,
    here: &str,
    memories: Memories,
    wanted: &str,
    may_forget: bool,
    renewed: RwSignal<u32>,
) -> AnyView {
    let Memories { keys, all, open } = memories;
    let all = all.unsigned_abs();
    let shown = keys.len() as u64;
    let note = match (keys.is_empty(), wanted.is_empty()) {
        (true, _) => Some("None fits the search.".to_owned()),
        (false, true) if shown < all => {
            Some(format!("The last {shown} of {} keys. Search for the others.", text::grouped(all)))
        }
        _ => None,
    };
    let note = note.map(|note| view! { <p class="card-note muted">{note}</p> });
    let table = (!keys.is_empty()).then(|| table(here, keys));
    let open = open.map(|(key, entries)| open_card(org, agent, here, &key, entries, may_forget));
    let forget_all = may_forget.then(|| forget_all_card(org, agent, renewed));
    view! {
        <form class="tools-filter" method="get" action=here.to_owned() role="search">
            <label class="visually-hidden" for="memory-q">"Search keys"</label>
            <input class="input" type="search" id="memory-q" name="q" value=wanted.to_owned() placeholder="Search keys"/>
            <button class="btn"><Icon glyph=Glyph::Search/>"Search"</button>
        </form>
        <div class="with-aside">
            <div class="stack">
                {open}
                <Card title="Keys" class="flush">{table}{note}</Card>
            </div>
            <div class="stack">{forget_all}</div>
        </div>
    }
    .into_any()
}

fn table(here: &str, keys: Vec<KeyLine>) -> AnyView {
    let rows: Vec<_> = keys
        .into_iter()
        .map(|line| {
            let open = format!("{here}?key={}", Url::escape(&line.key));
            view! {
                <tr>
                    <th scope="row"><a href=open>{line.key}</a></th>
                    <td data-label="Tasks" class="num">{text::grouped(line.tasks.unsigned_abs())}</td>
                    <td data-label="Last one"><Time at=line.last_at/></td>
                </tr>
            }
        })
        .collect();
    let head = || view! { <Th>"Key"</Th><Th num=true>"Tasks"</Th><Th>"Last one"</Th> };
    view! { <DataTable caption="Keys" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

fn open_card(org: &str, agent: &str, here: &str, key: &str, entries: Vec<Entry>, may_forget: bool) -> AnyView {
    let tasks: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            let run = entry.run.map(|run| {
                let address = format!("/o/{org}/runs/{run}");
                view! { " · "<a href=address>"Open run"</a> }
            });
            view! {
                <li>
                    <p class="muted"><Time at=entry.at/>{run}</p>
                    <p class="label">"Task"</p>
                    <p class="memory-text">{entry.prompt}</p>
                    <p class="label">"Answer"</p>
                    <p class="memory-text">{entry.answer}</p>
                </li>
            }
        })
        .collect();
    let forget = may_forget.then(|| {
        let action = FormAction::new::<ForgetMemory>();
        let entries = hidden([("org", org.to_owned()), ("agent", agent.to_owned()), ("key", key.to_owned())]);
        view! {
            <Form action class="inline">
                {entries}
                <Submit look=Look::Default busy="Forgetting…">"Forget this key"</Submit>
            </Form>
        }
    });
    let here = here.to_owned();
    view! {
        <Card title=format!("Remembered under “{key}”")>
            <div class="stack">
                <p class="muted">"The last tasks, at most 20; of long ones the beginning."</p>
                <ol class="memories">{tasks}</ol>
                {forget}
                <p><a href=here>"All keys"</a></p>
            </div>
        </Card>
    }
    .into_any()
}

fn forget_all_card(org: &str, agent: &str, renewed: RwSignal<u32>) -> AnyView {
    let action = FormAction::new::<ForgetAll>();
    on_success(action, move || renewed.update(|count| *count += 1));
    let entries = hidden([("org", org.to_owned()), ("agent", agent.to_owned())]);
    view! {
        <Card title="Forget everything">
            <Form action>
                <p class="hint">"The agent forgets all tasks under all keys. This cannot be undone. Runs that have read them keep what they read for as long as they are kept themselves."</p>
                {entries}
                <Submit look=Look::Default busy="Forgetting…">"Forget everything"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}
