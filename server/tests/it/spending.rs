//! Budgets of the organization: reserved before a call, counted after it, by all processes together.

use std::time::Duration;

use agentflow::{
    access::Role,
    accounts::sessions::{Limits, Sessions},
    approvals::{self, ApprovalFilter},
    budgets::{self, Admission, Budgets, Reservation},
    db::Db,
    engine::{
        port::CallScope,
        state::{ErrorClass, RunState, StepError, StepId},
    },
    housekeeping::Sweep,
    jobs::Chore,
    kernel::{BudgetId, Kind, Money, OrgId, RunId},
    notices::Notices,
    runs,
};
use app::budgets::api::{ChangeBudget, CreateBudget, LoadBudgets, RemoveBudget};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_oneof},
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use server::{State, workers};
use sqlx::PgConnection;

use crate::{
    fake_model::FakeModel,
    models,
    office::{Office, start},
    people::Person,
    world::World,
};

pub async fn with_fake() -> (World, FakeModel) {
    let fake = FakeModel::start().await;
    let url = fake.base_url();
    let world = World::with(&[("OPENAI_API_KEY", "key-of-the-test"), ("OPENAI_BASE_URL", &url)]).await;
    world.work();
    (world, fake)
}

fn agents() -> Value {
    json!({ "writer": { "name": "Writer", "role": "r", "instructions": "Write.", "model": "openai/gpt-4o" } })
}

/// A workflow of one agent's task.
pub fn one(prompt: &str, more: Value) -> Value {
    let mut node = json!({ "id": "write", "kind": "agent", "agent": "writer", "prompt": prompt, "after": ["start"] });
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([start(), node, { "id": "end", "kind": "end", "after": ["write"], "output": "{{ steps.write.output }}" }])
}

pub async fn budget(office: &Office, subject: &str, period: &str, limit: &str) -> BudgetId {
    budgets::service::create(&office.owner.grant().unwrap(), subject, period, limit).await.unwrap()
}

/// What is spent and reserved in a budget, over all of its accounts.
async fn stands(owner: &mut PgConnection, id: BudgetId) -> (i64, i64) {
    sqlx::query_as(
        "select coalesce(sum(spent_micros), 0)::bigint, coalesce(sum(reserved_micros), 0)::bigint
         from budget_accounts where budget_id = $1",
    )
    .bind(id)
    .fetch_one(owner)
    .await
    .unwrap()
}

/// Waits until a budget stands so: what is given back by somebody who was dropped is given back a moment later.
pub async fn until_it_stands(owner: &mut PgConnection, id: BudgetId, wanted: (i64, i64)) {
    for _ in 0..200 {
        if stands(owner, id).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(stands(owner, id).await, wanted);
}

/// A call of a run, as the port sees it.
fn scope(org: OrgId, run: RunId, step: &str) -> CallScope {
    CallScope { org, run, step: StepId::root(step), ..models::scope() }
}

async fn held(budgets: &Budgets, scope: &CallScope, most: i64) -> Reservation {
    match budgets.reserve(scope, Money(most)).await {
        Ok(Admission::Held(reservation)) => reservation,
        Ok(Admission::Free) => panic!("no budget applies"),
        Ok(Admission::Later(later)) => panic!("{later:?}"),
        Err(error) => panic!("{}", error.message),
    }
}

async fn refused(budgets: &Budgets, scope: &CallScope, most: i64) -> StepError {
    match budgets.reserve(scope, Money(most)).await {
        Err(error) => error,
        Ok(_) => panic!("it was let out"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_calls_at_once_exactly_those_go_out_that_fit_whatever_becomes_of_them() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let (org, mut owner) = (acme.owner.org_id(), world.owner().await);
    let id = budget(&acme, "organization", "month", "1").await;
    let mut performers = Vec::new();
    for _ in 0..3 {
        performers.push(Budgets::new(Db::connect(world.database_url(), 4).await.unwrap()));
    }
    for round in 0..20_i64 {
        let room = round % 7 + 1;
        sqlx::query("delete from budget_accounts").execute(&mut owner).await.unwrap();
        // Nine more than so many calls of ten: one less than one more.
        let limit = format!("0.0000{:02}", room * 10 + 9);
        budgets::service::change(&acme.owner.grant().unwrap(), id, &limit, true).await.unwrap();
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                let budgets = performers[number % performers.len()].clone();
                tokio::spawn(async move { budgets.reserve(&scope(org, RunId::new(), "write"), Money(10)).await })
            })
            .collect();
        let mut open = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(Admission::Held(reservation)) => open.push(reservation),
                Ok(Admission::Later(_)) => {}
                Ok(Admission::Free) => panic!("the budget applies"),
                Err(error) => panic!("nothing is spent yet: {}", error.message),
            }
        }
        assert_eq!(open.len() as i64, room, "round {round}");
        assert_eq!(stands(&mut owner, id).await, (0, room * 10));
        // One process is killed, one call is stopped, the others are answered.
        let mut open = open.into_iter();
        open.next().unwrap().abandon();
        drop(open.next());
        let settled: Vec<_> = open.map(|one| tokio::spawn(one.settle(Money(7)))).collect();
        let spent = settled.len() as i64 * 7;
        for one in settled {
            one.await.unwrap();
        }
        until_it_stands(&mut owner, id, (spent, 10)).await;
        // What the killed one held is given back once it has expired, by whoever comes next.
        let expire = "update budget_reservations set expires_at = now() - interval '1 second'";
        sqlx::query(expire).execute(&mut owner).await.unwrap();
        let next = held(&performers[0], &scope(org, RunId::new(), "write"), 9).await;
        assert_eq!(stands(&mut owner, id).await, (spent, 9));
        next.settle(Money(1)).await;
        assert_eq!(stands(&mut owner, id).await, (spent + 1, 0));
    }
}

