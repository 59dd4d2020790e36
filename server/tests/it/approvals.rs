//! Deciding: exactly once, by those who may, and taken back only while it does not act.

use std::time::Duration;

use agentflow::{
    access::{Actor, Ctx, Role},
    agents,
    approvals::{ApprovalFilter, ApprovalState, Verdict, service},
    engine::{journal::Event, state::RunState},
    kernel::{AgentId, ApiKeyId, ApprovalId, Kind, Result},
    orgs, runs,
};
use serde_json::{Value, json};

use crate::{
    office::{Office, any, start},
    world::World,
};

fn yes() -> Verdict {
    Verdict::Approve { payload: None, amount: None }
}

fn no() -> Verdict {
    Verdict::Reject { reason: "Too risky".to_owned() }
}

async fn decide(cx: &Ctx, id: ApprovalId, verdict: &Verdict) -> Result<agentflow::approvals::Approval> {
    service::decide(&cx.grant().unwrap(), id, verdict).await
}

fn proposal() -> Value {
    json!({ "title": "Refund 40 dollars", "payload": { "amount": 40, "to": "ana@example.com" }, "impact": "One customer" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_people_decide_and_one_wins() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal()).await;
    world.work();
    let mut people = Vec::new();
    for number in 0..32 {
        people.push(acme.member(&world, &format!("Person {number}"), Role::Member).await);
    }
    for round in 0..12 {
        let run = acme.start(workflow, json!({ "title": format!("Round {round}") })).await;
        let id = acme.asked(run).await.id;
        let decisions = people.iter().enumerate().map(|(place, cx)| async move {
            // Half say yes, half say no, all at the same moment.
            decide(cx, id, &if place % 2 == 0 { yes() } else { no() }).await
        });
        let outcomes = futures::future::join_all(decisions).await;
        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let winner = winners[0].decision.clone().unwrap();
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(error.code, "approvals.already_decided", "{}", error.message);
            assert!(error.message.starts_with(&winner.by_name), "{} names {}", error.message, winner.by_name);
        }
        let approved = winners[0].state == ApprovalState::Approved;
        let wanted = if approved { RunState::Succeeded } else { RunState::Failed };
        let ended = acme.until(run, wanted).await;
        if approved {
            assert_eq!(ended.output, Some(json!({ "did": { "amount": 40, "to": "ana@example.com" } })));
        }
        let (events, _) = runs::service::events(&acme.owner.grant().unwrap(), run, 0, 1_000).await.unwrap();
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|stored| wanted(&stored.event)).count();
        let decided = count(|event| matches!(event, Event::ApprovalDecided { .. }));
        let acted = count(|event| match event {
            Event::StepSucceeded { step, .. } | Event::StepFailed { step, .. } => step.id.as_str() == "ask",
            _ => false,
        });
        let ended = count(|event| matches!(event, Event::RunSucceeded | Event::RunFailed { .. }));
        assert_eq!((decided, acted, ended), (1, 1, 1), "decided once, and the run went on once");
    }
}

#[tokio::test]
async fn a_reversible_decision_acts_when_its_window_ends_and_not_after_an_undo() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut reversible = proposal();
    reversible["reversible"] = json!(true);
    let workflow = acme.asking("Label", reversible).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Undo me" })).await;
    let id = acme.asked(run).await.id;
    let ben = acme.member(&world, "Ben", Role::Admin).await;

    let decided = decide(&acme.owner, id, &yes()).await.unwrap();
    let decision = decided.decision.unwrap();
    assert!(decision.can_undo);
    assert_eq!((decision.effective_at - decision.at).num_seconds(), 5);
    let seen = service::find(&ben.grant().unwrap(), id).await.unwrap();
    assert!(!seen.decision.unwrap().can_undo, "somebody else's decision");
    let error = service::undo(&ben.grant().unwrap(), id).await.unwrap_err();
    assert_eq!(error.code, "approvals.not_yours");

    let reopened = service::undo(&acme.owner.grant().unwrap(), id).await.unwrap();
    assert_eq!((reopened.state, reopened.decision), (ApprovalState::Pending, None));
    assert_eq!(service::pending_count(&ben.grant().unwrap()).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(5_600)).await;
    assert_eq!(acme.run(run).await.view.state, RunState::Waiting, "what was taken back never acts");

    let decided = decide(&acme.owner, id, &yes()).await.unwrap().decision.unwrap();
    let ended = acme.until(run, RunState::Succeeded).await;
    assert!(ended.view.finished_at.unwrap() >= decided.effective_at, "it acted before its window ended");
    let error = service::undo(&acme.owner.grant().unwrap(), id).await.unwrap_err();
    assert_eq!(error.code, "approvals.too_late");
}

