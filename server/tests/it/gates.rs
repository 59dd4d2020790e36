//! Gates as people want them: named people, several who must agree, never one's own run, deadlines that hand over, and
//! edits kept as what differs.

use std::time::Duration;

use agentflow::{
    access::{Actor, Ctx, Role},
    approvals::{Approval, ApprovalFilter, ApprovalState, Verdict, service},
    engine::{
        journal::{Event, LogLevel},
        state::RunState,
    },
    kernel::{ApprovalId, Kind, Result, RunId},
    keys::service::Wish,
    runs,
};
use app::approvals::api::{Approve, ApproveEdited, UndoDecision};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{office::Office, world::World};

fn yes() -> Verdict {
    Verdict::Approve { payload: None, amount: None }
}

fn no() -> Verdict {
    Verdict::Reject { reason: "Too risky".to_owned() }
}

async fn decide(cx: &Ctx, id: ApprovalId, verdict: &Verdict) -> Result<Approval> {
    service::decide(&cx.grant().unwrap(), id, verdict).await
}

async fn seen(cx: &Ctx, id: ApprovalId) -> Approval {
    service::find(&cx.grant().unwrap(), id).await.unwrap()
}

async fn events(acme: &Office, run: RunId) -> Vec<Event> {
    let (events, _) = runs::service::events(&acme.owner.grant().unwrap(), run, 0, 1_000).await.unwrap();
    events.into_iter().map(|stored| stored.event).collect()
}

async fn lines(acme: &Office, run: RunId) -> Vec<String> {
    let line = |event| match event {
        Event::Log { level: LogLevel::Info | LogLevel::Warn, message, .. } => Some(message),
        _ => None,
    };
    events(acme, run).await.into_iter().filter_map(line).collect()
}

