//! Links in messages: opening one decides nothing, its form decides once, and only what may be decided at a glance.

use agentflow::{
    access::{Ctx, Role},
    accounts,
    approvals::{Approval, ApprovalState, Verdict, service},
    engine::state::RunState,
    jobs::Chore,
    kernel::ApprovalId,
    notices::Notices,
};
use axum::{
    body::Body,
    http::{Method, header},
};
use serde_json::{Value, json};

use crate::{
    office::Office,
    world::{Client, Reply, World},
};

async fn send_mail(world: &World) {
    let notices = Notices { minutes: 0, public_url: "https://flows.example.com/".parse().unwrap() };
    notices.run(world.deps()).await.unwrap();
}

/// The path of the link that somebody got, the newest one.
async fn link(world: &World, name: &str) -> String {
    let text = "select body from emails where recipients[1] like $1 order by created_at desc, id desc limit 1";
    let body: String =
        sqlx::query_scalar(text).bind(format!("{name}%")).fetch_one(&mut world.owner().await).await.expect("a message");
    let at = body.find("https://flows.example.com/approve/").expect("a link of one's own");
    body[at + "https://flows.example.com".len()..].lines().next().unwrap().to_owned()
}

fn proposal(reversible: bool) -> Value {
    json!({
        "title": "Refund <b>Kim</b>", "impact": "One customer gets 40 dollars", "reversible": reversible,
        "payload": { "amount": 40, "to": "kim@example.com" }, "expires_s": 86400,
    })
}

async fn post(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Reply {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client
        .request(Method::POST, path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html");
    client.send(request.body(Body::from(body)).unwrap()).await
}

async fn seen(cx: &Ctx, id: ApprovalId) -> Approval {
    service::find(&cx.grant().unwrap(), id).await.unwrap()
}

#[tokio::test]
async fn fifty_visits_decide_nothing_and_one_form_decides_once() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    acme.member(&world, "Ben", Role::Admin).await;
    let workflow = acme.asking("Refund", proposal(true)).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "x" })).await;
    let id = acme.asked(run).await.id;
    send_mail(&world).await;
    let path = link(&world, "ben").await;
    assert_ne!(path, link(&world, "ana").await, "each has a link of their own");

    // Nobody who is signed in, and whoever else looks at mail.
    let mut anyone = world.client();
    let visitors = ["Mozilla/5.0", "Googlebot/2.1", "Slackbot-LinkExpanding 1.0", "Barracuda Sentinel (EE)"];
    for visit in 0..50 {
        let method = if visit % 3 == 0 { Method::HEAD } else { Method::GET };
        let request =
            anyone.request(method.clone(), &path).header(header::USER_AGENT, visitors[visit % visitors.len()]);
        let reply = anyone.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 200, "{visit}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"));
        assert_eq!(reply.body.is_empty(), method == Method::HEAD);
    }
    assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Pending);
    let page = anyone.get(&path).await.text().to_owned();
    for words in ["Refund &lt;b&gt;Kim&lt;/b&gt;", "One customer gets 40 dollars", "You decide as Ben.", "Reversible"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("kim@example.com") && !page.contains("<script"), "in short, and without what is in it");

    // From another site nothing is sent on.
    let forged = axum::http::Request::post(&path)
        .header(header::HOST, "localhost:3000")
        .header("sec-fetch-site", "cross-site")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(anyone.send(forged.body(Body::from("decision=approve")).unwrap()).await.status, 403);
    let refused = post(&mut anyone, &path, &[("decision", "reject"), ("reason", " ")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("Say why you reject this."));
    assert_eq!(post(&mut anyone, &path, &[("decision", "explode")]).await.status, 422);
    let stale = post(&mut anyone, &path, &[("decision", "approve"), ("seen", &"0".repeat(64))]).await;
    assert_eq!(stale.status, 409, "it counts for what was seen");
    assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Pending);

    let hash = seen(&acme.owner, id).await.payload_sha256;
    let done = post(&mut anyone, &path, &[("decision", "approve"), ("seen", &hash)]).await;
    assert_eq!((done.status.0.as_u16(), done.header("location")), (303, path.as_str()), "{}", done.text());
    let decided = seen(&acme.owner, id).await;
    assert_eq!((decided.state, decided.decision.unwrap().by_name.as_str()), (ApprovalState::Approved, "Ben"));
    let after = anyone.get(&path).await.text().to_owned();
    assert!(after.contains("Approved by Ben on") && after.contains(">Undo<"), "{after}");
    // Again is the same; something else is told who was first.
    assert_eq!(post(&mut anyone, &path, &[("decision", "approve"), ("seen", &hash)]).await.status, 303);
    let late = post(&mut anyone, &path, &[("decision", "reject"), ("reason", "no")]).await;
    assert_eq!(late.status, 409);
    assert!(late.text().contains("Ben approved this at"), "{}", late.text());
    let ana = link(&world, "ana").await;
    let other = post(&mut anyone, &ana, &[("decision", "approve")]).await;
    assert_eq!(other.status, 409);
    assert!(other.text().contains("Ben approved this at") && other.text().contains("Approved by Ben on"));

    // Taken back, it waits again, and the link has had its one use.
    assert_eq!(post(&mut anyone, &path, &[("decision", "undo")]).await.status, 303);
    assert!(anyone.get(&path).await.text().contains("this link has been used"));
    let again = post(&mut anyone, &path, &[("decision", "approve"), ("seen", &hash)]).await;
    assert_eq!(again.status, 409);
    assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Pending);
    // The other one's has not.
    assert_eq!(post(&mut anyone, &ana, &[("decision", "reject"), ("reason", "Not needed")]).await.status, 303);
    acme.until(run, RunState::Failed).await;
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select token_sha256 from approval_links")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    let secret = path.trim_start_matches("/approve/");
    assert!(
        kept.iter().all(|kept| kept.len() == 32 && kept.as_slice() != secret.as_bytes()),
        "the secret is kept nowhere"
    );
    world.state.stop.request();
}