#[tokio::test]
async fn an_undo_and_the_end_of_its_window_never_both_happen() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut reversible = proposal();
    reversible["reversible"] = json!(true);
    let workflow = acme.asking("Label", reversible).await;
    world.work();
    let mut races = Vec::new();
    for round in 0..8_u64 {
        let run = acme.start(workflow, json!({ "title": "Race" })).await;
        let id = acme.asked(run).await.id;
        decide(&acme.owner, id, &yes()).await.unwrap();
        // Around the moment at which it begins to act.
        let owner = acme.owner.clone();
        races.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(4_960 + round * 10)).await;
            (run, service::undo(&owner.grant().unwrap(), id).await.is_ok())
        }));
    }
    for race in races {
        let (run, undone) = race.await.unwrap();
        if undone {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(acme.run(run).await.view.state, RunState::Waiting, "undone, and yet it acted");
        } else {
            acme.until(run, RunState::Succeeded).await;
        }
    }
}

#[tokio::test]
async fn the_same_decision_twice_is_one_and_another_one_is_told_who_was_first() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Twice" })).await;
    let id = acme.asked(run).await.id;
    let first = decide(&acme.owner, id, &no()).await.unwrap();
    let second = decide(&acme.owner, id, &no()).await.unwrap();
    assert_eq!(first.decision.unwrap().at, second.decision.unwrap().at, "a double click is one decision");
    let error = decide(&acme.owner, id, &yes()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Conflict, "approvals.already_decided"));
    assert!(error.message.starts_with("Ana rejected this at "), "{}", error.message);
}

#[tokio::test]
async fn only_those_who_may_decide_do() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut for_admins = proposal();
    for_admins["role"] = json!("admin");
    let workflow = acme.asking("For admins", for_admins).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Roles" })).await;
    let id = acme.asked(run).await.id;
    let member = acme.member(&world, "Mia", Role::Member).await;
    let viewer = acme.member(&world, "Vic", Role::Viewer).await;
    for cx in [&member, &viewer] {
        let seen = service::find(&cx.grant().unwrap(), id).await.unwrap();
        assert!(!seen.may_decide);
        assert_eq!(service::pending_count(&cx.grant().unwrap()).await.unwrap(), 0);
        let error = decide(cx, id, &yes()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden);
        assert!(error.message.contains("Ana"), "says who can: {}", error.message);
    }
    let mine = ApprovalFilter { mine: true, ..ApprovalFilter::default() };
    let listed = async |cx: &Ctx| service::list(&cx.grant().unwrap(), &mine, None, 10).await.unwrap().items.len();
    assert_eq!((listed(&member).await, listed(&acme.owner).await), (0, 1));

    decide(&acme.owner, id, &yes()).await.unwrap();
    acme.until(run, RunState::Succeeded).await;
}

