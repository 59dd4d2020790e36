//! A builder's whole way, through the doors that the pages use: connect a provider, make an agent with four tools and a
//! budget, try it in the panel, see why each call was made and what it cost, deploy it, watch it fail over when the provider
//! dies in the middle, reach its budget, wait, and go on after an approval.

use std::time::Duration;

use agentflow::{access::Role, engine::state::RunState, kernel::RunId};
use app::{
    agents::api::{CreateAgent, DeployAgent, LoadAgent, SaveAgent},
    approvals::api::Approve,
    budgets::api::{ChangeBudget, CreateBudget, LoadBudgets},
    conversations::api::{LoadConversation, SayToAgent},
    integrations::api::{AddCredential, AddModelConnection, LoadIntegrations},
    runs::api::{RunPart, StepPart},
    tools::api::{CreateTool, DeployTool},
    workflows::api::{DeployWorkflow, ImportWorkflow, StartRun},
};
use axum::{
    Json, Router,
    http::{HeaderMap, Uri},
    routing::any,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    credentials::{dump, shows, with_key},
    fake_model::FakeModel,
    office::Office,
    people::Person,
    recorded::output_in,
    world::World,
};

const KEY: &str = "sk-key-of-the-builder-1";
const OTHER_KEY: &str = "sk-ant-key-of-the-builder-2";
const CRM_KEY: &str = "key/of+the-crm-3";
const GPT: &str = "openai/gpt-4o";
const CLAUDE: &str = "anthropic/claude-sonnet-5";

/// The customers' data of somebody else, for whoever has the key.
async fn crm() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |uri: Uri, headers: HeaderMap| async move {
        let known = headers.get("x-api-key").is_some_and(|key| key == CRM_KEY);
        Json(json!({ "customer": uri.path().rsplit('/').next(), "plan": "gold", "known": known }))
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
    address
}

struct Desk {
    world: World,
    fake: FakeModel,
    ada: Person,
    agent: String,
}

impl Desk {
    /// A provider and another one to fall back on, a credential, four tools, an agent and its budget.
    async fn set_up() -> Self {
        let (fake, crm) = (FakeModel::start().await, crm().await);
        let (world, _) = with_key(&[("AGENTFLOW_ALLOWED_HOSTS", &format!("{},{crm}", fake.address))]).await;
        world.work();
        let mut ada = world.sign_up("Ada").await;
        let base = fake.base_url();
        for (provider, models, secret) in [("openai", "gpt-4o", KEY), ("anthropic", "claude-sonnet-5", OTHER_KEY)] {
            let fields = [("provider", provider), ("base_url", &*base), ("models", models), ("secret", secret)];
            Person::done(&ada.sends::<AddModelConnection>(&fields).await);
        }
        assert_eq!(fake.calls().len(), 2, "each was tested");
        let fields =
            [("name", "CRM"), ("kind", "header"), ("detail", "X-Api-Key"), ("hosts", "127.0.0.1"), ("secret", CRM_KEY)];
        Person::done(&ada.sends::<AddCredential>(&fields).await);
        let shown = ada.sends::<LoadIntegrations>(&[]).await.json();
        let find = |name: &str| {
            let all = shown["credentials"].as_array().unwrap().iter();
            all.clone().find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
        };
        let (credential, url) = (find("CRM"), format!("http://{crm}/customers/{{{{ input.id }}}}"));
        let tool = [
            ("form[name]", "crm_lookup"),
            ("form[title]", "Look up a customer"),
            ("form[description]", "Looks a customer up by number."),
            ("form[effect]", "read"),
            ("form[parameters][00][name]", "id"),
            ("form[parameters][00][type]", "integer"),
            ("form[parameters][00][required]", "true"),
            ("form[method]", "GET"),
            ("form[url]", &url),
            ("form[credential]", &credential),
            ("form[timeout_s]", "20"),
        ];
        let tool = Person::done(&ada.sends::<CreateTool>(&tool).await);
        Person::done(&ada.sends::<DeployTool>(&[("tool", &tool), ("version", "1")]).await);
        Person::done(&ada.sends::<CreateAgent>(&form("Checker", &[])).await);
        let tools = [
            ("form[tools][calculator]", "allowed"),
            ("form[tools][email_send]", "policy"),
            ("form[tools][crm_lookup]", "allowed"),
            ("form[tools][agent_checker]", "allowed"),
            ("form[fallbacks][0]", CLAUDE),
        ];
        let agent = Person::done(&ada.sends::<CreateAgent>(&form("Support", &tools)).await);
        Person::done(
            &ada.sends::<CreateBudget>(&[("subject", "agent:support"), ("period", "day"), ("limit", "$5")]).await,
        );
        Self { world, fake, ada, agent }
    }

