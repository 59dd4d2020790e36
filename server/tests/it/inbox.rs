//! The inbox and the list of runs as pages, without JavaScript: what is seen, and what a plain form does.

use std::collections::BTreeSet;

use agentflow::{access::Role, engine::state::RunState};
use app::{
    approvals::api::{Approve, ApproveEdited, Reject, UndoDecision},
    settings::api::UpdateOrganization,
};
use axum::{
    body::Body,
    http::{Method, header},
};
use leptos::server_fn::ServerFn;
use serde_json::{Value, json};

use crate::{
    office::Office,
    people::Person,
    world::{Client, Reply, World},
};

/// Posts a form as a browser without JavaScript does, from a page.
async fn submit(client: &mut Client, page: &str, action: &str, fields: &[(&str, &str)]) -> Reply {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client
        .request(Method::POST, action)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html")
        .header(header::REFERER, format!("http://localhost:3000{page}"));
    client.send(request.body(Body::from(body)).unwrap()).await
}

/// Somebody who is signed in and a member of the office.
async fn joins(world: &World, office: &Office, role: Role) -> Person {
    world.joins("Ben", &office.owner.org().slug, role).await
}

fn proposal(reversible: bool) -> Value {
    json!({
        "title": "Refund 40 dollars", "message": "The parcel never came.", "impact": "One customer gets 40 dollars",
        "payload": { "amount": 40, "to": "kim@example.com" }, "reversible": reversible, "expires_s": 86400,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lists_come_whole_whichever_thread_ends_them() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let ben = joins(&world, &acme, Role::Member).await;
    let cookies: Vec<_> = ben.client.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (base, http) = (world.serve().await, reqwest::Client::builder().build().unwrap());
    for turn in 0..10 {
        // A few at a time, as people come: more than the pools serve is refused.
        let pages = ["approvals", "runs", "approvals?view=decided", "runs?state=failed"].map(|page| {
            let request = http.get(format!("{base}/o/acme/{page}")).header("cookie", cookies.join("; "));
            tokio::spawn(async move { request.send().await.unwrap().text().await })
        });
        for page in pages {
            let html = page.await.unwrap().expect("the whole page");
            assert!(html.contains("</html>"), "{turn}: {html}");
        }
    }
}

/// The approvals whose rows a page has.
fn rows(html: &str) -> BTreeSet<String> {
    let found = html.split("id=\"row-").skip(1).filter_map(|rest| rest.split_once('"'));
    found.map(|(id, _)| id.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_of_more_than_a_page_is_read_page_by_page() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal(true)).await;
    world.work();
    let mut asked = BTreeSet::new();
    for _ in 0..60 {
        let run = acme.start(workflow, json!({ "title": "Ticket" })).await;
        asked.insert(acme.asked(run).await.id.to_string());
    }
    let mut ben = joins(&world, &acme, Role::Member).await;
    let first = ben.client.get("/o/acme/approvals").await;
    let first = first.text().split("</main>").next().unwrap();
    assert_eq!(rows(first).len(), 50);
    assert!(!first.contains("First page"));
    let next = first.split("href=\"").find(|link| link.contains("after=")).unwrap().split('"').next().unwrap();
    let second = ben.client.get(next).await;
    let second = second.text().split("</main>").next().unwrap();
    assert!(second.contains("First page") && !second.contains("Next page"));
    let all: BTreeSet<_> = rows(first).union(&rows(second)).cloned().collect();
    assert_eq!((all, rows(second).len()), (asked, 10));
    assert_eq!(ben.client.get("/o/acme/approvals?after=1.2.x").await.status, 400);
}

#[tokio::test]
async fn a_card_says_what_a_decider_asks_and_a_form_decides_and_undoes() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal(true)).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Ticket 4812" })).await;
    let id = acme.asked(run).await.id.to_string();
    let mut ben = joins(&world, &acme, Role::Member).await;

    let page = ben.client.get("/o/acme/approvals").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    let mut from = 0;
    for words in [
        "The parcel never came.",
        "kim@example.com",
        "Reversible",
        "One customer gets 40 dollars",
        "Cost of the run so far",
        "Who asks",
        "Ticket 4812",
        "Deadline",
        "then it counts as rejected",
        "Who else may decide",
        ">Ana<",
        "Approve",
        "Reject…",
    ] {
        let card = html.find("approval-card").unwrap();
        let at = html[card.max(from)..].find(words).unwrap_or_else(|| panic!("{words} is missing or out of order"));
        from = card.max(from) + at;
    }

    let address = format!("/o/acme/approvals?sel={id}");
    let fields = [("org", "acme"), ("id", id.as_str())];
    let answer = submit(&mut ben.client, &address, Approve::PATH, &fields).await;
    assert_eq!((answer.status.0.as_u16(), answer.header("location")), (303, address.as_str()), "{}", answer.text());
    let html = ben.client.get(&address).await.text().to_owned();
    let just = html.find("Just decided").expect("a confirmation");
    assert!(html[just..].contains("Refund 40 dollars") && html[just..].contains("Undo"), "with the way back");
    let undone = submit(&mut ben.client, &address, UndoDecision::PATH, &fields).await;
    assert_eq!(undone.status, 303, "{}", undone.text());
    assert_eq!(acme.run(run).await.view.state, RunState::Waiting);
}

