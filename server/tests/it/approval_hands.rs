//! In whose hands approvals are: handed on, put off, and several decided together; and which of them a list has.

use std::time::Duration;

use agentflow::{
    access::{Ctx, Role},
    approvals::{ApprovalFilter, ApprovalState, Risk, Verdict, bulk, hands, service},
    engine::{journal::Event, state::RunState},
    jobs::Chore,
    kernel::{ApprovalId, Kind},
    notices::Notices,
    runs,
};
use app::approvals::api::{AssignApproval, DecideTogether, SnoozeApproval, WakeApproval};
use axum::{
    body::Body,
    http::{Method, header},
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};

use crate::{
    office::Office,
    world::{Client, Reply, World},
};

fn proposal(reversible: bool) -> Value {
    json!({
        "title": "Refund 40 dollars", "payload": { "to": "kim@example.com" }, "reversible": reversible,
        "expires_s": 7200,
    })
}

async fn asks(acme: &Office, name: &str, proposal: Value) -> ApprovalId {
    let workflow = acme.asking(name, proposal).await;
    let run = acme.start(workflow, json!({ "title": name })).await;
    acme.asked(run).await.id
}

async fn waiting(cx: &Ctx) -> i64 {
    let count = service::pending_count(&cx.grant().unwrap()).await.unwrap();
    let filter = ApprovalFilter { mine: true, ..ApprovalFilter::default() };
    let listed = service::rows(&cx.grant().unwrap(), &filter, None, 100).await.unwrap().items.len();
    assert_eq!(count, listed as i64, "the count and the list say the same");
    count
}

async fn titles(cx: &Ctx, filter: &ApprovalFilter) -> Vec<String> {
    let rows = service::rows(&cx.grant().unwrap(), filter, None, 100).await.unwrap().items;
    let mut names: Vec<_> = rows.into_iter().map(|row| row.workflow_name).collect();
    names.sort();
    names
}

