//! The chat beside an agent's form: what was said, what the agent did for it, and what it cost.

pub mod api;
mod turn;

use agentflow::{
    conversations::{Conversation, Turn},
    engine::state::StepId,
    kernel::{AgentId, ConversationId, RunId},
};
use leptos::{ev, prelude::*, task::spawn_local};
use leptos_router::hooks::use_query_map;
use std::collections::HashMap;
use wasm_bindgen::JsCast;
use web_sys::{HtmlTextAreaElement, KeyboardEvent};

use self::{
    api::{SayToAgent, StopAgent, TrialPage, load_conversation, load_trial},
    turn::TurnView,
};
use crate::{
    host,
    kit::{Form, FormAction, Glyph, Icon, Look, Submit, Time},
    live::{Message, Topic, use_live},
    wire::{Loaded, hidden, loading, on_success},
};

/// The id of the form that a message is sent with.
const SAY: &str = "say";
/// How long after a change the conversation is fetched anew, in milliseconds: changes come in swarms.
const SOON_MS: u64 = 250;

/// What is being written in a run, by step and attempt. Shown until the answer is there.
pub(super) type Writing = RwSignal<HashMap<StepId, (u32, String)>>;

/// The panel in which an agent is tried.
#[component]
pub fn TrialPanel(
    /// The organization's part of the address.
    org: String,
    /// The agent.
    agent: AgentId,
) -> impl IntoView {
    let query = use_query_map();
    let conversation =
        Memo::new(move |_| query.with(|query| query.get("c")).and_then(|id| id.parse::<ConversationId>().ok()));
    let slug = StoredValue::new(org);
    let page = loading(
        move || (slug.get_value(), agent, conversation.get()),
        |(org, agent, conversation)| load_trial(org, agent, conversation),
    );
    let shown = RwSignal::new(None::<RwSignal<Conversation>>);
    // Whether the form was changed since the last message.
    let changed = RwSignal::new(false);
    let composer = composer(slug, agent, conversation, shown, changed);
    view! {
        <section class="card trial" aria-labelledby="trial-title">
            <Loaded resource=page view=move |page| transcript(slug, agent, page, shown, changed)/>
            {composer}
        </section>
    }
    .into_any()
}

/// The list of conversations, and what was said in the one that is shown.
fn transcript(
    org: StoredValue<String>,
    agent: AgentId,
    page: TrialPage,
    shown: RwSignal<Option<RwSignal<Conversation>>>,
    changed: RwSignal<bool>,
) -> AnyView {
    let conversation = RwSignal::new(page.conversation.clone());
    Effect::new(move |_| shown.set(Some(conversation)));
    let here = org.with_value(|org| format!("/o/{org}/agents/{agent}"));
    let current = page.conversation.id;
    let others: Vec<_> = page
        .conversations
        .iter()
        .cloned()
        .map(|line| {
            let is_current = (Some(line.id) == current).then_some("true");
            view! {
                <li>
                    <a href=format!("{here}?c={}", line.id) aria-current=is_current>{line.title}</a>
                    " "<span class="muted"><Time at=line.updated_at/></span>
                </li>
            }
        })
        .collect();
    let earlier = (!others.is_empty()).then(|| {
        view! {
            <details class="trial-earlier">
                <summary>{format!("Conversations ({})", others.len())}</summary>
                <ul>{others}</ul>
            </details>
        }
    });
    let begin_anew = current.map(|_| view! { <a class="btn btn-quiet" href=here.clone()>"New conversation"</a> });
    let of_answer = current.filter(|_| page.can_build).map(|id| format!("{here}/tests?conversation={id}"));
    let of_answer = StoredValue::new(of_answer);
    let writing: Writing = RwSignal::default();
    follow(org, agent, conversation, writing);
    let turns =
        move || conversation.with(|conversation| conversation.turns.iter().map(|turn| turn.seq).collect::<Vec<_>>());
    let is_empty = move || conversation.with(|conversation| conversation.turns.is_empty());
    view! {
        <div class="card-head">
            <h2 id="trial-title">"Try it"</h2>
            {begin_anew}
        </div>
        {earlier}
        <div class="trial-log" role="log" aria-live="polite" aria-label="Conversation" tabindex="0">
            <Show when=is_empty>
                <p class="muted">
                    "Write a message to see how the agent answers. It works as the form stands, saved or not."
                </p>
            </Show>
            <For each=turns key=|seq| *seq let:seq>
                {
                    let turn = Memo::new(move |before: Option<&Option<Turn>>| {
                        let now = conversation
                            .with(|conversation| conversation.turns.iter().find(|turn| turn.seq == seq).cloned());
                        now.or_else(|| before.cloned().flatten())
                    });
                    view! { <TurnView org turn writing of_answer/> }
                }
            </For>
            <Show when=move || changed.get()>
                <p class="trial-divider" role="status">"Draft changed, used from the next message"</p>
            </Show>
        </div>
        {options(&page)}
    }
    .into_any()
}