/// What becomes of a call that went out.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered(i64),
    Stopped,
    Killed,
}

/// Calls at once on several processes, wave after wave: at no time is more spent and reserved than the limit, and in the end
/// exactly that is spent which was answered, and that reserved which the killed ones held.
async fn mixed(world: &World, acme: &Office, id: BudgetId, performers: &[Budgets], case: (i64, Vec<Vec<(i64, Fate)>>)) {
    let (limit, waves) = case;
    let (org, mut owner) = (acme.owner.org_id(), world.owner().await);
    for table in ["budget_reservations", "budget_accounts"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}"))).execute(&mut owner).await.unwrap();
    }
    let grant = acme.owner.grant().unwrap();
    budgets::service::change(&grant, id, &format!("0.{limit:06}"), true).await.unwrap();
    let (mut spent, mut kept) = (0, 0);
    for wave in waves {
        let calls: Vec<_> = wave
            .into_iter()
            .enumerate()
            .map(|(number, (most, fate))| {
                let budgets = performers[number % performers.len()].clone();
                tokio::spawn(async move {
                    let Ok(Admission::Held(held)) =
                        budgets.reserve(&scope(org, RunId::new(), "write"), Money(most)).await
                    else {
                        return (0, 0);
                    };
                    match fate {
                        Fate::Answered(used) => {
                            held.settle(Money(used.min(most))).await;
                            (used.min(most), 0)
                        }
                        Fate::Stopped => (0, 0),
                        Fate::Killed => {
                            held.abandon();
                            (0, most)
                        }
                    }
                })
            })
            .collect();
        while calls.iter().any(|call| !call.is_finished()) {
            let (spent, reserved) = stands(&mut owner, id).await;
            assert!(spent + reserved <= limit, "{spent} and {reserved} of {limit}");
        }
        for call in calls {
            let (used, held) = call.await.unwrap();
            (spent, kept) = (spent + used, kept + held);
        }
        until_it_stands(&mut owner, id, (spent, kept)).await;
        assert!(spent + kept <= limit, "{spent} and {kept} of {limit}");
    }
}