/// The address that somebody signs in with.
async fn address(world: &World, cx: &Ctx) -> String {
    sqlx::query_scalar("select email from users where id = $1")
        .bind(cx.actor().user().unwrap())
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

/// How many approvals somebody is shown as theirs: the list and the count say the same.
async fn mine(cx: &Ctx) -> usize {
    let filter = ApprovalFilter { mine: true, ..ApprovalFilter::default() };
    let listed = service::list(&cx.grant().unwrap(), &filter, None, 50).await.unwrap().items.len();
    assert_eq!(service::pending_count(&cx.grant().unwrap()).await.unwrap(), listed as i64);
    listed
}

/// A proposal with rules of its own.
fn refund(rules: Value) -> Value {
    let mut approval = json!({ "title": "Refund", "payload": { "amount": 40, "to": "kim@example.com" } });
    approval.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    approval
}

async fn statement(world: &World, sql: &'static str, approval: ApprovalId) {
    sqlx::query(sql).bind(approval).execute(&mut world.owner().await).await.unwrap();
}

/// Lets an approval's deadline pass, and the run notice.
async fn deadline_passes(world: &World, acme: &Office, approval: &Approval) {
    statement(world, "update approvals set expires_at = now() where id = $1", approval.id).await;
    wake(world, acme, approval).await;
}

async fn wake(world: &World, acme: &Office, approval: &Approval) {
    let sql =
        "update runs set wake_at = now() where owner is null and id in (select run_id from approvals where id = $1)";
    statement(world, sql, approval.id).await;
    acme.owner.deps().engine.committed(acme.owner.org_id(), approval.run_id);
}

#[tokio::test]
async fn named_people_decide_whatever_their_role_and_nobody_else() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", refund(json!({ "people": ["{{ input.who }}"] }))).await;
    world.work();
    let (vic, mia) = (acme.member(&world, "Vic", Role::Viewer).await, acme.member(&world, "Mia", Role::Member).await);
    let vics = address(&world, &vic).await;
    let run = acme.start(workflow, json!({ "title": "Named", "who": vics.to_uppercase() })).await;
    let id = acme.asked(run).await.id;
    assert_eq!((mine(&vic).await, mine(&mia).await, mine(&acme.owner).await), (1, 0, 0));
    let program =
        acme.acting(Actor::Key { id: agentflow::kernel::ApiKeyId::new(), name: "Robot".to_owned() }, Role::Admin);
    for cx in [&mia, &acme.owner, &program] {
        let error = decide(cx, id, &yes()).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Forbidden, "You cannot decide this. Ask Vic."));
    }
    assert!(seen(&mia, id).await.notes.contains(&format!("Named to decide: {vics}.")));
    decide(&vic, id, &yes()).await.unwrap();
    acme.until(run, RunState::Succeeded).await;

    // Nobody of that name is there: owners may, until somebody comes.
    let run = acme.start(workflow, json!({ "title": "Nobody", "who": "zoe@new.example" })).await;
    let id = acme.asked(run).await.id;
    assert_eq!((mine(&acme.owner).await, mine(&mia).await), (1, 0));
    let note = "None of the people named can decide here, so owners may.".to_owned();
    assert!(seen(&mia, id).await.notes.contains(&note));
    let zoe = acme.member(&world, "Zoe", Role::Viewer).await;
    sqlx::query("update users set email = 'Zoe@new.example' where id = $1")
        .bind(zoe.actor().user().unwrap())
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!((mine(&zoe).await, mine(&acme.owner).await), (1, 0));
    assert!(!seen(&mia, id).await.notes.contains(&note));
    decide(&zoe, id, &no()).await.unwrap();
    acme.until(run, RunState::Failed).await;

    // A role and people: both.
    let both = acme.asking("Both", refund(json!({ "people": ["{{ input.who }}"], "role": "admin" }))).await;
    let run = acme.start(both, json!({ "title": "Both", "who": vics })).await;
    acme.asked(run).await;
    assert_eq!((mine(&vic).await, mine(&mia).await, mine(&acme.owner).await, mine(&program).await), (1, 0, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thirty_two_who_agree_at_once_three_are_counted_and_the_run_goes_on_once() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", refund(json!({ "quorum": 3 }))).await;
    world.work();
    let mut people = Vec::new();
    for number in 0..32 {
        people.push(acme.member(&world, &format!("Person {number}"), Role::Member).await);
    }
    for round in 0..8 {
        let run = acme.start(workflow, json!({ "title": format!("Round {round}") })).await;
        let id = acme.asked(run).await.id;
        // Each presses twice.
        let outcomes = futures::future::join_all(
            people.iter().chain(&people).map(|cx| async move { decide(cx, id, &yes()).await }),
        )
        .await;
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(error.code, "approvals.already_decided", "{}", error.message);
        }
        acme.until(run, RunState::Succeeded).await;
        let decided = seen(&acme.owner, id).await;
        let names: Vec<_> = decided.rules.votes.iter().map(|vote| vote.by.clone()).collect();
        assert_eq!(names.len(), 3, "round {round}: {names:?}");
        let told = events(&acme, run).await;
        let by: Vec<_> = told
            .iter()
            .filter_map(|event| match event {
                Event::ApprovalDecided { by, .. } => Some(by.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(by, [format!("{}, {} and {}", names[0], names[1], names[2])]);
        let votes: Vec<_> = told
            .iter()
            .filter_map(|event| match event {
                Event::ApprovalVoted { votes, quorum: 3, taken_back: false, .. } => Some(*votes),
                _ => None,
            })
            .collect();
        assert_eq!(votes, [1, 2, 3]);
        let acted =
            told.iter().filter(|event| matches!(event, Event::StepSucceeded { step, .. } if step.id.as_str() == "ask"));
        assert_eq!(acted.count(), 1);
    }
}

#[tokio::test]
async fn a_yes_among_several_can_be_taken_back_and_one_no_is_enough() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", refund(json!({ "quorum": 2, "reversible": true }))).await;
    world.work();
    let (ben, cleo) = (acme.member(&world, "Ben", Role::Member).await, acme.member(&world, "Cleo", Role::Admin).await);
    let run = acme.start(workflow, json!({ "title": "Two" })).await;
    let id = acme.asked(run).await.id;
    let after = decide(&ben, id, &yes()).await.unwrap();
    assert_eq!((after.state, after.voted, after.may_decide), (ApprovalState::Pending, true, false));
    assert_eq!(after.notes[0], "1 of 2 approvals: Ben.");
    assert_eq!((mine(&ben).await, mine(&cleo).await), (0, 1), "it does not wait for Ben any more");
    assert_eq!(decide(&ben, id, &yes()).await.unwrap(), after, "a double click is one vote");
    assert_eq!(decide(&ben, id, &no()).await.unwrap_err().code, "approvals.voted");
    assert_eq!(service::undo(&cleo.grant().unwrap(), id).await.unwrap_err().code, "approvals.not_decided");
    let back = service::undo(&ben.grant().unwrap(), id).await.unwrap();
    assert_eq!((back.voted, back.may_decide, back.notes[0].as_str()), (false, true, "0 of 2 approvals."));

    // The last yes decides, and can be undone like any decision; the other one stands.
    decide(&ben, id, &yes()).await.unwrap();
    let decided = decide(&cleo, id, &yes()).await.unwrap();
    assert_eq!(decided.state, ApprovalState::Approved);
    assert!(!seen(&ben, id).await.decision.unwrap().can_undo);
    let undone = service::undo(&cleo.grant().unwrap(), id).await.unwrap();
    assert_eq!((undone.state, undone.notes[0].as_str()), (ApprovalState::Pending, "1 of 2 approvals: Ben."));
    let rejected = decide(&cleo, id, &no()).await.unwrap();
    assert_eq!(rejected.state, ApprovalState::Rejected);
    let ended = acme.until(run, RunState::Failed).await;
    assert_eq!(ended.detail.view.error.unwrap().message, "Cleo rejected this: Too risky");
    let told = lines(&acme, run).await;
    for line in ["Ben approved: 1 of 2.", "Ben took the approval back: 0 of 2."] {
        assert!(told.iter().any(|told| told == line), "{told:?}");
    }
}

#[tokio::test]
async fn whoever_edits_among_several_asks_all_again_and_each_yes_is_for_what_was_seen() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", refund(json!({ "quorum": 2 }))).await;
    world.work();
    let (ben, cleo) = (acme.member(&world, "Ben", Role::Member).await, acme.member(&world, "Cleo", Role::Member).await);
    let run = acme.start(workflow, json!({ "title": "Edited" })).await;
    let first = acme.asked(run).await;
    let id = first.id;
    decide(&ben, id, &yes()).await.unwrap();
    let less = json!({ "amount": 25, "to": "kim@example.com" });
    let edited = Verdict::Approve { payload: Some(less.clone()), amount: None };
    let after = decide(&cleo, id, &edited).await.unwrap();
    assert_eq!((after.state, &after.payload), (ApprovalState::Pending, &less));
    assert_eq!(
        after.notes[..2],
        [
            "1 of 2 approvals: Cleo.".to_owned(),
            "The proposal was changed. Approvals count for what it is now.".to_owned()
        ]
    );
    assert!(lines(&acme, run).await.contains(&"Cleo changed the proposal. Asked again: Ben.".to_owned()));

    // Ben has not looked again.
    let old = Some(first.payload_sha256.as_str());
    for named in [None, old] {
        let error = service::decide_on(&ben.grant().unwrap(), id, &yes(), named).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (Kind::Conflict, "approvals.payload_changed"));
    }
    let there = seen(&ben, id).await;
    assert_ne!(there.payload_sha256, first.payload_sha256);
    let new = Some(there.payload_sha256.as_str());
    let decided = service::decide_on(&ben.grant().unwrap(), id, &yes(), new).await.unwrap();
    let patch = json!([{ "op": "replace", "path": "/amount", "value": 25 }]);
    assert_eq!((decided.state, &decided.edits), (ApprovalState::Approved, &patch));
    assert_eq!(
        (&decided.payload, &decided.decision.as_ref().unwrap().edited_payload),
        (&first.payload, &Some(less.clone()))
    );
    assert_eq!(acme.until(run, RunState::Succeeded).await.output, Some(json!({ "did": less })));
    let kept = events(&acme, run).await.into_iter().find_map(|event| match event {
        Event::ApprovalDecided { by, edits, .. } => Some((by, edits)),
        _ => None,
    });
    assert_eq!(kept, Some(("Cleo and Ben".to_owned(), patch)));
    // What is recorded as approved is what was hashed.
    let (mut bytes, hash): (Value, Vec<u8>) =
        sqlx::query_as("select edited_payload, payload_sha256 from approvals where id = $1")
            .bind(id)
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    bytes.sort_all_objects();
    assert_eq!(Sha256::digest(bytes.to_string().as_bytes()).to_vec(), hash);

    // One decides alone: the same difference.
    let alone = acme.asking("Alone", refund(json!({}))).await;
    let run = acme.start(alone, json!({ "title": "Alone" })).await;
    let id = acme.asked(run).await.id;
    let decided = decide(&ben, id, &edited).await.unwrap();
    assert_eq!(decided.edits, json!([{ "op": "replace", "path": "/amount", "value": 25 }]));
}