async fn submit(client: &mut Client, page: &str, action: &str, fields: &[(&str, &str)]) -> Reply {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client
        .request(Method::POST, action)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html")
        .header(header::REFERER, format!("http://localhost:3000{page}"));
    client.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn what_is_handed_on_waits_for_one_and_all_may_still_decide_it() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let ben = acme.member(&world, "Ben", Role::Member).await;
    let mia = acme.member(&world, "Mia", Role::Member).await;
    let vic = acme.member(&world, "Vic", Role::Viewer).await;
    world.work();
    let id = asks(&acme, "Refund", proposal(true)).await;
    let user = |cx: &Ctx| cx.actor().user();
    let assign = async |by: &Ctx, to| hands::assign(&by.grant().unwrap(), id, to).await;

    let candidates = service::show(&acme.owner.grant().unwrap(), id).await.unwrap().candidates;
    let names: Vec<_> = candidates.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["Ana", "Ben", "Mia"], "those who may decide it, and nobody else");
    assert!(service::show(&vic.grant().unwrap(), id).await.unwrap().candidates.is_empty());
    let refused = assign(&acme.owner, user(&vic)).await.unwrap_err();
    assert_eq!((refused.kind, refused.fields[0].field.as_str()), (Kind::Invalid, "to"));
    assert_eq!(assign(&vic, user(&ben)).await.unwrap_err().kind, Kind::Forbidden);
    let other = Office::new(&world, "Other").await;
    assert_eq!(assign(&other.owner, user(&other.owner)).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(assign(&acme.owner, user(&other.owner)).await.unwrap_err().kind, Kind::Invalid, "no member");

    let there = assign(&acme.owner, user(&ben)).await.unwrap();
    assert_eq!(there.hands.assigned_to.as_deref(), Some("Ben"));
    assert!(there.notes.iter().any(|note| note.starts_with("Ana asked Ben to decide this.")), "{:?}", there.notes);
    assert_eq!((waiting(&acme.owner).await, waiting(&ben).await, waiting(&mia).await), (0, 1, 0));
    let assigned = ApprovalFilter { assigned: true, ..ApprovalFilter::default() };
    assert_eq!((titles(&ben, &assigned).await.len(), titles(&mia, &assigned).await.len()), (1, 0));
    assert_eq!(titles(&mia, &ApprovalFilter::default()).await.len(), 1, "all see it");
    let notices = Notices { minutes: 0, public_url: "https://flows.example.com/".parse().unwrap() };
    for _ in 0..2 {
        notices.run(world.deps()).await.unwrap();
    }
    let told: Vec<(String, String)> = sqlx::query_as("select recipients[1], subject from emails order by subject")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(told.len(), 1, "once, and nobody else: {told:?}");
    assert!(told[0].0.starts_with("ben") && told[0].1 == "You are asked to decide: Refund 40 dollars", "{told:?}");

    // Whoever has left, or may not decide any more, has nothing.
    let demote = "update memberships set role = $2 where user_id = $1";
    for (role, expected) in [("viewer", (1, 0, 1)), ("member", (0, 1, 0))] {
        sqlx::query(demote).bind(user(&ben)).bind(role).execute(&mut world.owner().await).await.unwrap();
        let ben = acme.acting(ben.actor().clone(), Role::parse(role).unwrap());
        let counts = (waiting(&acme.owner).await, waiting(&ben).await, waiting(&mia).await);
        assert_eq!(counts, expected, "{role}");
    }
    let back = assign(&ben, None).await.unwrap();
    assert_eq!(back.hands.assigned_to, None);
    assert_eq!((waiting(&acme.owner).await, waiting(&mia).await), (1, 1));

    // Mia decides what Ana has: who was asked is no lock.
    assign(&acme.owner, user(&acme.owner)).await.unwrap();
    let yes = Verdict::Approve { payload: None, amount: None };
    let decided = service::decide(&mia.grant().unwrap(), id, &yes).await.unwrap();
    assert_eq!(assign(&acme.owner, user(&ben)).await.unwrap_err().code, "approvals.not_pending");
    let (events, _) = runs::service::events(&acme.owner.grant().unwrap(), decided.run_id, 0, 1_000).await.unwrap();
    let lines: Vec<_> = events
        .iter()
        .filter_map(|stored| match &stored.event {
            Event::Log { message, .. } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    for line in
        ["Ana asked Ben to decide.", "Ben gave the decision back to all who may take it.", "Ana took the decision on."]
    {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    world.state.stop.request();
}

#[tokio::test]
async fn whoever_takes_it_on_gets_no_message_about_it() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let ben = acme.member(&world, "Ben", Role::Member).await;
    world.work();
    let id = asks(&acme, "Refund", proposal(true)).await;
    let notices = Notices { minutes: 0, public_url: "https://flows.example.com/".parse().unwrap() };
    let told = async || -> (i64, i64) {
        notices.run(world.deps()).await.unwrap();
        let counts = "select (select count(*) from emails), (select count(*) from approval_links)";
        sqlx::query_as(counts).fetch_one(&mut world.owner().await).await.unwrap()
    };
    hands::assign(&ben.grant().unwrap(), id, ben.actor().user()).await.unwrap();
    assert_eq!(told().await, (0, 0), "they know, and it waits for nobody else");
    hands::assign(&ben.grant().unwrap(), id, None).await.unwrap();
    assert_eq!(told().await, (2, 2), "given back, it waits for all");
    hands::assign(&ben.grant().unwrap(), id, ben.actor().user()).await.unwrap();
    hands::assign(&ben.grant().unwrap(), id, None).await.unwrap();
    assert_eq!(told().await, (2, 2), "nobody is told twice, nor has a link that nobody got");
    world.state.stop.request();
}

#[tokio::test]
async fn what_is_put_off_comes_back_by_itself_and_never_after_its_deadline() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let ben = acme.member(&world, "Ben", Role::Member).await;
    world.work();
    let id = asks(&acme, "Refund", proposal(true)).await;
    let snooze = async |hours: &str, until: &str| hands::snooze(&acme.owner.grant().unwrap(), id, hours, until).await;
    for (hours, until, field) in [("3", "", "until"), ("", "2001-01-01T00:00", "until"), ("", "", "hours")] {
        let error = snooze(hours, until).await.unwrap_err();
        assert_eq!((error.kind, error.fields[0].field.as_str()), (Kind::Invalid, field), "{hours} {until}");
    }
    let past = snooze("3", "").await.unwrap_err();
    assert!(past.message.starts_with("It must be decided until "), "{}", past.message);

    let put_off = snooze("1", "").await.unwrap();
    assert!(put_off.hands.snoozed_until.is_some() && put_off.state == ApprovalState::Pending);
    assert_eq!((waiting(&acme.owner).await, waiting(&ben).await), (0, 1), "others see it as before");
    let snoozed = ApprovalFilter { snoozed: true, ..ApprovalFilter::default() };
    assert_eq!(titles(&acme.owner, &snoozed).await, ["Refund"]);
    assert!(titles(&acme.owner, &ApprovalFilter::default()).await.is_empty());
    assert!(titles(&ben, &snoozed).await.is_empty());
    let returns = hands::next_return(&acme.owner).await.unwrap().expect("a time");
    assert!(returns > Duration::from_secs(3_500) && returns < Duration::from_secs(3_700), "{returns:?}");
    assert_eq!(hands::next_return(&ben).await.unwrap(), None);
    hands::wake(&acme.owner.grant().unwrap(), id).await.unwrap();
    assert_eq!(waiting(&acme.owner).await, 1);

    // A deadline that has come nearer counts.
    snooze("1", "").await.unwrap();
    let nearer = "update approvals set expires_at = clock_timestamp() + interval '300 milliseconds'";
    sqlx::query(nearer).execute(&mut world.owner().await).await.unwrap();
    assert_eq!(waiting(&acme.owner).await, 0);
    sqlx::query("update approvals set expires_at = now() + interval '1 hour'")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let over = "update approval_snoozes set until = clock_timestamp() - interval '1 second'";
    sqlx::query(over).execute(&mut world.owner().await).await.unwrap();
    assert_eq!(waiting(&acme.owner).await, 1, "back by itself");
    world.state.stop.request();
}

#[tokio::test]
async fn handing_on_and_putting_off_are_plain_forms() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut ben = world.joins("Ben", "acme", Role::Member).await;
    world.work();
    let id = asks(&acme, "Refund", proposal(true)).await.to_string();
    let address = format!("/o/acme/approvals?sel={id}");
    let page = ben.client.get(&address).await.text().to_owned();
    for words in ["Hand on…", "Put off…", "Or until (UTC)", ">1 hour<", "datetime-local"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains(">4 hours<"), "none that the deadline comes before");
    let base = [("org", "acme"), ("id", id.as_str())];
    let form = format!("snooze-{id}");
    let late = [base[0], base[1], ("hours", "4"), ("_form", &form)];
    let refused = submit(&mut ben.client, &address, SnoozeApproval::PATH, &late).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("It must be decided until"), "{}", refused.text());
    let fields = [base[0], base[1], ("hours", "1")];
    assert_eq!(submit(&mut ben.client, &address, SnoozeApproval::PATH, &fields).await.status, 303);
    let page = ben.client.get("/o/acme/approvals").await.text().to_owned();
    assert!(page.contains("Nothing waits for a decision"));
    let page = ben.client.get("/o/acme/approvals?view=snoozed").await.text().to_owned();
    assert!(page.contains("Refund 40 dollars") && page.contains("Bring back now") && page.contains("Put off until"));
    assert_eq!(submit(&mut ben.client, &address, WakeApproval::PATH, &base).await.status, 303);
    let me: String = sqlx::query_scalar("select replace(id::text, '-', '') from users where name = 'Ben'")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    let to = agentflow::kernel::UserId::from_uuid(uuid::Uuid::parse_str(&me).unwrap()).to_string();
    let fields = [base[0], base[1], ("to", to.as_str())];
    assert_eq!(submit(&mut ben.client, &address, AssignApproval::PATH, &fields).await.status, 303);
    let page = ben.client.get("/o/acme/approvals?assigned=true").await.text().to_owned();
    assert!(page.contains("Assigned to you") && page.contains("You have taken this on."));
    world.state.stop.request();
}

