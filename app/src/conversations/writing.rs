//! What is being written while an agent answers: the runs of the message are followed word by word, and the conversation
//! is fetched anew when something happened in them.

use std::{collections::HashMap, time::Duration};

use agentflow::{
    conversations::{Conversation, Turn},
    engine::state::StepId,
    kernel::{AgentId, ConversationId, RunId},
};
use leptos::{prelude::*, task::spawn_local};

use super::api::load_conversation;
use crate::live::{Message, Topic, use_live};

/// How long after a change the conversation is fetched anew: changes come in swarms.
const SOON: Duration = Duration::from_millis(250);

/// What models write, by run and step, with the attempt. Shown until the answer is there, or what was kept of it.
pub type Writing = RwSignal<HashMap<(RunId, StepId), (u32, String)>>;

/// The runs of a message: the draft's, and the deployed version's where it was asked too.
fn runs_of(turn: &Turn) -> Vec<RunId> {
    [Some(&turn.reply), turn.deployed.as_ref()].into_iter().flatten().map(|reply| reply.run).collect()
}

/// Whether an answer to a message is under way.
pub fn is_open(turn: &Turn) -> bool {
    [Some(&turn.reply), turn.deployed.as_ref()].into_iter().flatten().any(|reply| !reply.state.is_end())
}

/// Takes in what happens while the agent answers.
pub fn follow(org: StoredValue<String>, agent: AgentId, shown: RwSignal<Conversation>, writing: Writing) {
    // Both runs of a message are followed until both have ended: a stream that is opened anew in between loses words.
    let open = Memo::new(move |_| {
        shown.with(|shown| {
            let turn = shown.turns.iter().rev().find(|turn| is_open(turn))?;
            Some((shown.id?, runs_of(turn)))
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
        set_timeout(fetch_now, SOON);
    };
    // Whatever the stream of a run does not tell in time is seen when some run changes.
    use_live().follow(org.get_value(), Topic::Runs, move |_| {
        let open = shown.try_with_untracked(|shown| shown.id.filter(|_| shown.turns.iter().any(is_open))).flatten();
        if let Some(id) = open {
            fetch_soon(id);
        }
    });
    let follow_run = move |id: ConversationId, run: RunId| {
        use_live().follow(org.get_value(), Topic::Run { id: run, after: 0 }, move |messages| {
            let mut news = false;
            for message in messages {
                match message {
                    Message::Partial(partial) => {
                        writing.try_update(|writing| {
                            let entry =
                                writing.entry((run, partial.step)).or_insert_with(|| (partial.attempt, String::new()));
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
    };
    // Each message has a scope of its own, so that the runs of the one before are left.
    Effect::new(move |_| {
        if let Some((id, runs)) = open.get() {
            runs.into_iter().for_each(|run| follow_run(id, run));
        }
    });
}

/// Fetches the conversation as it is now.
pub fn fetch(org: StoredValue<String>, agent: AgentId, id: ConversationId, shown: RwSignal<Conversation>) {
    let Some(org) = org.try_get_value() else { return };
    spawn_local(async move {
        // What could not be fetched now comes with the next change.
        if let Ok(conversation) = load_conversation(org, agent, id).await {
            shown.try_set(conversation);
        }
    });
}