#[tokio::test]
async fn nobody_decides_about_their_own_run_by_no_hand() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", refund(json!({ "not_own": true }))).await;
    world.work();
    let ben = acme.member(&world, "Ben", Role::Member).await;
    let run = acme.start(workflow, json!({ "title": "Ana's" })).await;
    let id = acme.asked(run).await.id;
    assert_eq!((mine(&acme.owner).await, mine(&ben).await), (0, 1));
    let error = decide(&acme.owner, id, &yes()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Forbidden, "approvals.own_run"));
    assert_eq!(error.message, "You started this run, so somebody else decides. Ask Ben.");
    // A key of hers is her.
    let wish = Wish { name: "Ana's".to_owned(), role: "admin".to_owned(), days: 1 };
    let owner = acme.owner.clone().with_sign_in(true);
    let key = agentflow::keys::service::create(&owner.fresh_grant("make a key").unwrap(), &wish).await.unwrap().secret;
    let mut hers = world.program(&key);
    let decide_it = json!({ "decision": "approve" });
    let reply = hers.post_json(&format!("/api/v1/approvals/{id}/decide"), &decide_it).await;
    assert_eq!((reply.status.0.as_u16(), &reply.json()["code"]), (403, &json!("approvals.own_run")));
    decide(&ben, id, &yes()).await.unwrap();
    acme.until(run, RunState::Succeeded).await;

    // Nor does the program that started one, nor the person behind it.
    let started =
        hers.post_json(&format!("/api/v1/workflows/{workflow}/run"), &json!({ "input": { "title": "K" } })).await;
    let run: RunId = started.json()["id"].as_str().unwrap().parse().unwrap();
    let id = acme.asked(run).await.id;
    let reply = hers.post_json(&format!("/api/v1/approvals/{id}/decide"), &decide_it).await;
    assert_eq!((reply.status.0.as_u16(), &reply.json()["code"]), (403, &json!("approvals.own_run")));
    assert_eq!(decide(&acme.owner, id, &yes()).await.unwrap_err().code, "approvals.own_run");
    let mut robot = world.program(&acme.key(Role::Member).await);
    let shown = robot.get(&format!("/api/v1/approvals/{id}")).await.json();
    assert_eq!((&shown["not_own"], &shown["may_decide"]), (&json!(true), &json!(true)));
    assert_eq!(robot.post_json(&format!("/api/v1/approvals/{id}/decide"), &decide_it).await.status, 200);

    // Named, and the run is their own: owners may, if it is not theirs either.
    let named = acme.asking("Named", refund(json!({ "not_own": true, "people": ["{{ input.who }}"] }))).await;
    let who = address(&world, &ben).await;
    let input = json!({ "title": "Ben's", "who": who });
    let start = runs::service::Start {
        workflow: named,
        version: None,
        input,
        priority: None,
        labels: Vec::new(),
        idempotency_key: None,
    };
    let run = runs::service::start(&ben.grant().unwrap(), start).await.unwrap().run;
    let id = acme.asked(run).await.id;
    assert_eq!(decide(&ben, id, &yes()).await.unwrap_err().code, "approvals.own_run");
    decide(&acme.owner, id, &yes()).await.unwrap();
}