#[tokio::test]
async fn another_organizations_approval_does_not_exist() {
    let world = World::new().await;
    let (acme, other) = (Office::new(&world, "Acme").await, Office::new(&world, "Other").await);
    let workflow = acme.asking("Refund", proposal()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Ours" })).await;
    let id = acme.asked(run).await.id;
    let foreign = decide(&other.owner, id, &yes()).await.unwrap_err();
    let never = decide(&other.owner, ApprovalId::new(), &yes()).await.unwrap_err();
    assert_eq!(foreign, never);
    assert_eq!(service::undo(&other.owner.grant().unwrap(), id).await.unwrap_err(), never);
    assert_eq!(service::find(&other.owner.grant().unwrap(), id).await.unwrap_err(), never);
}

#[tokio::test]
async fn edits_are_checked_and_what_was_approved_is_what_happens() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Edited" })).await;
    let id = acme.asked(run).await.id;
    let wrong = Verdict::Approve { payload: Some(json!({ "amount": "a lot", "to": "ana@example.com" })), amount: None };
    let error = decide(&acme.owner, id, &wrong).await.unwrap_err();
    assert_eq!(error.fields[0].field, "payload.amount");
    for verdict in [Verdict::Reject { reason: " ".to_owned() }, Verdict::Answer { text: "yes".to_owned() }] {
        assert_eq!(decide(&acme.owner, id, &verdict).await.unwrap_err().kind, Kind::Invalid);
    }
    let edited = json!({ "amount": 25, "to": "ana@example.com" });
    let decided =
        decide(&acme.owner, id, &Verdict::Approve { payload: Some(edited.clone()), amount: None }).await.unwrap();
    assert_eq!(decided.decision.unwrap().edited_payload, Some(edited.clone()));
    assert_eq!(acme.until(run, RunState::Succeeded).await.output, Some(json!({ "did": edited })));
}

#[tokio::test]
async fn after_the_deadline_nobody_decides() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Short", proposal()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Late" })).await;
    let id = acme.asked(run).await.id;
    // The deadline has passed, and the run has not noticed yet.
    sqlx::query("update approvals set expires_at = now() where id = $1")
        .bind(id)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let error = decide(&acme.owner, id, &yes()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Conflict, "approvals.expired"));
    assert_eq!(service::find(&acme.owner.grant().unwrap(), id).await.unwrap().state, ApprovalState::Pending);
}

#[tokio::test]
async fn a_run_that_is_stopped_takes_its_question_back() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Stopped" })).await;
    let id = acme.asked(run).await.id;
    runs::control::cancel(&acme.owner.grant().unwrap(), run).await.unwrap();
    acme.until(run, RunState::Cancelled).await;
    assert_eq!(service::pending_count(&acme.owner.grant().unwrap()).await.unwrap(), 0);
    assert_eq!(decide(&acme.owner, id, &yes()).await.unwrap_err().kind, Kind::Conflict);
}

#[tokio::test]
async fn a_program_decides_at_once() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut reversible = proposal();
    reversible["reversible"] = json!(true);
    let workflow = acme.asking("Label", reversible).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "By a program" })).await;
    let id = acme.asked(run).await.id;
    let program = acme.acting(Actor::Key { id: ApiKeyId::new(), name: "Robot".to_owned() }, Role::Member);
    let decision = decide(&program, id, &yes()).await.unwrap().decision.unwrap();
    assert_eq!((decision.by_name.as_str(), decision.effective_at), ("Robot", decision.at));
    acme.until(run, RunState::Succeeded).await;
}

#[tokio::test]
async fn two_keys_of_one_name_are_two_programs() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Label", proposal()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "By a program" })).await;
    let id = acme.asked(run).await.id;
    let robot = || acme.acting(Actor::Key { id: ApiKeyId::new(), name: "Robot".to_owned() }, Role::Member);
    let (first, second) = (robot(), robot());
    decide(&first, id, &yes()).await.unwrap();
    assert_eq!(decide(&first, id, &yes()).await.unwrap().state, ApprovalState::Approved, "a repeated request");
    assert_eq!(decide(&second, id, &yes()).await.unwrap_err().code, "approvals.already_decided");
}

fn payment() -> Value {
    json!({
        "title": "Pay the invoice", "payload": { "to": "Nordlicht" }, "amount": "{{ input.amount }}", "currency": "EUR",
        "why": "The goods have come.", "confidence": "{{ 0.5 + 0.4 }}",
    })
}