    /// Says something in the panel, and waits for the answer. Gives the conversation and its last turn.
    async fn says(&mut self, conversation: Option<&str>, prompt: &str) -> (String, Value) {
        let agent = self.agent.clone();
        let mut fields = vec![("agent", agent.as_str()), ("prompt", prompt)];
        fields.extend(conversation.map(|id| ("conversation", id)));
        let reply = self.ada.sends::<SayToAgent>(&fields).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = conversation
            .map_or_else(|| reply.header("location").rsplit("c=").next().unwrap().to_owned(), str::to_owned);
        for _ in 0..400 {
            let shown = self.ada.sends::<LoadConversation>(&[("agent", &agent), ("conversation", &id)]).await.json();
            let last = shown["turns"].as_array().unwrap().last().unwrap().clone();
            if ["succeeded", "failed", "waiting"].contains(&last["reply"]["state"].as_str().unwrap()) {
                return (id, last);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no answer to {prompt}");
    }

    async fn office(&self) -> Office {
        Office::of(&self.world, &self.ada.org).await
    }

    /// What the budget says is spent and reserved.
    async fn budget(&mut self) -> (String, i64, i64) {
        let shown = self.ada.sends::<LoadBudgets>(&[]).await.json();
        let one = &shown["budgets"][0];
        let number = |name: &str| one["standing"][name].as_i64().unwrap();
        (one["id"].as_str().unwrap().to_owned(), number("spent"), number("reserved"))
    }

    /// What all model calls of the agent's own steps, or of all steps, cost.
    async fn cost(&self, own: bool) -> i64 {
        let rows: Vec<(i64, i64, i64, Option<Value>, bool)> = sqlx::query_as(
            "select tokens_in, tokens_out, cost_micros, output, id !~ '[.]tool[0-9_]+[.]model' from steps where kind = 'model'",
        )
        .fetch_all(self.world.deps().db.engine())
        .await
        .unwrap();
        let mut sum = 0;
        for (mut input, mut output, whole, answer, is_own) in rows {
            // One that a budget held back did not go out.
            let answer = answer.unwrap_or_default();
            let mut cost = whole;
            // What broke off before it is paid for at its own model's price.
            for tried in answer["tried"].as_array().into_iter().flatten() {
                let [read, wrote, paid] = ["tokens_in", "tokens_out", "cost"].map(|part| tried["usage"][part].as_i64());
                let (read, wrote, paid) =
                    (read.unwrap_or_default(), wrote.unwrap_or_default(), paid.unwrap_or_default());
                assert!(tried["model"] == GPT && read > 0 && wrote > 0, "{tried}");
                assert!((paid as f64 - (read as f64 * 2.5 + wrote as f64 * 10.0)).abs() < 1.0, "{tried}");
                (input, output, cost) = (input - read, output - wrote, cost - paid);
            }
            let cached = answer["tokens"]["cached"].as_i64().unwrap_or_default();
            let (plain, kept) = if answer["model"] == CLAUDE { (2.0, 0.2) } else { (2.5, 1.25) };
            let exact = (input - cached) as f64 * plain + cached as f64 * kept + output as f64 * 10.0;
            assert!((cost as f64 - exact).abs() < 1.0, "{cost} is not {exact} of {answer}");
            sum += if is_own || !own { whole } else { 0 };
        }
        sum
    }
}

fn form<'a>(name: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("form[name]", name),
        ("form[role]", "helps"),
        ("form[instructions]", "Be kind."),
        ("form[model]", GPT),
        ("form[max_turns]", "8"),
        ("form[max_tokens]", "100,000"),
        ("form[max_cost]", "1.00"),
        ("form[timeout_s]", "60"),
    ];
    fields.extend(more);
    fields
}