#[tokio::test]
async fn several_are_decided_together_and_each_is_told_what_became_of_it() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut ben = world.joins("Ben", "acme", Role::Member).await;
    world.work();
    let workflow = acme.asking("Refund", proposal(true)).await;
    let mut same = Vec::new();
    for title in ["one", "two", "three"] {
        let run = acme.start(workflow, json!({ "title": title })).await;
        same.push((acme.asked(run).await.id, run));
    }
    let other = asks(&acme, "Something else", proposal(true)).await;
    let grave = asks(&acme, "Grave", proposal(false)).await;
    let first = service::find(&acme.owner.grant().unwrap(), grave).await.unwrap();
    assert!(!first.reversible);

    let pick: Vec<_> = [grave, same[0].0, same[1].0, same[2].0, other].map(|id| format!("pick={id}")).to_vec();
    let address = format!("/o/acme/approvals/bulk?{}", pick.join("&"));
    let page = ben.client.get(&address).await.text().to_owned();
    for words in [
        "3 approvals are decided",
        "2 are left out",
        "It cannot be undone: decide it by itself.",
        "It asks for something else than the first one.",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.replace("<!>", "").matches(">Refund 40 dollars</a>").count(), 5, "every one is listed");
    assert!(!page.contains("kim@example.com"));
    assert!(ben.client.get("/o/acme/approvals/bulk").await.text().contains("Nothing is selected"));

    // One is decided meanwhile, and what was left out stays out whoever names it.
    let yes = Verdict::Approve { payload: None, amount: None };
    service::decide(&acme.owner.grant().unwrap(), same[1].0, &yes).await.unwrap();
    let all = [grave, same[0].0, same[1].0, same[2].0, other].map(|id| id.to_string()).join(",");
    let no = [("org", "acme"), ("approvals", all.as_str()), ("decision", "reject"), ("reason", "")];
    assert_eq!(submit(&mut ben.client, &address, DecideTogether::PATH, &no).await.status, 422, "a no has a reason");
    let fields = [("org", "acme"), ("approvals", all.as_str()), ("decision", "approve")];
    let done = submit(&mut ben.client, &address, DecideTogether::PATH, &fields).await;
    assert_eq!(done.status, 200);
    for words in ["2 approvals are decided. With 3 nothing was done", "It does not wait any more."] {
        assert!(done.text().contains(words), "{words}: {}", done.text());
    }
    for (id, run) in [same[0], same[2]] {
        let decision = service::find(&acme.owner.grant().unwrap(), id).await.unwrap().decision.unwrap();
        assert_eq!(decision.by_name, "Ben");
        assert!(decision.effective_at > decision.at, "each with its own way back");
        acme.until(run, RunState::Succeeded).await;
    }
    for id in [grave, other] {
        let there = service::find(&acme.owner.grant().unwrap(), id).await.unwrap();
        assert_eq!(there.state, ApprovalState::Pending);
    }
    let vic = acme.member(&world, "Vic", Role::Viewer).await;
    let refused = bulk::decide(&vic.grant().unwrap(), &vic.grant().unwrap(), &[other], &yes).await.unwrap();
    assert_eq!(refused[0].1.as_deref(), Some("You may not decide it."));
    let foreign = Office::new(&world, "Other").await;
    let theirs = bulk::decide(&foreign.owner.grant().unwrap(), &foreign.owner.grant().unwrap(), &[other], &yes).await;
    assert!(theirs.unwrap().is_empty(), "what belongs to others does not exist");
    world.state.stop.request();
}