#[tokio::test]
async fn what_cannot_be_undone_is_confirmed_and_a_no_needs_a_reason() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal(false)).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Ticket 4813" })).await;
    let id = acme.asked(run).await.id.to_string();
    let mut ben = joins(&world, &acme, Role::Member).await;
    let address = format!("/o/acme/approvals?sel={id}");
    let html = ben.client.get(&address).await.text().to_owned();
    assert!(html.contains("Cannot be undone"));
    assert!(
        html.contains(&format!("{address}&amp;confirm=1")),
        "a link to the confirmation, not a button that decides"
    );
    assert!(!html.contains("approval-confirm"));
    assert!(ben.client.get(&format!("{address}&confirm=1")).await.text().contains("approval-confirm"));

    // Refused, with the reason at its field, in sight.
    let fields =
        [("org", "acme"), ("id", id.as_str()), ("quick", ""), ("reason", ""), ("_form", &format!("reject-{id}"))];
    let refused = submit(&mut ben.client, &address, Reject::PATH, &fields).await;
    assert_eq!(refused.status, 422);
    let html = refused.text();
    assert!(html.contains("Say why you reject this."), "{html}");
    let summary = html.find("There is a problem").expect("an error summary");
    let details = html[..summary].rfind("<details").expect("inside of the form that was sent");
    assert!(html[details..summary].split('>').next().unwrap().contains("open"), "which is open");

    // An edit that does not fit keeps what was typed.
    let edit = format!("edit-{id}");
    let fields = [
        ("org", "acme"),
        ("id", id.as_str()),
        ("fields[amount]", "a lot"),
        ("fields[to]", "new@example.com"),
        ("_form", &edit),
    ];
    let refused = submit(&mut ben.client, &address, ApproveEdited::PATH, &fields).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("a lot") && refused.text().contains("new@example.com"), "what was typed is kept");
    assert!(refused.text().contains("Enter a number"));

    let fields = [("org", "acme"), ("id", id.as_str()), ("quick", "Too risky"), ("reason", "Ask Kim first")];
    assert_eq!(submit(&mut ben.client, &address, Reject::PATH, &fields).await.status, 303);
    acme.until(run, RunState::Failed).await;
    let html = ben.client.get("/o/acme/approvals?view=decided").await.text().to_owned();
    assert!(html.contains("Rejected") && html.contains("Ben"));
    // Somebody else's later decision is told who was first.
    let late = submit(&mut ben.client, &address, Approve::PATH, &[("org", "acme"), ("id", id.as_str())]).await;
    assert_eq!(late.status, 409);
    assert!(late.text().contains("Ben rejected this at"), "{}", late.text());
}

#[tokio::test]
async fn who_may_not_decide_sees_who_can() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let workflow = acme.asking("Refund", proposal(true)).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Ticket 4814" })).await;
    acme.asked(run).await;
    let mut vic = joins(&world, &acme, Role::Viewer).await;
    let html = vic.client.get("/o/acme/approvals").await.text().to_owned();
    assert!(html.contains("You cannot decide this.") && html.contains("Ask Ana."));
    assert!(!html.contains(Approve::PATH), "no button that would be refused");
}