#[tokio::test]
async fn a_person_counts_once_by_whatever_hand() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", refund(json!({ "quorum": 3 }))).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Hands" })).await;
    let id = acme.asked(run).await.id;
    let owner = acme.owner.clone().with_sign_in(true);
    let path = format!("/api/v1/approvals/{id}/decide");
    for name in ["One", "Two"] {
        let wish = Wish { name: name.to_owned(), role: "admin".to_owned(), days: 1 };
        let grant = owner.fresh_grant("make a key").unwrap();
        let key = agentflow::keys::service::create(&grant, &wish).await.unwrap().secret;
        let reply = world.program(&key).post_json(&path, &json!({ "decision": "approve" })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!((&reply.json()["voted"], &reply.json()["votes"].as_array().unwrap().len()), (&json!(true), &1));
    }
    let hers = decide(&acme.owner, id, &yes()).await.unwrap();
    assert_eq!((hers.state, hers.rules.votes.len()), (ApprovalState::Pending, 1));
    // Programs that nobody in particular made are each their own.
    for votes in [2, 3] {
        let mut robot = world.program(&acme.key(Role::Member).await);
        let reply = robot.post_json(&path, &json!({ "decision": "approve" })).await.json();
        assert_eq!((reply["votes"].as_array().unwrap().len(), &reply["quorum"]), (votes, &json!(3)), "{reply}");
        assert_eq!(reply["state"], if votes == 3 { "approved" } else { "pending" });
    }
    acme.until(run, RunState::Succeeded).await;
}