#[tokio::test]
async fn above_the_organizations_limit_the_amount_is_typed() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Pay", payment()).await;
    world.work();
    let pay = async |amount: f64| {
        let run = acme.start(workflow, json!({ "title": "Pay", "amount": amount })).await;
        acme.asked(run).await
    };
    let typed = |amount: &str| Verdict::Approve { payload: None, amount: Some(amount.to_owned()) };

    let small = pay(1_000.0).await;
    let details = &small.details;
    assert_eq!((details.why.as_str(), details.confidence), ("The goods have come.", Some(0.9)));
    assert!(!small.types_amount, "the limit itself is not above it");
    decide(&acme.owner, small.id, &yes()).await.unwrap();

    let large = pay(1_840.5).await;
    assert!(large.types_amount);
    for verdict in [yes(), typed(""), typed("1840"), typed("1.840,50")] {
        let error = decide(&acme.owner, large.id, &verdict).await.unwrap_err();
        assert_eq!((error.kind, error.fields[0].field.as_str()), (Kind::Invalid, "amount"));
        assert_eq!(error.fields[0].message, "Enter the amount, 1,840.50 EUR, to approve this.");
    }
    assert_eq!(service::find(&acme.owner.grant().unwrap(), large.id).await.unwrap().state, ApprovalState::Pending);
    // A program types it as well.
    let program = acme.acting(Actor::Key { id: ApiKeyId::new(), name: "Robot".to_owned() }, Role::Member);
    assert_eq!(decide(&program, large.id, &yes()).await.unwrap_err().kind, Kind::Invalid);
    decide(&program, large.id, &typed("1,840.50")).await.unwrap();
    acme.until(large.run_id, RunState::Succeeded).await;
    // No needs no amount.
    decide(&acme.owner, pay(5_000.0).await.id, &no()).await.unwrap();

    // The limit is the organization's, and of those who may set it.
    let member = acme.member(&world, "Mia", Role::Member).await;
    assert!(member.grant::<agentflow::access::right::Deploy>().is_err());
    let grant = acme.owner.grant().unwrap();
    assert_eq!(orgs::service::update_settings(&grant, "a lot").await.unwrap_err().fields[0].field, "typed_amount");
    orgs::service::update_settings(&grant, "20,000.00").await.unwrap();
    let allowed = pay(1_840.5).await;
    assert!(!allowed.types_amount);
    decide(&acme.owner, allowed.id, &yes()).await.unwrap();
}

#[tokio::test]
async fn an_amount_that_is_none_fails_the_step_in_words() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Pay", payment()).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Pay", "amount": "a lot" })).await;
    let failed = acme.until(run, RunState::Failed).await;
    let error = failed.detail.view.error.unwrap();
    assert_eq!(error.code, "approval.details");
    assert_eq!(error.message, "The amount must be a number from 0 on, and is \"a lot\".");
}

fn ask_again(text: &str) -> Verdict {
    Verdict::RequestChanges { text: text.to_owned() }
}

