//! Trying an agent: a conversation is made of runs, remembers what was said, and changes nothing outside.

use std::{collections::BTreeSet, time::Duration};

use agentflow::{
    access::Ctx,
    agents::{self, AgentConfig},
    conversations::{
        Conversation, Turn,
        service::{self, Say},
    },
    engine::{
        plan::ToolPermission,
        state::{RunState, StepId, StepKind, StepState},
    },
    kernel::{AgentId, ConversationId, Kind, Money},
    live::Live,
};

use crate::{office::Office, world::World};

fn say(agent: AgentId, conversation: Option<ConversationId>, prompt: &str) -> Say {
    Say { agent, conversation, prompt: prompt.to_owned(), draft: None, for_real: None, beside_deployed: false }
}

fn named<const N: usize>(tools: [&str; N]) -> BTreeSet<String> {
    tools.map(str::to_owned).into()
}

async fn answered(cx: &Ctx, agent: AgentId, id: ConversationId) -> Conversation {
    for _ in 0..200 {
        let found = service::find(&cx.grant().unwrap(), agent, id).await.unwrap();
        let mut replies = found.turns.iter().flat_map(|turn| [Some(&turn.reply), turn.deployed.as_ref()]).flatten();
        let all = replies.all(|reply| reply.state.is_end() || reply.state == RunState::Waiting);
        drop(replies);
        if all {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer");
}

fn mailer() -> AgentConfig {
    AgentConfig {
        name: "Mailer".into(),
        instructions: "Send mails and calculate.".into(),
        model: "sandbox/sandbox".into(),
        tools: [("email_send", ToolPermission::Policy), ("calculator", ToolPermission::Allowed)]
            .map(|(name, permission)| (name.to_owned(), permission))
            .into(),
        ..AgentConfig::default()
    }
}

/// How many messages before its own a turn's run was given.
async fn history_of(cx: &Ctx, turn: &Turn) -> Option<usize> {
    let input = agentflow::runs::service::payloads(&cx.grant().unwrap(), turn.reply.run, true).await.unwrap().input?;
    input["history"].as_array().map(Vec::len)
}

#[tokio::test]
async fn a_message_is_a_run_and_what_was_said_is_remembered() {
    let world = World::new().await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let agent = agents::service::create(&cx.grant().unwrap(), mailer()).await.unwrap();
    let id = service::say(&cx.grant().unwrap(), say(agent.id, None, "What is 6 * 7?")).await.unwrap();
    let first = answered(&cx, agent.id, id).await;
    let reply = &first.turns[0].reply;
    assert_eq!(reply.state, RunState::Succeeded);
    assert!(reply.text.as_deref().unwrap().contains("42"), "{:?}", reply.text);
    assert!(reply.calls.iter().any(|call| call.name == "calculator" && call.output.contains("42")));
    assert_eq!(reply.usage.cost, Money::ZERO);
    service::say(&cx.grant().unwrap(), say(agent.id, Some(id), "Thank you")).await.unwrap();
    let second = answered(&cx, agent.id, id).await;
    assert_eq!(second.turns.len(), 2);
    assert!(!second.turns[1].changed);
    let run = agentflow::runs::service::find(&cx.grant().unwrap(), second.turns[1].reply.run).await.unwrap();
    assert_eq!(run.summary.trigger, "test");
    assert_eq!(history_of(&cx, &second.turns[1]).await, Some(2));
    // The workflow of the trials stands in no list.
    let workflows = agentflow::workflows::service::list(&cx.grant().unwrap()).await.unwrap();
    assert!(workflows.is_empty());
}

#[tokio::test]
async fn what_instructions_name_is_told_by_its_name_where_no_workflow_gives_it() {
    let world = World::new().await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let config = AgentConfig { instructions: "Calculate for {{ input.customer }}.".into(), ..mailer() };
    let agent = agents::service::create(&cx.grant().unwrap(), config).await.unwrap();
    for for_real in [None, Some(named(["email_send"]))] {
        let say = Say { for_real, ..say(agent.id, None, "What is 6 * 7?") };
        let id = service::say(&cx.grant().unwrap(), say).await.unwrap();
        let reply = answered(&cx, agent.id, id).await.turns.remove(0).reply;
        assert_eq!(reply.state, RunState::Succeeded, "{:?}", reply.text);
        assert!(reply.text.as_deref().unwrap().contains("42"), "{:?}", reply.text);
    }
}

#[tokio::test]
async fn what_a_tool_would_send_is_simulated_unless_it_is_switched_on() {
    let world = World::new().await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let agent = agents::service::create(&cx.grant().unwrap(), mailer()).await.unwrap();
    let prompt = "Send an e-mail to bob@example.com with the subject Hello and the text Hi.";
    let id = service::say(&cx.grant().unwrap(), say(agent.id, None, prompt)).await.unwrap();
    let trial = answered(&cx, agent.id, id).await;
    let call = trial.turns[0].reply.calls.iter().find(|call| call.name == "email_send").unwrap();
    assert!(call.simulated && call.approval.is_none());
    assert_eq!(trial.turns[0].reply.state, RunState::Succeeded);
    // For real a person is asked, as ever.
    let unnamed = Say { for_real: Some(BTreeSet::new()), ..say(agent.id, None, prompt) };
    let refused = service::say(&cx.grant().unwrap(), unnamed).await.unwrap_err();
    assert!(refused.code == "conversations.not_agreed" && refused.message.contains("email_send"), "{refused:?}");
    let real = Say { for_real: Some(named(["email_send"])), ..say(agent.id, None, prompt) };
    let id = service::say(&cx.grant().unwrap(), real).await.unwrap();
    let real = answered(&cx, agent.id, id).await;
    assert_eq!(real.turns[0].reply.state, RunState::Waiting);
    let call = real.turns[0].reply.calls.iter().find(|call| call.name == "email_send").unwrap();
    assert!(!call.simulated && call.approval.is_some());
    service::stop(&cx.grant().unwrap(), agent.id, id).await.unwrap();
    for _ in 0..100 {
        let found = service::find(&cx.grant().unwrap(), agent.id, id).await.unwrap();
        if found.turns[0].reply.state == RunState::Cancelled {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was not stopped");
}

#[tokio::test]
async fn the_draft_is_tried_beside_the_deployed_version() {
    let world = World::new().await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let agent = agents::service::create(&cx.grant().unwrap(), mailer()).await.unwrap();
    let draft = AgentConfig { tools: Default::default(), ..mailer() };
    let both = Say { draft: Some(draft), beside_deployed: true, ..say(agent.id, None, "What is 2 + 3?") };
    let id = service::say(&cx.grant().unwrap(), both).await.unwrap();
    service::say(&cx.grant().unwrap(), say(agent.id, Some(id), "And 4 + 5?")).await.unwrap();
    let found = answered(&cx, agent.id, id).await;
    let (draft, deployed) = (&found.turns[0].reply, found.turns[0].deployed.as_ref().unwrap());
    assert!(draft.calls.iter().all(|call| call.name != "calculator"));
    assert!(deployed.calls.iter().any(|call| call.name == "calculator"));
    assert!(found.turns[1].changed, "the draft is another one");
    let wrong = Say { draft: Some(AgentConfig::default()), ..say(agent.id, None, "Hello") };
    assert_eq!(service::say(&cx.grant().unwrap(), wrong).await.unwrap_err().kind, Kind::Invalid);
    let empty = service::say(&cx.grant().unwrap(), say(agent.id, None, "  ")).await.unwrap_err();
    assert_eq!(empty.field("prompt"), Some("Write a message."));
}

#[tokio::test]
async fn what_was_written_until_an_answer_was_stopped_is_kept_and_is_no_answer() {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "250")]).await;
    world.work();
    let cx = Office::new(&world, "Acme").await.owner;
    let agent = agents::service::create(&cx.grant().unwrap(), mailer()).await.unwrap();
    let prompt = "Tell me about the weather, the sea, the mountains and the people who live there.";
    let id = service::say(&cx.grant().unwrap(), say(agent.id, None, prompt)).await.unwrap();
    let run = service::find(&cx.grant().unwrap(), agent.id, id).await.unwrap().turns[0].reply.run;
    let mut live = cx.deps().live.subscribe_run(cx.org_id(), run);
    let heard = async {
        loop {
            if let Ok(Live::Partial(partial)) = live.next().await
                && let Some(text) = partial.text.clone().filter(|text| !text.trim().is_empty())
            {
                return text;
            }
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
    service::stop(&cx.grant().unwrap(), agent.id, id).await.unwrap();
    let stopped = answered(&cx, agent.id, id).await;
    let reply = &stopped.turns[0].reply;
    assert_eq!((reply.state, reply.text.as_deref()), (RunState::Cancelled, None));
    let model = reply.calls.iter().rfind(|call| call.kind == StepKind::Model).unwrap();
    assert!(model.state == StepState::Cancelled && model.output.contains(&heard), "{heard:?} in {:?}", model.output);
    let step = StepId::from_text(model.step.clone());
    let detail = agentflow::runs::service::step(&cx.grant().unwrap(), run, &step, false).await.unwrap();
    assert_eq!(detail.output.unwrap()["unfinished"], true);
    // The next message is answered anew, and is not told of it.
    service::say(&cx.grant().unwrap(), say(agent.id, Some(id), "What is 6 * 7?")).await.unwrap();
    let next = answered(&cx, agent.id, id).await;
    assert!(next.turns[1].reply.text.as_deref().unwrap().contains("42"));
    assert_eq!(history_of(&cx, &next.turns[1]).await, Some(0));
    assert!(next.turns[0].reply.calls.iter().any(|call| call.output.contains(&heard)));
}

#[tokio::test]
async fn the_switch_names_what_is_done_through_other_agents_and_workflows_too() {
    let world = World::new().await;
    let cx = Office::new(&world, "Acme").await.owner;
    let changes = async |id: AgentId, tools: &[&str]| {
        let tools = tools.iter().map(|name| (*name).to_owned());
        agents::service::changes_with(&cx.grant().unwrap(), id, tools).await.unwrap()
    };
    agents::service::create(&cx.grant().unwrap(), mailer()).await.unwrap();
    let manager = AgentConfig { name: "Manager".into(), tools: [].into(), ..mailer() };
    let manager = agents::service::create(&cx.grant().unwrap(), manager).await.unwrap();
    assert_eq!(changes(manager.id, &[]).await, named([]));
    assert_eq!(changes(manager.id, &["calculator", "web_search"]).await, named([]));
    assert_eq!(changes(manager.id, &["http_request", "agent_mailer"]).await, named(["email_send", "http_request"]));
    // By way of an agent that calls an agent.
    let chief = AgentConfig {
        name: "Chief".into(),
        tools: [("agent_mailer".to_owned(), ToolPermission::Allowed)].into(),
        ..mailer()
    };
    agents::service::create(&cx.grant().unwrap(), chief).await.unwrap();
    assert_eq!(changes(manager.id, &["agent_chief"]).await, named(["email_send"]));
    // What was agreed to before it could call the other is not enough.
    let draft =
        AgentConfig { tools: [("agent_chief".to_owned(), ToolPermission::Allowed)].into(), ..manager.config.clone() };
    let unnamed = Say { draft: Some(draft), for_real: Some(named([])), ..say(manager.id, None, "Hello") };
    let refused = service::say(&cx.grant().unwrap(), unnamed).await.unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (Kind::Conflict, "conversations.not_agreed"));
}