async fn escalating(acme: &Office, rules: Value) -> (RunId, Approval) {
    let mut approval = refund(json!({ "expires_s": 600, "on_expiry": "escalate" }));
    approval.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    let workflow = acme.asking(&format!("Refund {}", RunId::new()), approval).await;
    let run = acme.start(workflow, json!({ "title": "Late" })).await;
    (run, acme.asked(run).await)
}

/// Waits until the run has said that its approval was handed over, and how often it said so.
async fn handed_over(acme: &Office, run: RunId) -> usize {
    for _ in 0..200 {
        let told = events(acme, run).await;
        let count = told.iter().filter(|event| matches!(event, Event::ApprovalEscalated { .. })).count();
        if count > 0 {
            return count;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody has said that it was handed over");
}

#[tokio::test]
async fn a_deadline_hands_over_once_and_then_rejects() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    let mia = acme.member(&world, "Mia", Role::Member).await;
    let (run, asked) = escalating(&acme, json!({ "people": [address(&world, &mia).await] })).await;
    assert_eq!((asked.then.as_str(), mine(&mia).await), ("goes to admins and owners", 1));
    deadline_passes(&world, &acme, &asked).await;
    assert_eq!(handed_over(&acme, run).await, 1);
    let there = seen(&mia, asked.id).await;
    assert!(!there.may_decide);
    assert_eq!((there.decider_role, there.then.as_str()), (Some(Role::Admin), "counts as rejected"));
    assert!(
        there
            .notes
            .contains(&"Nobody decided before the first deadline, so it has gone to admins and owners.".to_owned())
    );
    let again = there.expires_at.unwrap() - there.rules.escalated_at.unwrap();
    assert_eq!(again.num_seconds(), 600, "as much time again");
    // The step waits for the new deadline, and the run sleeps until then.
    let step = acme.until(run, RunState::Waiting).await;
    let step = step.detail.view.steps.into_iter().find(|step| step.id.as_str() == "ask").unwrap();
    assert_eq!(step.wake_at, there.expires_at);
    let wakes: Option<agentflow::kernel::Timestamp> = sqlx::query_scalar("select wake_at from runs where id = $1")
        .bind(run)
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(wakes, there.expires_at);
    deadline_passes(&world, &acme, &there).await;
    let failed = acme.until(run, RunState::Failed).await;
    assert_eq!(failed.detail.view.error.unwrap().code, "approval.rejected");
    assert_eq!(handed_over(&acme, run).await, 1);

    // Or those it was handed over to decide.
    let (run, asked) = escalating(&acme, json!({ "escalate_to": "owner" })).await;
    deadline_passes(&world, &acme, &asked).await;
    handed_over(&acme, run).await;
    assert_eq!(decide(&mia, asked.id, &yes()).await.unwrap_err().kind, Kind::Forbidden);
    decide(&acme.owner, asked.id, &yes()).await.unwrap();
    acme.until(run, RunState::Succeeded).await;
}

#[tokio::test]
async fn an_owner_that_dies_between_the_deadline_and_its_journal_loses_nothing() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    let (run, asked) = escalating(&acme, json!({})).await;
    acme.until(run, RunState::Waiting).await;
    // As the statement of the deadline leaves it, whose owner is killed right behind it.
    let sql = "update approvals set decider_role = 'admin', on_expiry = 'reject', escalated_at = now(),
                      expires_at = now() + interval '10 minutes' where id = $1";
    statement(&world, sql, asked.id).await;
    for _ in 0..3 {
        wake(&world, &acme, &asked).await;
        assert_eq!(handed_over(&acme, run).await, 1, "said, and said once");
    }
    decide(&acme.owner, asked.id, &yes()).await.unwrap();
    acme.until(run, RunState::Succeeded).await;
}

