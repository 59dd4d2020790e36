//! The chat beside an agent's form: what was said, what the agent did for it, and what it cost.

pub mod api;
mod options;
mod turn;
mod writing;

use agentflow::{
    conversations::{Conversation, Turn},
    kernel::{AgentId, ConversationId},
};
use leptos::{ev, prelude::*};
use leptos_router::hooks::use_query_map;
use wasm_bindgen::JsCast;
use web_sys::{HtmlTextAreaElement, KeyboardEvent};

use self::{
    api::{SayToAgent, StopAgent, TrialPage, load_trial},
    options::{Tools, options},
    turn::TurnView,
    writing::{Writing, fetch, follow, is_open},
};
use crate::{
    agents::Chosen,
    host,
    kit::{Form, FormAction, Glyph, Icon, Look, Submit, Time},
    wire::{Loaded, hidden, loading, on_success},
};

/// The id of the form that a message is sent with.
const SAY: &str = "say";
/// What this browser keeps of how messages are sent.
const ENTER_BREAKS: &str = "enter-breaks";

/// The panel in which an agent is tried.
#[component]
pub fn TrialPanel(
    /// The organization's part of the address.
    org: String,
    /// The agent.
    agent: AgentId,
    /// What is chosen for each tool, as the form stands.
    chosen: Chosen,
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
    let tools = Memo::new(move |_| {
        let on = |(name, word): (&String, &String)| (word != "off").then(|| name.clone());
        chosen.with(|chosen| chosen.iter().filter_map(on).collect::<Vec<_>>())
    });
    let composer = composer(slug, agent, conversation, shown, changed);
    // Wherever in the panel the focus is; what is open above the page is closed first.
    let on_escape = move |event: KeyboardEvent| {
        let is_ours = event.key() == "Escape" && !event.is_composing() && !event.default_prevented();
        if is_ours && untrack(|| answering(shown)) && !host::has_open_dialog() {
            event.prevent_default();
            host::submit_form("stop");
        }
    };
    view! {
        <section class="card trial" id="try-it" aria-labelledby="trial-title" tabindex="-1" on:keydown=on_escape>
            <Loaded resource=page view=move |page| transcript(slug, agent, page, tools, shown, changed)/>
            {composer}
        </section>
    }
    .into_any()
}

/// Whether an answer is under way.
fn answering(shown: RwSignal<Option<RwSignal<Conversation>>>) -> bool {
    shown.get().is_some_and(|shown| shown.with(|shown| shown.turns.iter().any(is_open)))
}

/// The list of conversations, and what was said in the one that is shown.
fn transcript(
    org: StoredValue<String>,
    agent: AgentId,
    page: TrialPage,
    tools: Tools,
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
        {options(org, agent, &page, tools)}
    }
    .into_any()
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
    let enter_breaks = RwSignal::new(false);
    Effect::new(move |_| enter_breaks.set(host::kept(ENTER_BREAKS).is_some()));
    let swap = move |event| {
        let breaks = !event_target_checked(&event);
        enter_breaks.set(breaks);
        host::keep(ENTER_BREAKS, breaks.then_some("true"));
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() != "Enter" || event.is_composing() {
            return;
        }
        let with_control = event.ctrl_key() || event.meta_key();
        if (with_control || event.shift_key() == enter_breaks.get_untracked())
            && let Some(area) = event.target().and_then(|target| target.dyn_into::<HtmlTextAreaElement>().ok())
            && let Some(form) = area.form()
        {
            event.prevent_default();
            drop(form.request_submit());
        }
    };
    let keys = move || match enter_breaks.get() {
        false => "Enter sends, Shift+Enter breaks the line",
        true => "Shift+Enter sends, Enter breaks the line",
    };
    // The draft goes along as it stands in the form, whether it was saved or not.
    let take_draft = move |_: web_sys::SubmitEvent| {
        host::copy_entries("form[action$='save_agent']", "form[", "trial-draft");
    };
    let entries = hidden([("org", org.get_value()), ("agent", agent.to_string())]);
    let stop_entries = move || hidden([("org", org.get_value()), ("agent", agent.to_string())]);
    let of_conversation =
        move || conversation.get().map(|id| view! { <input type="hidden" name="conversation" value=id.to_string()/> });
    view! {
        <div class="trial-composer" on:submit:capture=take_draft>
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
                    <p class="hint" id="trial-keys">{keys}</p>
                    <Submit busy="Sending…">"Send"</Submit>
                </div>
            </Form>
            // Outside of the form: what is kept does not go back to its beginning with each message.
            <label class="trial-option trial-swap">
                <input type="checkbox" checked=true prop:checked=move || !enter_breaks.get() on:change=swap/>
                <span>"Enter sends"</span>
            </label>
            <Show when=move || answering(shown)>
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