/// What a message is sent with, besides its text.
fn options(page: &TrialPage) -> AnyView {
    if !page.can_try {
        return view! { <p class="hint">"Members, admins and owners can try the agent."</p> }.into_any();
    }
    let effects = page.effects.join(", ");
    let real = (!effects.is_empty()).then(|| {
        view! {
            <label class="trial-option">
                <input type="checkbox" name="for_real" value="true" form=SAY/>
                <span>
                    "Really do it: " {effects}
                    <span class="hint">"Off: these calls are simulated, and nothing leaves the house. On: approvals still apply."</span>
                </span>
            </label>
        }
    });
    let beside = page.deployed.map(|version| {
        view! {
            <label class="trial-option">
                <input type="checkbox" name="beside_deployed" value="true" form=SAY/>
                <span>{format!("Ask version {version}, which is deployed, the same")}</span>
            </label>
        }
    });
    view! { <div class="trial-options">{real}{beside}</div> }.into_any()
}

/// Where a message is written.
fn composer(
    org: StoredValue<String>,
    agent: AgentId,
    conversation: Memo<Option<ConversationId>>,
    shown: RwSignal<Option<RwSignal<Conversation>>>,
    changed: RwSignal<bool>,
) -> AnyView {
    let say = FormAction::new::<SayToAgent>();
    let stop = FormAction::new::<StopAgent>();
    let reload = move || {
        if let (Some(shown), Some(id)) = (shown.get_untracked(), conversation.get_untracked()) {
            fetch(org, agent, id, shown);
        }
    };
    on_success(say, move || {
        changed.set(false);
        reload();
    });
    on_success(stop, reload);
    let edited = window_event_listener(ev::input, move |event| {
        if host::is_in_form(&event, "form[action$='save_agent'], form[action$='create_agent']") {
            changed.set(true);
        }
    });
    on_cleanup(move || edited.remove());
    let enter_sends = RwSignal::new(true);
    let on_key = move |event: KeyboardEvent| {
        if event.key() != "Enter" || event.is_composing() || event.shift_key() {
            return;
        }
        let with_control = event.ctrl_key() || event.meta_key();
        if (with_control || enter_sends.get_untracked())
            && let Some(area) = event.target().and_then(|target| target.dyn_into::<HtmlTextAreaElement>().ok())
            && let Some(form) = area.form()
        {
            event.prevent_default();
            drop(form.request_submit());
        }
    };
    let answering = move || {
        shown.get().is_some_and(|shown| shown.with(|shown| shown.turns.iter().any(|turn| open_run(turn).is_some())))
    };
    // The draft goes along as it stands in the form, whether it was saved or not.
    let take_draft = move |_: web_sys::SubmitEvent| {
        host::copy_entries("form[action$='save_agent']", "form[", "trial-draft");
    };
    let on_escape = move |event: KeyboardEvent| {
        if event.key() == "Escape" && answering() {
            event.prevent_default();
            host::submit_form("stop");
        }
    };
    let entries = hidden([("org", org.get_value()), ("agent", agent.to_string())]);
    let stop_entries = move || hidden([("org", org.get_value()), ("agent", agent.to_string())]);
    let of_conversation =
        move || conversation.get().map(|id| view! { <input type="hidden" name="conversation" value=id.to_string()/> });
    view! {
        <div class="trial-composer" on:submit:capture=take_draft on:keydown=on_escape>
            <Form action=say id=SAY clear=true>
                {entries}
                {of_conversation}
                <span id="trial-draft" hidden></span>
                <label class="visually-hidden" for="trial-prompt">"Message to the agent"</label>
                <textarea
                    class="input" id="trial-prompt" name="prompt" rows="3" on:keydown=on_key
                    placeholder="Message to the agent"
                    aria-describedby="trial-keys"
                ></textarea>
                <div class="trial-send">
                    <label class="trial-option" id="trial-keys">
                        <input type="checkbox" checked=true on:change=move |event| enter_sends.set(event_target_checked(&event))/>
                        <span>"Enter sends, Shift+Enter breaks the line"</span>
                    </label>
                    <Submit busy="Sending…">"Send"</Submit>
                </div>
            </Form>
            <Show when=answering>
                <Form action=stop id="stop" class="inline">
                    {stop_entries()}
                    {of_conversation}
                    <Submit look=Look::Default busy="Stopping…"><Icon glyph=Glyph::Stopped/>"Stop"</Submit>
                </Form>
            </Show>
        </div>
    }
    .into_any()
}