#[tokio::test]
async fn lists_are_narrowed_by_risk_and_carry_no_payloads() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    asks(&acme, "Calm", proposal(true)).await;
    asks(&acme, "Grave", proposal(false)).await;
    let mut dear = proposal(true);
    dear["amount"] = json!(5000);
    dear["payload"] = json!({ "to": "a-secret-address@example.com" });
    dear["expires_s"] = json!(90_000);
    asks(&acme, "Dear", dear).await;
    let with = |risk| ApprovalFilter { risk: Some(risk), ..ApprovalFilter::default() };
    assert_eq!(titles(&acme.owner, &with(Risk::Reversible)).await, ["Calm", "Dear"]);
    assert_eq!(titles(&acme.owner, &with(Risk::Irreversible)).await, ["Grave"]);
    assert_eq!(titles(&acme.owner, &with(Risk::AboveLimit)).await, ["Dear"]);

    let mut ben = world.joins("Ben", "acme", Role::Member).await;
    let page = ben.client.get("/o/acme/approvals").await.text().to_owned();
    assert!(page.contains("kim@example.com"), "the card of the first one has what is asked");
    assert!(page.contains("5,000.00 USD") && !page.contains("a-secret-address"), "the other rows have none of theirs");
    assert!(page.contains("Approvals (3)"));
    let dear = ben.client.get("/o/acme/approvals?risk=above_limit").await.text().to_owned();
    assert!(dear.contains("a-secret-address") && !dear.contains("Grave ·") && dear.contains("Above the limit"));
    assert!(dear.contains("Approvals (3)"), "the title tells how many wait in all");
    let dashboard = ben.client.get("/o/acme/").await.text().to_owned();
    assert!(dashboard.contains("Refund 40 dollars") && !dashboard.contains("kim@example.com"));

    // A deadline that has passed is told in words.
    sqlx::query("update approvals set escalated_at = now() where title is not null")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    assert!(ben.client.get("/o/acme/approvals").await.text().contains("Overdue"));
    world.state.stop.request();
}