#[tokio::test]
async fn the_card_says_who_has_agreed_and_plain_forms_vote_and_take_back() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let rules = json!({ "quorum": 2, "not_own": true, "reversible": true, "expires_s": 600, "on_expiry": "escalate" });
    let workflow = acme.asking("Refund", refund(rules)).await;
    world.work();
    let (mut ben, mut cleo) =
        (world.joins("Ben", "acme", Role::Member).await, world.joins("Cleo", "acme", Role::Member).await);
    let run = acme.start(workflow, json!({ "title": "Ticket 9" })).await;
    let asked = acme.asked(run).await;
    let (id, page) = (asked.id.to_string(), format!("/o/acme/approvals?sel={}", asked.id));
    let html = ben.client.get(&page).await.text().to_owned();
    for words in [
        "0 of 2 approvals.",
        "Whoever started the run may not decide.",
        "goes to admins and owners",
        "Cleo",
        &asked.payload_sha256,
    ] {
        assert!(html.contains(words), "{words}: {html}");
    }
    let fields = [("org", "acme"), ("id", id.as_str()), ("seen", asked.payload_sha256.as_str())];
    assert_eq!(ben.client.post_form(Approve::PATH, &fields).await.status, 200);
    let html = ben.client.get(&page).await.text().to_owned();
    assert!(html.contains("1 of 2 approvals: Ben.") && html.contains("Take back"), "{html}");
    assert!(!html.contains(Approve::PATH), "there is nothing more to approve");
    assert!(cleo.client.get(&page).await.text().contains("1 of 2 approvals: Ben."));
    assert_eq!(ben.client.post_form(UndoDecision::PATH, &fields).await.status, 200);
    assert!(ben.client.get(&page).await.text().contains("0 of 2 approvals."));

    let edit = [("org", "acme"), ("id", id.as_str()), ("fields[amount]", "25"), ("fields[to]", "kim@example.com")];
    assert_eq!(ben.client.post_form(ApproveEdited::PATH, &edit).await.status, 200);
    let late = cleo.client.post_form(Approve::PATH, &fields).await;
    assert_eq!(late.status, 409, "{}", late.text());
    let html = cleo.client.get(&page).await.text().to_owned();
    for words in ["The proposal was changed.", "Edits", "amount", "1 of 2 approvals: Ben."] {
        assert!(html.contains(words), "{words}: {html}");
    }
    let now = seen(&acme.owner, asked.id).await.payload_sha256;
    let fields = [("org", "acme"), ("id", id.as_str()), ("seen", now.as_str())];
    assert_eq!(cleo.client.post_form(Approve::PATH, &fields).await.status, 200);
    let html = cleo.client.get(&page).await.text().to_owned();
    assert!(html.contains("Ben and Cleo") && html.contains("Edits"), "{html}");
}
