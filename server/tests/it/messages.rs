//! Agents that speak to each other, over two processes on one database.

use std::{collections::BTreeMap, time::Duration};

use agentflow::{
    engine::{
        journal::Usage,
        plan::{AgentLimits, AgentSpec, MESSAGE_TOOLS, Plan, ToolPermission},
        port::{Answer, Call, CallScope, Effects, Evaluation, ModelAnswer, Progress, ToolRequest},
        state::{RunState, StepError},
    },
    tools,
};
use serde_json::{Value, json};

use crate::{
    engine::{Node, Place},
    world::World,
};

/// A writer that asks, and a reviewer that looks around until somebody asks it something.
#[derive(Clone)]
struct Talk;

fn says(text: &str, call: Option<(&str, Value)>) -> Answer {
    let request = |(tool, arguments): (&str, Value)| ToolRequest {
        id: "1".to_owned(),
        tool: tool.to_owned(),
        arguments,
        signatures: Vec::new(),
    };
    Answer::Model(ModelAnswer {
        text: text.to_owned(),
        tool_calls: call.map(request).into_iter().collect(),
        model: "sandbox/sandbox".to_owned(),
        usage: Usage::default(),
        fault: None,
        stop_reason: "stop".to_owned(),
        provider_request_id: None,
        ..ModelAnswer::default()
    })
}

#[async_trait::async_trait]
impl Effects for Talk {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        _: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Call::Model(call) = call else { return Ok(Answer::Tool { output: Value::Null }) };
        let read = serde_json::to_string(&call.messages).unwrap();
        let writes = scope.step.as_str().starts_with("writer");
        Ok(match (writes, read.contains("What is the colour?"), read.contains("Blue, I say")) {
            (true, _, true) => says("It is blue.", None),
            (true, ..) => {
                says("", Some(("message_ask", json!({ "to": "reviewer", "question": "What is the colour?" }))))
            }
            (false, _, true) => says("Told.", None),
            (false, true, _) => {
                says("", Some(("message_reply", json!({ "id": "writer.tool1_1", "text": "Blue, I say" }))))
            }
            (false, false, _) => says("", Some(("current_time", json!({})))),
        })
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        Ok(evaluation.template)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_though_processes_are_lost_and_shows_in_the_tree() {
    let world = World::new().await;
    let place = Place::new(&world).await;
    let agent = |name: &str| AgentSpec {
        name: name.to_owned(),
        version: 1,
        instructions: "Talk.".to_owned(),
        model: "sandbox/sandbox".to_owned(),
        temperature: None,
        tools: MESSAGE_TOOLS
            .iter()
            .chain(&["current_time"])
            .map(|name| ((*name).to_owned(), ToolPermission::Policy))
            .collect(),
        output_schema: Value::Null,
        limits: AgentLimits { max_turns: 50, ..AgentLimits::default() },
        ..AgentSpec::default()
    };
    let nodes = json!({ "nodes": [
        { "id": "start", "kind": "start" },
        { "id": "writer", "kind": "agent", "agent": "w", "prompt": "Write.", "after": ["start"] },
        { "id": "reviewer", "kind": "agent", "agent": "r", "prompt": "Review.", "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["writer", "reviewer"] },
    ]});
    let plan = Plan {
        graph: serde_json::from_value(nodes).unwrap(),
        agents: BTreeMap::from([("w".to_owned(), agent("Writer")), ("r".to_owned(), agent("Reviewer"))]),
        tools: tools::catalog().iter().map(|tool| (tool.name.clone(), tool.into())).collect(),
        ..Plan::default()
    };
    let mut first = Node::start(&world, &Talk).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(place.start_plan(plan.clone(), None).await);
    }
    tokio::time::sleep(Duration::from_millis(130)).await;
    first.lose();
    let _others = [Node::start(&world, &Talk).await, Node::start(&world, &Talk).await];
    for run in runs {
        place.until(run, RunState::Succeeded).await;
        let steps: Vec<(String, String, Value, Value)> = sqlx::query_as(
            "select id, name, input, output from steps
              where run_id = $1 and (input ? 'question' or input ? 'text') order by ordinal",
        )
        .bind(run)
        .fetch_all(world.deps().db.engine())
        .await
        .unwrap();
        assert_eq!(steps.len(), 2, "one question and one answer: {steps:?}");
        let (id, name, input, output) = &steps[0];
        assert_eq!((id.as_str(), name.as_str()), ("writer.tool1_1", "Writer → Reviewer"));
        assert_eq!(input["question"], "What is the colour?");
        assert_eq!(*output, json!({ "from": "reviewer", "text": "Blue, I say" }));
        assert_eq!(steps[1].1, "Reviewer → Writer");
    }
}