#[tokio::test]
async fn changes_go_where_the_workflow_takes_them_and_are_asked_for_nowhere_else() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let plain = acme.asking("Plain", proposal()).await;
    let nodes = json!([
        start(),
        { "id": "first", "kind": "approval", "after": ["start"], "title": "Send?", "payload": "Dear all" },
        { "id": "again", "kind": "transform", "after": ["first.changes"],
          "value": "{{ steps.first.output.payload + ', ' + steps.first.output.reason }}" },
        { "id": "second", "kind": "approval", "after": ["again"], "title": "Send this?",
          "payload": "{{ steps.again.output }}" },
        { "id": "sent", "kind": "end", "after": ["first", "second"],
          "output": "{{ (steps.second?.output ?? steps.first.output).payload }}" },
    ]);
    let workflow = acme.workflow("Letter", any(), nodes).await;
    world.work();

    let run = acme.start(plain, json!({ "title": "Plain" })).await;
    let asked = acme.asked(run).await;
    assert!(!asked.details.takes_changes);
    assert_eq!(decide(&acme.owner, asked.id, &ask_again("Shorter")).await.unwrap_err().kind, Kind::Invalid);

    let run = acme.start(workflow, json!({ "title": "Letter" })).await;
    let asked = acme.asked(run).await;
    assert!(asked.details.takes_changes);
    assert_eq!(decide(&acme.owner, asked.id, &ask_again(" ")).await.unwrap_err().fields[0].field, "text");
    let decided = decide(&acme.owner, asked.id, &ask_again("greet them by name")).await.unwrap();
    assert_eq!(decided.state, ApprovalState::ChangesRequested);
    assert_eq!(decide(&acme.owner, asked.id, &ask_again("greet them by name")).await.unwrap().state, decided.state);
    let late = decide(&acme.owner, asked.id, &yes()).await.unwrap_err();
    assert!(late.message.starts_with("Ana asked for changes to this at"), "{}", late.message);
    let second = acme.asked(run).await;
    assert_eq!(second.payload, json!("Dear all, greet them by name"));
    decide(&acme.owner, second.id, &yes()).await.unwrap();
    let ended = acme.until(run, RunState::Succeeded).await;
    assert_eq!(ended.output, Some(json!("Dear all, greet them by name")));

    // A yes at once passes the rest over.
    let run = acme.start(workflow, json!({ "title": "Letter" })).await;
    decide(&acme.owner, acme.asked(run).await.id, &yes()).await.unwrap();
    assert_eq!(acme.until(run, RunState::Succeeded).await.output, Some(json!("Dear all")));
}

#[tokio::test]
async fn an_agent_whose_call_is_sent_back_reads_why() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let config = serde_json::from_value(json!({
        "name": "Writer", "role": "writes", "instructions": "You write.", "model": "sandbox/sandbox",
        "tools": { "email_send": "needs_approval" }, "limits": {},
    }));
    agents::service::create(&acme.owner.grant().unwrap(), config.unwrap()).await.unwrap();
    let prompt = "Send an e-mail to ana@example.com with the subject “the fair” and the text “We come at nine.”";
    let nodes = json!([
        start(),
        { "id": "write", "kind": "agent", "agent": "writer", "prompt": prompt, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["write"], "output": "{{ steps.write.output }}" },
    ]);
    let workflow = acme.workflow("Mail", any(), nodes).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Mail" })).await;
    let asked = acme.asked(run).await;
    assert!(asked.details.takes_changes);
    // It is found as the agent's, whatever that is named since, and as nobody else's.
    let mut tx = world.deps().db.tenant(acme.owner.org_id()).await.unwrap();
    let writer: AgentId = sqlx::query_scalar("update agents set name = 'Scribe' where key = 'writer' returning id")
        .fetch_one(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for (agent, expected) in [(writer, vec![asked.id]), (AgentId::new(), Vec::new())] {
        let filter = ApprovalFilter { agent: Some(agent), ..ApprovalFilter::default() };
        let rows = service::rows(&acme.owner.grant().unwrap(), &filter, None, 10).await.unwrap();
        assert_eq!(rows.items.into_iter().map(|row| row.id).collect::<Vec<_>>(), expected);
    }
    decide(&acme.owner, asked.id, &ask_again("Ask Ben first")).await.unwrap();
    let ended = acme.until(run, RunState::Succeeded).await;
    let call = ended.view.steps.iter().find(|step| step.id == asked.step_id).unwrap();
    assert_eq!(call.error.as_ref().unwrap().message, "Ana did not let this pass, and asks for changes: Ask Ben first");
    let sent: i64 =
        sqlx::query_scalar("select count(*) from emails").fetch_one(&mut world.owner().await).await.unwrap();
    assert_eq!(sent, 0, "nothing was sent");
}