#[test]
fn no_mixture_of_calls_at_once_passes_a_budget_or_is_counted_wrongly() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, acme, id, performers) = runtime.block_on(async {
        let world = World::new().await;
        let acme = Office::new(&world, "Acme").await;
        let id = budget(&acme, "organization", "month", "1").await;
        let mut performers = Vec::new();
        for _ in 0..3 {
            performers.push(Budgets::new(Db::connect(world.database_url(), 4).await.unwrap()));
        }
        (world, acme, id, performers)
    });
    let fate =
        prop_oneof![3 => (0_i64..=60).prop_map(Fate::Answered), 1 => Just(Fate::Stopped), 1 => Just(Fate::Killed)];
    let waves = vec(vec((1_i64..=60, fate), 1..16), 1..4);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(40_i64..=400, waves), |case| {
            runtime.block_on(mixed(&world, &acme, id, &performers, case));
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn another_attempt_takes_the_place_of_the_one_before_and_a_late_answer_is_counted_once() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let (mut owner, run) = (world.owner().await, RunId::new());
    let id = budget(&acme, "organization", "day", "0.0001").await;
    let budgets = Budgets::new(world.deps().db.clone());
    let first = scope(acme.owner.org_id(), run, "write");
    let second = CallScope { attempt: 2, fence: 8, ..first.clone() };
    let late = held(&budgets, &first, 60).await;
    // Its process is gone; the next owner makes the call again.
    let again = held(&budgets, &second, 60).await;
    assert_eq!(stands(&mut owner, id).await, (0, 60));
    // It was not gone, only slow: what it spent is spent.
    late.settle(Money(20)).await;
    assert_eq!(stands(&mut owner, id).await, (20, 60));
    again.settle(Money(30)).await;
    assert_eq!(stands(&mut owner, id).await, (50, 0));
    // A budget that is removed meanwhile keeps nobody.
    let last = held(&budgets, &CallScope { attempt: 3, ..first }, 10).await;
    budgets::service::remove(&acme.owner.grant().unwrap(), id).await.unwrap();
    last.settle(Money(10)).await;
    assert!(matches!(budgets.reserve(&second, Money(10)).await, Ok(Admission::Free)));
}