/// The run of a message whose answer is being written.
pub(super) fn open_run(turn: &Turn) -> Option<RunId> {
    let replies = [Some(&turn.reply), turn.deployed.as_ref()];
    replies.into_iter().flatten().find(|reply| !reply.state.is_end()).map(|reply| reply.run)
}

/// Takes in what happens while the agent answers.
fn follow(org: StoredValue<String>, agent: AgentId, shown: RwSignal<Conversation>, writing: Writing) {
    let open = Memo::new(move |_| {
        shown.with(|shown| {
            let turn = shown.turns.iter().rev().find(|turn| !turn.reply.state.is_end())?;
            Some((shown.id?, turn.reply.run))
        })
    });
    let soon = StoredValue::new(false);
    let fetch_soon = move |id: ConversationId| {
        if soon.get_value() {
            return;
        }
        soon.set_value(true);
        let fetch_now = move || {
            soon.try_set_value(false);
            fetch(org, agent, id, shown);
        };
        set_timeout(fetch_now, std::time::Duration::from_millis(SOON_MS));
    };
    // Of two runs that answer at a time, one is followed word by word; the other is looked at whenever some run changes.
    use_live().follow(org.get_value(), Topic::Runs, move |_| {
        let is_open = shown.try_with_untracked(|shown| shown.turns.iter().any(|turn| open_run(turn).is_some()));
        if is_open == Some(true)
            && let Some(id) = shown.try_with_untracked(|shown| shown.id).flatten()
        {
            fetch_soon(id);
        }
    });
    let follower = move || {
        if let Some((id, run)) = open.get() {
            writing.update(HashMap::clear);
            use_live().follow(org.get_value(), Topic::Run { id: run, after: 0 }, move |messages| {
                let mut news = false;
                for message in messages {
                    match message {
                        Message::Partial(partial) => {
                            writing.try_update(|writing| {
                                let entry =
                                    writing.entry(partial.step).or_insert_with(|| (partial.attempt, String::new()));
                                if entry.0 != partial.attempt || partial.text.is_none() {
                                    *entry = (partial.attempt, String::new());
                                }
                                entry.1.push_str(partial.text.as_deref().unwrap_or_default());
                            });
                        }
                        Message::Event(_) | Message::Changed => news = true,
                    }
                }
                if news {
                    fetch_soon(id);
                }
            });
        }
    };
    // Each run has a scope of its own, so that the one before is left.
    Effect::new(move |_| follower());
}

fn fetch(org: StoredValue<String>, agent: AgentId, id: ConversationId, shown: RwSignal<Conversation>) {
    let Some(org) = org.try_get_value() else { return };
    spawn_local(async move {
        // What could not be fetched now comes with the next change.
        if let Ok(conversation) = load_conversation(org, agent, id).await {
            shown.try_set(conversation);
        }
    });
}