#[tokio::test]
async fn the_list_of_runs_is_filtered_by_its_address() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut ben = joins(&world, &acme, Role::Viewer).await;
    assert!(ben.client.get("/o/acme/runs").await.text().contains("No runs yet"));
    let workflow = acme.simple().await;
    for number in 0..60 {
        acme.start(workflow, json!({ "title": format!("Parcel {number:02} <b>late</b>") })).await;
    }
    let html = ben.client.get("/o/acme/runs").await.text().to_owned();
    assert!(html.contains("Parcel 59 &lt;b>late") || html.contains("Parcel 59 &lt;b&gt;late"), "escaped");
    assert!(html.contains("Parcel 10") && !html.contains("Parcel 09"), "fifty on a page");
    let link = html.find("rel=\"next\"").expect("a link to older ones");
    let href = html[..link].rfind("href=\"").map(|at| &html[at + 6..]).unwrap().split('"').next().unwrap();
    let older = ben.client.get(&href.replace("&amp;", "&")).await.text().to_owned();
    assert!(older.contains("Parcel 09") && older.contains("Parcel 00") && !older.contains("Parcel 10"));
    let found = ben.client.get("/o/acme/runs?q=parcel+07").await.text().to_owned();
    assert!(found.contains("Parcel 07") && !found.contains("Parcel 08"));
    assert!(found.contains("value=\"parcel 07\""), "the field shows what was asked");
    let none = ben.client.get("/o/acme/runs?state=failed").await.text().to_owned();
    assert!(none.contains("No runs match this filter"));
    let waiting = ben.client.get("/o/acme/runs?state=active").await.text().to_owned();
    assert!(waiting.contains("Parcel 59"));
    let wrong = ben.client.get("/o/acme/runs?cursor=x").await;
    assert_eq!(wrong.status, 400, "a page that says so");
}

#[tokio::test]
async fn a_large_amount_is_typed_in_the_plain_confirmation_too() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let approval = json!({
        "title": "Pay Nordlicht", "payload": { "to": "Nordlicht" }, "amount": "1840.5", "currency": "EUR",
        "why": "The goods have come.", "confidence": 0.9,
    });
    let workflow = acme.asking("Pay", approval).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "Invoice 7" })).await;
    let id = acme.asked(run).await.id.to_string();
    let mut ben = joins(&world, &acme, Role::Admin).await;
    let address = format!("/o/acme/approvals?sel={id}&confirm=1");
    let html = ben.client.get(&address).await.text().to_owned();
    for words in ["Amount", "1,840.50 EUR", "Confidence", "90\u{a0}%", "Why", "The goods have come.", "Type the amount"]
    {
        assert!(html.contains(words), "{words}");
    }
    let form = format!("approve-{id}");
    let fields = [("org", "acme"), ("id", id.as_str()), ("amount", "1840"), ("_form", &form)];
    let refused = submit(&mut ben.client, &address, Approve::PATH, &fields).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("Enter the amount, 1,840.50 EUR, to approve this."), "{}", refused.text());
    assert!(refused.text().contains("value=\"1840\""), "what was typed is kept: {}", refused.text());
    let limit = [("org", "acme"), ("typed_amount", "2,000")];
    let saved = submit(&mut ben.client, "/o/acme/settings", UpdateOrganization::PATH, &limit).await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    assert!(ben.client.get("/o/acme/settings").await.text().contains("2,000.00"));
    let fields = [("org", "acme"), ("id", id.as_str())];
    assert_eq!(submit(&mut ben.client, &address, Approve::PATH, &fields).await.status, 303);
    acme.until(run, RunState::Succeeded).await;

    let mut mia = world.joins("Mia", "acme", Role::Member).await;
    let refused = submit(&mut mia.client, "/o/acme/settings", UpdateOrganization::PATH, &limit).await;
    assert_eq!(refused.status, 403);
    let page = mia.client.get("/o/acme/settings").await.text().to_owned();
    assert!(page.contains("2,000.00") && !page.contains(UpdateOrganization::PATH), "seen, and not to be changed");
}