#[tokio::test]
async fn each_call_each_run_and_each_agent_has_its_own_account() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let beta = Office::new(&world, "Beta").await;
    acme.with_agents("One", one("x", json!({})), agents()).await;
    let mut owner = world.owner().await;
    let (org, budgets) = (acme.owner.org_id(), Budgets::new(world.deps().db.clone()));
    budget(&acme, "call", "", "0.0002").await;
    budget(&acme, "run", "", "0.00025").await;
    let writers = budget(&acme, "agent:writer", "total", "1").await;
    let (one, other) = (RunId::new(), RunId::new());
    let error = refused(&budgets, &scope(org, one, "a"), 201).await;
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Budget, "budget.spent"));
    assert!(error.message.starts_with("One call may cost"), "{}", error.message);
    held(&budgets, &scope(org, one, "a"), 200).await.settle(Money(100)).await;
    let error = refused(&budgets, &scope(org, one, "b"), 151).await;
    assert!(error.message.starts_with("One run may cost"), "{}", error.message);
    let beyond = CallScope { beyond_budget: true, ..scope(org, one, "b") };
    held(&budgets, &beyond, 151).await.settle(Money(151)).await;
    held(&budgets, &scope(org, other, "a"), 151).await.settle(Money(1)).await;
    assert_eq!(stands(&mut owner, writers).await, (0, 0), "they were nobody's calls");
    let writer = CallScope { agent: Some("writer".to_owned()), ..scope(org, other, "b") };
    held(&budgets, &writer, 20).await.settle(Money(20)).await;
    assert_eq!(stands(&mut owner, writers).await, (20, 0));
    let theirs = budgets.reserve(&scope(beta.owner.org_id(), one, "a"), Money(1_000)).await;
    assert!(matches!(theirs, Ok(Admission::Free)), "another organization's calls are nobody else's");
    // One that is switched off counts and refuses nothing.
    budgets::service::change(&acme.owner.grant().unwrap(), writers, "0.00001", false).await.unwrap();
    held(&budgets, &CallScope { step: StepId::root("c"), ..writer }, 20).await.settle(Money(20)).await;
    assert_eq!(stands(&mut owner, writers).await, (40, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_finds_the_days_budget_spent_waits_for_an_admin_and_goes_on_after_a_yes() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let beta = Office::new(&world, "Beta").await;
    let mut owner = world.owner().await;
    // An answer may cost more than eight cents.
    let id = budget(&acme, "organization", "day", "0.05").await;
    // Whatever the node says of errors.
    let workflow = acme.with_agents("One", one("say: hello", json!({ "on_error": "continue" })), agents()).await;
    let run = acme.start(workflow, json!({})).await;
    let asked = acme.asked(run).await;
    assert_eq!(fake.calls().len(), 0, "not a cent was spent");
    assert!(asked.message.contains("$0.00 of $0.05 is spent"), "{}", asked.message);
    assert!(asked.title.contains("has no budget left"), "{}", asked.title);
    let step = acme.run(run).await.detail.view.steps.into_iter().find(|step| step.id.as_str() == "write").unwrap();
    assert_eq!(step.error.unwrap().code, "budget.spent");
    let near = budgets::service::list(&acme.owner.grant().unwrap()).await.unwrap();
    assert!(near[0].is_near() && near[0].refused);

    let decide = format!("/api/v1/approvals/{}/decide", asked.id);
    let mut member = world.program(&acme.key(Role::Member).await);
    let reply = member.post_json(&decide, &json!({ "decision": "approve" })).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    let mut admin = world.program(&acme.key(Role::Admin).await);
    let reply = admin.post_json(&decide, &json!({ "decision": "approve" })).await;
    assert!(reply.status.0.is_success(), "{}", reply.text());
    let done = acme.until(run, RunState::Succeeded).await;
    assert_eq!(done.output, Some(json!("hello")));
    assert_eq!(fake.calls().len(), 1);
    let answer = &fake.calls()[0].body;
    assert!(answer["max_tokens"] == 8_192 || answer["max_completion_tokens"] == 8_192, "{answer}");
    let cost = done.view.usage.cost.micros();
    assert!(cost > 0);
    assert_eq!(stands(&mut owner, id).await, (cost, 0), "beyond the budget it is counted all the same");

    // A no is a no, and what others spend is not ours.
    let plain = acme.with_agents("Two", one("say: hello", json!({})), json!({})).await;
    let run = acme.start(plain, json!({})).await;
    let asked = acme.asked(run).await;
    let reply = admin
        .post_json(
            &format!("/api/v1/approvals/{}/decide", asked.id),
            &json!({ "decision": "reject", "reason": "Not today." }),
        )
        .await;
    assert!(reply.status.0.is_success(), "{}", reply.text());
    let failed = acme.until(run, RunState::Failed).await;
    assert_eq!(failed.detail.view.error.unwrap().class, ErrorClass::Budget);
    let theirs = beta.with_agents("One", one("say: hello", json!({})), agents()).await;
    let run = beta.start(theirs, json!({})).await;
    beta.until(run, RunState::Succeeded).await;
    assert_eq!(stands(&mut owner, id).await, (cost, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_budgets_have_counted_is_what_the_steps_cost_to_a_millionth_over_two_processes() {
    let (world, fake) = with_fake().await;
    let db = Db::connect(world.database_url(), 4).await.unwrap();
    let other = State::new((*world.state.config).clone(), db, world.state.stop.clone()).await.unwrap();
    workers::spawn(&other, workers::Role::Worker, &world.state.stop);
    let acme = Office::new(&world, "Acme").await;
    let mut owner = world.owner().await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ [1, 2, 3] }}", "concurrency": 3, "after": ["start"],
          "nodes": [{ "id": "write", "kind": "agent", "agent": "writer", "prompt": "say: {{ 'word '.repeat(item * 9) }}" }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.with_agents("Many", nodes, agents()).await;
    // Two calls have room at a time: the others wait for those, and nobody is asked.
    let mut ids = vec![budget(&acme, "organization", "day", "0.20").await];
    for (subject, period) in
        [("organization", "month"), ("agent:writer", "day"), (format!("workflow:{workflow}").as_str(), "total")]
    {
        ids.push(budget(&acme, subject, period, "100").await);
    }
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(acme.start(workflow, json!({})).await);
    }
    for run in runs {
        acme.until(run, RunState::Succeeded).await;
    }
    assert_eq!(fake.calls().len(), 9);
    let cost: i64 = sqlx::query_scalar("select sum(cost_micros)::bigint from steps where kind = 'model'")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert!(cost > 0);
    for id in ids {
        assert_eq!(stands(&mut owner, id).await, (cost, 0));
    }
    let left: i64 = sqlx::query_scalar("select count(*) from budget_reservations").fetch_one(&mut owner).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_gives_back_what_was_reserved() {
    let (world, fake) = with_fake().await;
    let acme = Office::new(&world, "Acme").await;
    let mut owner = world.owner().await;
    let id = budget(&acme, "organization", "day", "1").await;
    let workflow = acme.with_agents("One", one("hang", json!({})), agents()).await;
    let run = acme.start(workflow, json!({})).await;
    while fake.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (spent, reserved) = stands(&mut owner, id).await;
    assert!(spent == 0 && reserved > 80_000, "{reserved}");
    let shown = budgets::service::list(&acme.owner.grant().unwrap()).await.unwrap();
    assert_eq!(shown[0].standing.reserved, Money(reserved));
    runs::control::cancel(&acme.owner.grant().unwrap(), run).await.unwrap();
    acme.until(run, RunState::Cancelled).await;
    until_it_stands(&mut owner, id, (0, 0)).await;
    let open = approvals::service::list(&acme.owner.grant().unwrap(), &ApprovalFilter::default(), None, 10).await;
    assert!(open.unwrap().items.is_empty());
}

#[tokio::test]
async fn admins_are_told_once_at_half_at_four_fifths_and_at_the_end() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    Office::new(&world, "Other").await;
    for (name, role) in [("Ben", Role::Admin), ("Mia", Role::Member), ("Vic", Role::Viewer)] {
        acme.member(&world, name, role).await;
    }
    let (org, budgets) = (acme.owner.org_id(), Budgets::new(world.deps().db.clone()));
    let id = budget(&acme, "organization", "month", "1").await;
    let notices = Notices { minutes: 10, public_url: "https://flows.example.com/".parse().unwrap() };
    let mut owner = world.owner().await;
    let mut told = Vec::new();
    for (number, cost) in [490_000, 10_000, 310_000, 100_000].into_iter().enumerate() {
        held(&budgets, &scope(org, RunId::new(), &format!("s{number}")), cost).await.settle(Money(cost)).await;
        for _ in 0..2 {
            notices.run(world.deps()).await.unwrap();
        }
        let letters: Vec<(String, String)> =
            sqlx::query_as("select subject, body from emails order by created_at, recipients")
                .fetch_all(&mut owner)
                .await
                .unwrap();
        told.push(letters.len());
        if let Some((subject, body)) = letters.last() {
            assert!(subject.contains("of a budget spent: Whole organization, per month"), "{subject}");
            assert!(body.contains("https://flows.example.com/o/acme/settings/budgets\n"), "{body}");
        }
    }
    assert_eq!(told, [0, 2, 4, 4], "at 49, 50, 81 and 91 %: to Ana and Ben, once each");
    refused(&budgets, &scope(org, RunId::new(), "last"), 90_001).await;
    for _ in 0..2 {
        notices.run(world.deps()).await.unwrap();
    }
    let last: Vec<(String, String)> =
        sqlx::query_as("select recipients[1], body from emails where subject like 'Budget used up%'")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(last.len(), 2);
    assert!(last.iter().all(|(_, body)| body.contains("$0.91 of $1.00 is spent.")), "{last:?}");
    // With another limit what still holds is not told anew.
    budgets::service::change(&acme.owner.grant().unwrap(), id, "1.10", true).await.unwrap();
    notices.run(world.deps()).await.unwrap();
    let all: i64 = sqlx::query_scalar("select count(*) from emails").fetch_one(&mut owner).await.unwrap();
    assert_eq!(all, 6);
}

#[tokio::test]
async fn admins_set_budgets_by_forms_and_all_others_only_see_them() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let wish = [("subject", "organization"), ("period", "day"), ("limit", "$1,000")];
    Person::done(&ada.sends::<CreateBudget>(&wish).await);
    let twice = ada.sends::<CreateBudget>(&wish).await;
    assert_eq!((twice.status.0.as_u16(), twice.json()["code"].as_str()), (409, Some("budgets.exists")));
    for (field, value) in [
        ("subject", "team"),
        ("subject", "agent:nobody"),
        ("subject", "workflow:wf_01jd0000000000000000000000"),
        ("period", "each"),
        ("period", "week"),
        ("limit", "-1"),
        ("limit", "0"),
        ("limit", "1e30"),
    ] {
        let odd = wish.map(|(name, usual)| (name, if name == field { value } else { usual }));
        let reply = ada.sends::<CreateBudget>(&odd).await;
        assert_eq!(
            (reply.status.0.as_u16(), reply.json()["fields"][0]["field"].as_str()),
            (422, Some(field)),
            "{value}"
        );
    }
    Person::done(&ada.sends::<CreateBudget>(&[("subject", "call"), ("limit", "0.10")]).await);
    let page = ada.client.get(&format!("/o/{}/settings/budgets", ada.org)).await;
    let text = page.text();
    assert_eq!(page.status, 200);
    assert!(text.contains("Whole organization, per day") && text.contains("Each call"), "{text}");
    assert!(text.contains("$0.00 of $1,000.00, 0\u{a0}%") && text.contains("$0.10 at most"), "{text}");

    for role in [Role::Member, Role::Viewer] {
        let mut other = world.joins(&format!("{role:?}"), &ada.org, role).await;
        let page = other.client.get(&format!("/o/{}/settings/budgets", ada.org)).await;
        assert!(page.text().contains("$0.00 of $1,000.00") && !page.text().contains("Set budget"));
        let reply = other.sends::<CreateBudget>(&[("subject", "run"), ("limit", "1")]).await;
        assert_eq!(reply.status, 403);
    }
    let listed = ada.sends::<LoadBudgets>(&[]).await.json();
    let id = listed["budgets"][0]["id"].as_str().unwrap().to_owned();
    Person::done(&ada.sends::<ChangeBudget>(&[("budget", &id), ("limit", "5")]).await);
    let listed = ada.sends::<LoadBudgets>(&[]).await.json();
    assert_eq!(
        (&listed["budgets"][0]["enabled"], &listed["budgets"][0]["standing"]["limit"]),
        (&json!(false), &json!(5_000_000))
    );
    let mut bob = world.sign_up("Bob").await;
    assert_eq!(bob.sends::<ChangeBudget>(&[("budget", &id), ("limit", "7")]).await.status, 404);
    assert_eq!(bob.sends::<RemoveBudget>(&[("budget", &id)]).await.status, 404);
    Person::done(&ada.sends::<RemoveBudget>(&[("budget", &id)]).await);
    assert_eq!(ada.sends::<RemoveBudget>(&[("budget", &id)]).await.json()["code"], "not_found");
    assert_eq!(ada.sends::<LoadBudgets>(&[]).await.json()["budgets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn housekeeping_keeps_what_still_counts() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let (org, budgets) = (acme.owner.org_id(), Budgets::new(world.deps().db.clone()));
    let all = budget(&acme, "organization", "month", "1").await;
    budget(&acme, "run", "", "1").await;
    held(&budgets, &scope(org, RunId::new(), "a"), 10).await.abandon();
    let mut owner = world.owner().await;
    let age = "update budget_accounts set opened_at = now() - interval '390 days'";
    sqlx::query(age).execute(&mut owner).await.unwrap();
    let age = "update budget_reservations set expires_at = now() - interval '3 days'";
    sqlx::query(age).execute(&mut owner).await.unwrap();
    let sweep = Sweep { sessions: Sessions::new(world.deps().db.clone(), Limits::default()) };
    sweep.run(world.deps()).await.unwrap();
    assert_eq!(stands(&mut owner, all).await, (0, 10), "what was never given back still counts");
    let accounts: i64 = sqlx::query_scalar("select count(*) from budget_accounts").fetch_one(&mut owner).await.unwrap();
    assert_eq!(accounts, 1, "the account of a run that is not there is gone");
    // The next call gives it back.
    held(&budgets, &scope(org, RunId::new(), "b"), 5).await.settle(Money(5)).await;
    assert_eq!(stands(&mut owner, all).await, (5, 0));
    sweep.run(world.deps()).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from budget_reservations").fetch_one(&mut owner).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn there_are_no_more_budgets_than_anybody_can_oversee() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    budget(&acme, "run", "", "1").await;
    let mut owner = world.owner().await;
    let org = acme.owner.org_id();
    sqlx::query("select set_config('app.organization_id', $1::uuid::text, false)")
        .bind(org)
        .execute(&mut owner)
        .await
        .unwrap();
    for many in [
        "insert into workflows (organization_id, id, name)
         select $1, gen_random_uuid(), 'W' || n from generate_series(1, 199) as n",
        "insert into budgets (organization_id, id, subject, workflow_id, period, limit_micros)
         select $1, gen_random_uuid(), 'workflow', id, 'day', 1 from workflows where organization_id = $1",
    ] {
        sqlx::query(many).bind(org).execute(&mut owner).await.unwrap();
    }
    let grant = acme.owner.grant().unwrap();
    let error = budgets::service::create(&grant, "organization", "day", "1").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Conflict, "budgets.too_many"));
}