/// The one tool call of a turn.
fn call_of<'v>(turn: &'v Value, name: &str) -> &'v Value {
    let calls = turn["reply"]["calls"].as_array().unwrap().iter();
    calls.clone().find(|call| call["name"] == name).unwrap_or_else(|| panic!("no {name}: {turn:#}"))
}

const FLOW: &str = r#"
name: Answer a customer
description: Lets the agent answer.
input:
  type: object
  properties: { ask: { type: string } }
  required: [ask]
nodes:
  - { id: start, kind: start }
  - { id: answer, kind: agent, agent: support, prompt: "{{ input.ask }}", after: [start] }
  - { id: end, kind: end, after: [answer], output: "{{ steps.answer.output }}" }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_connects_makes_tries_deploys_and_watches_an_agent() {
    let mut desk = Desk::set_up().await;

    // Tried in the panel: each call with what went in, what came out, how long it took and what it cost.
    let (id, turn) = desk.says(None, "tool: calculator {\"expression\": \"6*7\"}").await;
    let call = call_of(&turn, "calculator");
    assert!(
        call["input"].as_str().unwrap().contains("6*7") && call["output"].as_str().unwrap().contains("42"),
        "{call}"
    );
    let models: Vec<_> =
        turn["reply"]["calls"].as_array().unwrap().iter().filter(|call| call["kind"] == "model").collect();
    assert_eq!(models.len(), 2, "one that wants the tool, one that answers");
    assert!(models.iter().all(|call| call["usage"]["cost"].as_i64().unwrap() > 0 && call["took_ms"].is_number()));
    let of_calls: i64 = models.iter().map(|call| call["usage"]["cost"].as_i64().unwrap()).sum();
    assert_eq!(turn["reply"]["usage"]["cost"].as_i64(), Some(of_calls), "the whole is its parts");
    let (_, turn) = desk.says(Some(&id), "tool: crm_lookup {\"id\": 42}").await;
    let call = call_of(&turn, "crm_lookup");
    assert!(call["output"].as_str().unwrap().replace(' ', "").contains("\"known\":true"), "its key went along: {call}");
    let mail = "tool: email_send {\"to\": \"bob@example.com\", \"subject\": \"Hello\", \"body\": \"Hi\"}";
    let (_, turn) = desk.says(Some(&id), mail).await;
    let call = call_of(&turn, "email_send");
    assert_eq!((&call["simulated"], &call["approval"]), (&json!(true), &Value::Null));
    let (_, turn) = desk.says(Some(&id), "tool: agent_checker {\"prompt\": \"say: it is fine\"}").await;
    let call = call_of(&turn, "Checker");
    assert!(
        call["output"].as_str().unwrap().contains("it is fine") && call["usage"]["cost"].as_i64().unwrap() > 0,
        "{call}"
    );
    let page = desk.ada.client.get(&format!("/o/{}/agents/{}?c={id}", desk.ada.org, desk.agent)).await;
    for part in ["crm_lookup", "email_send", "Simulated", "calculator", "Checker", "it is fine", "$0.0"] {
        assert!(page.text().contains(part), "{part}");
    }
    let mails: i64 =
        sqlx::query_scalar("select count(*) from emails").fetch_one(&mut desk.world.owner().await).await.unwrap();
    assert_eq!(mails, 0);

    // A better version, deployed, and put to work.
    let agent = desk.agent.clone();
    let loaded = desk.ada.sends::<LoadAgent>(&[("agent", &agent)]).await.json();
    let tools: Vec<(String, String)> = loaded["form"]["tools"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, word)| (format!("form[tools][{name}]"), word.as_str().unwrap().to_owned()))
        .collect();
    let mut change =
        vec![("agent", agent.as_str()), ("base", "1"), ("form[note]", "Kinder"), ("form[fallbacks][0]", CLAUDE)];
    change.extend(tools.iter().map(|(name, word)| (name.as_str(), word.as_str())));
    let mut change = form("Support", &change);
    change.retain(|(name, _)| *name != "form[instructions]");
    change.push(("form[instructions]", "Be very kind."));
    Person::done(&desk.ada.sends::<SaveAgent>(&change).await);
    Person::done(&desk.ada.sends::<DeployAgent>(&[("agent", &agent), ("version", "2")]).await);
    let workflow = Person::done(&desk.ada.sends::<ImportWorkflow>(&[("yaml", FLOW)]).await);
    Person::done(&desk.ada.sends::<DeployWorkflow>(&[("workflow", &workflow), ("version", "1")]).await);
    let office = desk.office().await;

    // The provider dies in the middle of its answer: the other one answers, and no reader has both halves.
    let ask = json!({ "ask": "@gpt-4o cut\n@claude say: the whole answer" }).to_string();
    let run =
        Person::done(&desk.ada.sends::<StartRun>(&[("workflow", &workflow), ("key", "k1"), ("json", &ask)]).await);
    let run: RunId = run.parse().unwrap();
    office.until(run, RunState::Succeeded).await;
    let number = run.to_string();
    let part = desk.ada.sends::<RunPart>(&[("run", &number), ("full", "true")]).await.json();
    assert_eq!(output_in(&part), "the whole answer");
    let fields = [("run", number.as_str()), ("step", "answer.model1"), ("tab", "io"), ("full", "true")];
    let part = desk.ada.sends::<StepPart>(&fields).await.json();
    let (told, output) = (part.to_string(), output_in(&part));
    assert_eq!((&output["model"], &output["requested"]), (&json!(CLAUDE), &json!(GPT)), "{told}");
    assert_eq!(output["tried"][0]["model"], GPT);
    assert!(!told.contains("Half an"), "{told}");
    let page = desk.ada.client.get(&format!("/o/{}/runs/{run}", desk.ada.org)).await;
    assert!(page.text().contains("the whole answer") && !page.text().contains("Half an"));

    // What was counted is what the calls cost, to the millionth; the other agent's is its own.
    let (budget, spent, reserved) = desk.budget().await;
    assert_eq!((spent, reserved), (desk.cost(true).await, 0));
    let runs: i64 = sqlx::query_scalar("select sum(cost_micros)::bigint from runs")
        .fetch_one(&mut desk.world.owner().await)
        .await
        .unwrap();
    assert_eq!(runs, desk.cost(false).await);

    // The next call does not fit any more: nothing goes out, and whoever may is asked.
    let limit = format!("0.{:06}", spent + 1_000);
    Person::done(&desk.ada.sends::<ChangeBudget>(&[("budget", &budget), ("limit", &limit), ("enabled", "true")]).await);
    let before = desk.fake.calls().len();
    let ask = json!({ "ask": "say: worth it" }).to_string();
    let run =
        Person::done(&desk.ada.sends::<StartRun>(&[("workflow", &workflow), ("key", "k2"), ("json", &ask)]).await);
    let run: RunId = run.parse().unwrap();
    let asked = office.asked(run).await;
    assert!(asked.message.contains("is spent"), "{}", asked.message);
    assert_eq!(desk.fake.calls().len(), before);
    let mut mia = desk.world.joins("Mia", &desk.ada.org.clone(), Role::Member).await;
    let mut ben = desk.world.joins("Ben", &desk.ada.org.clone(), Role::Admin).await;
    let id = asked.id.to_string();
    let yes = [("id", id.as_str()), ("seen", asked.payload_sha256.as_str())];
    assert_eq!(mia.sends::<Approve>(&yes).await.status, 403, "a member is no admin");
    let inbox = ben.client.get(&format!("/o/{}/approvals?sel={id}", ben.org)).await;
    assert!(inbox.status.0.is_success(), "{}", inbox.text());
    Person::done(&ben.sends::<Approve>(&yes).await);
    let done = office.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("worth it")));
    assert_eq!(desk.fake.calls().len(), before + 1);
    let (_, after, reserved) = desk.budget().await;
    assert_eq!(
        (after - spent, reserved),
        (done.view.usage.cost.micros(), 0),
        "beyond its limit it is counted all the same"
    );
    assert_eq!(after, desk.cost(true).await);

    // And of no key is there a trace.
    let all = dump(&desk.world).await + page.text() + inbox.text();
    let told: String = desk.fake.calls().iter().map(|call| call.body.to_string()).collect();
    for key in [KEY, OTHER_KEY, CRM_KEY] {
        assert_eq!(shows(&all, key), None);
        assert_eq!(shows(&told, key), None);
    }
}
