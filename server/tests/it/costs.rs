//! What calls cost that break off, classes that a budget lowers, and an agent's own limit of money.

use agentflow::{
    access::Role,
    budgets,
    engine::state::RunState,
    kernel::{Money, RunId},
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{
    office::Office,
    spending::{budget, one, until_it_stands, with_fake},
};

/// What a run's model call was answered, as its step keeps it.
async fn output_of(owner: &mut PgConnection, run: RunId) -> Value {
    sqlx::query_scalar("select output from steps where run_id = $1 and id = 'write.model1'")
        .bind(run)
        .fetch_one(owner)
        .await
        .unwrap()
}

async fn cost_of_all_steps(owner: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select sum(cost_micros)::bigint from steps where kind = 'model'")
        .fetch_one(owner)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_answers_are_paid_for_and_the_books_have_them() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let mut owner = world.owner().await;
    let id = budget(&acme, "organization", "day", "5").await;
    let agents = json!({ "writer": {
        "name": "Writer", "role": "r", "instructions": "Write.", "model": "openai/gpt-4o",
        "fallbacks": ["openai/gpt-4o-mini"],
    } });
    let prompt = "@gpt-4o-mini say: the whole answer\n@gpt-4o cut";
    let workflow = acme.with_agents("One", one(prompt, json!({})), agents).await;
    let run = acme.start(workflow, json!({})).await;
    let done = acme.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("the whole answer")));
    let output = output_of(&mut owner, run).await;
    let number = |place: &str| output.pointer(place).and_then(Value::as_i64).unwrap_or_default();
    let (half, whole) = (number("/tried/0/usage/cost"), number("/usage/cost"));
    assert!(half > 0 && whole > 0 && number("/tried/0/usage/tokens_out") > 0, "{output}");
    assert_eq!(done.view.usage.cost, Money(half + whole));
    assert_eq!(cost_of_all_steps(&mut owner).await, half + whole);
    until_it_stands(&mut owner, id, (half + whole, 0)).await;

    // Nobody answers, and each attempt is paid for.
    let more = json!({ "on_error": "fail", "retry": { "attempts": 2, "backoff_ms": 1 } });
    let failing = acme.with_agents("Two", one("cut", more), json!({})).await;
    let run = acme.start(failing, json!({})).await;
    let failed = acme.until(run, RunState::Failed).await;
    assert_eq!(fake.calls().len(), 2 + 4);
    assert!(failed.view.usage.cost > Money(half), "{:?}", failed.view.usage);
    let all = half + whole + failed.view.usage.cost.micros();
    assert_eq!(cost_of_all_steps(&mut owner).await, all);
    until_it_stands(&mut owner, id, (all, 0)).await;

    // What is refused before it begins costs nothing.
    let refused = acme.with_agents("Three", one("status: 401", json!({ "on_error": "fail" })), json!({})).await;
    let run = acme.start(refused, json!({})).await;
    assert_eq!(acme.until(run, RunState::Failed).await.view.usage.cost, Money::ZERO);
    until_it_stands(&mut owner, id, (all, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_a_budget_has_no_room_for_is_lowered_unless_it_wants_care() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let mut owner = world.owner().await;
    // An answer of the creative class may cost ten cents, one of the routine class little more than one.
    let id = budget(&acme, "organization", "day", "0.05").await;
    let agent =
        |name: &str, model: &str| json!({ "name": name, "role": "r", "instructions": "Write.", "model": model });
    let agents = json!({
        "writer": agent("Writer", "class/creative"), "careful": agent("Careful", "class/safety_critical"),
    });
    let workflow = acme.with_agents("One", one("say: hello", json!({})), agents).await;
    let run = acme.start(workflow, json!({})).await;
    let done = acme.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("hello")));
    assert_eq!(fake.calls()[0].model, "gpt-6-luna");
    let output = output_of(&mut owner, run).await;
    assert_eq!((&output["model"], &output["requested"]), (&json!("openai/gpt-6-luna"), &json!("class/creative")));
    let tried = &output["tried"][0];
    assert_eq!((&tried["model"], &tried["code"]), (&json!("class/creative"), &json!("budget.spent")));
    let told: Vec<Value> = sqlx::query_scalar("select data from run_events where run_id = $1")
        .bind(run)
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let told = json!(told).to_string();
    assert!(told.contains("no room for the class “Creative”: this call goes to the class “Routine” instead"), "{told}");
    until_it_stands(&mut owner, id, (done.view.usage.cost.micros(), 0)).await;
    let shown = budgets::service::list(&acme.owner.grant().unwrap()).await.unwrap();
    assert!(!shown[0].refused, "nothing was held back");

    let careful = acme.with_agents("Two", one("say: hello", json!({ "agent": "careful" })), json!({})).await;
    let run = acme.start(careful, json!({})).await;
    assert!(acme.asked(run).await.title.contains("has no budget left"));
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_limit_of_money_is_an_admins_to_raise_and_no_call_passes_it() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let agents = json!({ "writer": {
        "name": "Writer", "role": "r", "instructions": "Write.", "model": "openai/gpt-4o",
        // An answer may cost more than eight cents.
        "limits": { "max_cost": 50_000 },
    } });
    let workflow = acme.with_agents("One", one("say: hello", json!({})), agents).await;
    let run = acme.start(workflow, json!({})).await;
    let asked = acme.asked(run).await;
    assert_eq!(fake.calls().len(), 0, "not a cent was spent");
    assert!(
        asked.message.contains("Writer has cost $0.00 of $0.05 allowed for a task, and the next"),
        "{}",
        asked.message
    );
    let decide = format!("/api/v1/approvals/{}/decide", asked.id);
    let mut member = world.program(&acme.key(Role::Member).await);
    assert_eq!(member.post_json(&decide, &json!({ "decision": "approve" })).await.status, 403);
    let mut admin = world.program(&acme.key(Role::Admin).await);
    let reply = admin.post_json(&decide, &json!({ "decision": "approve" })).await;
    assert!(reply.status.0.is_success(), "{}", reply.text());
    let done = acme.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("hello")));
    let answer = &fake.calls()[0].body;
    assert!(answer["max_tokens"] == 8_192 || answer["max_completion_tokens"] == 8_192, "{answer}");
}