#[tokio::test]
async fn a_link_takes_back_only_what_was_decided_by_it() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let ben = acme.member(&world, "Ben", Role::Admin).await;
    let workflow = acme.asking("Refund", proposal(true)).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "x" })).await;
    let id = acme.asked(run).await.id;
    send_mail(&world).await;
    let path = link(&world, "ben").await;
    let yes = Verdict::Approve { payload: None, amount: None };
    let decided = service::decide(&ben.grant().unwrap(), id, &yes).await.unwrap();
    let mut anyone = world.client();
    let page = anyone.get(&path).await.text().to_owned();
    assert!(page.contains("Approved by Ben on") && !page.contains(">Undo<"), "{page}");
    // Nor after the same was said again by the link.
    let same = [("decision", "approve"), ("seen", decided.payload_sha256.as_str())];
    for fields in [&[("decision", "undo")][..], &same[..], &[("decision", "undo")][..]] {
        let reply = post(&mut anyone, &path, fields).await;
        let status = if fields.len() == 1 { 409 } else { 303 };
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Approved);
    }

    // A yes that waits for the others is taken back in the inbox.
    let mut together = proposal(true);
    together["quorum"] = json!(2);
    let workflow = acme.asking("Together", together).await;
    let run = acme.start(workflow, json!({ "title": "x" })).await;
    let id = acme.asked(run).await.id;
    send_mail(&world).await;
    let path = link(&world, "ben").await;
    let hash = seen(&acme.owner, id).await.payload_sha256;
    assert_eq!(post(&mut anyone, &path, &[("decision", "approve"), ("seen", &hash)]).await.status, 303);
    let refused = post(&mut anyone, &path, &[("decision", "undo")]).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("has decided nothing that it could take back"), "{}", refused.text());
    let there = seen(&ben, id).await;
    assert!(there.voted && there.state == ApprovalState::Pending);
    world.state.stop.request();
}

#[tokio::test]
async fn what_needs_a_closer_look_is_decided_signed_in() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let mut dear = proposal(true);
    dear["amount"] = json!(5000);
    dear["currency"] = json!("EUR");
    let cases = [("cannot be undone", proposal(false)), ("more money than", dear)];
    world.work();
    let mut anyone = world.client();
    for (words, proposal) in cases {
        let workflow = acme.asking(words, proposal).await;
        let run = acme.start(workflow, json!({ "title": "x" })).await;
        let id = acme.asked(run).await.id;
        send_mail(&world).await;
        let path = link(&world, "ana").await;
        let page = anyone.get(&path).await.text().to_owned();
        assert!(page.contains(words) && page.contains(&format!("/o/acme/approvals?sel={id}")), "{page}");
        assert!(!page.contains("<form"), "no button that would be refused");
        let refused = post(&mut anyone, &path, &[("decision", "approve")]).await;
        assert_eq!(refused.status, 409, "{words}");
        assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Pending, "{words}");
    }
    world.state.stop.request();
}

#[tokio::test]
async fn a_link_ends_with_its_time_its_person_and_their_role() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    Office::new(&world, "Other").await;
    for name in ["Ben", "Mia", "Zoe"] {
        acme.member(&world, name, Role::Member).await;
    }
    let workflow = acme.asking("Refund", proposal(true)).await;
    world.work();
    let run = acme.start(workflow, json!({ "title": "x" })).await;
    let id = acme.asked(run).await.id;
    send_mail(&world).await;
    let (ana, ben, mia, zoe) =
        (link(&world, "ana").await, link(&world, "ben").await, link(&world, "mia").await, link(&world, "zoe").await);
    let mut owner = world.owner().await;
    for (statement, name) in [
        ("delete from memberships where user_id = (select id from users where name = $1)", "Ben"),
        ("update memberships set role = 'viewer' where user_id = (select id from users where name = $1)", "Mia"),
        (
            "update approval_links set expires_at = now() - interval '1 second'
             where user_id = (select id from users where name = $1)",
            "Zoe",
        ),
    ] {
        let done = sqlx::query(statement).bind(name).execute(&mut owner).await.unwrap();
        assert!(done.rows_affected() > 0, "{name}");
    }
    let mut anyone = world.client();
    let yes = [("decision", "approve")];
    let unknown = format!("/approve/{}", "a".repeat(43));
    for (path, status, words) in [
        (&ben, 404, "There is no such link"),
        (&unknown, 404, "There is no such link"),
        (&"/approve/x".to_owned(), 404, "There is no such link"),
        (&zoe, 404, "The time of this link is over."),
    ] {
        let reply = anyone.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.text().contains(words) && !reply.text().contains("Refund"), "{}", reply.text());
        assert_eq!(post(&mut anyone, path, &yes).await.status, status, "{path}");
    }
    let page = anyone.get(&mia).await.text().to_owned();
    assert!(page.contains("You cannot decide this.") && !page.contains("<form"), "{page}");
    assert_eq!(post(&mut anyone, &mia, &yes).await.status, 409);
    assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Pending);
    assert_eq!(post(&mut anyone, &ana, &yes).await.status, 303);
    assert_eq!(seen(&acme.owner, id).await.state, ApprovalState::Approved);
    // Who gets a new password gets new links.
    let password = "a-completely-other-one-4";
    accounts::service::reset_password(world.deps(), "ana@acme.example", password).await.unwrap();
    assert_eq!(anyone.get(&ana).await.status, 404);
    assert_eq!(anyone.get(&mia).await.status, 200, "others keep theirs");
    world.state.stop.request();
}
