//! Notices by e-mail: to those whom it concerns, once each, unless they do not want any.

use std::time::Duration;

use agentflow::{access::Role, jobs::Chore, notices::Notices};
use app::settings::api::UpdateProfile;
use leptos::server_fn::ServerFn;
use serde_json::json;

use crate::{office::Office, tools::smtp, world::World};

fn notices(minutes: i32) -> Notices {
    Notices { minutes, public_url: "https://flows.example.com/".parse().unwrap() }
}

/// To whom, about what, and the text, of each message that there is.
async fn letters(world: &World) -> Vec<(String, String, String)> {
    sqlx::query_as("select recipients[1], subject, body from emails order by recipients")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap()
}

async fn switch_off(world: &World, name: &str) {
    let text = "update users set email_notices = false where name = $1";
    sqlx::query(text).bind(name).execute(&mut world.owner().await).await.unwrap();
}

#[tokio::test]
async fn an_approval_is_told_of_once_to_each_who_may_decide_it_and_wants_to_know() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    Office::new(&world, "Other").await;
    for (name, role) in [("Ben", Role::Admin), ("Mia", Role::Member), ("Vic", Role::Viewer), ("Zoe", Role::Member)] {
        acme.member(&world, name, role).await;
    }
    switch_off(&world, "Zoe").await;
    world.work();
    let workflow = acme.asking("Refunds", json!({ "title": "Refund 42 €", "message": "May we?" })).await;
    let run = acme.start(workflow, json!({ "title": "x" })).await;
    let asked = acme.asked(run).await;
    notices(10).run(world.deps()).await.unwrap();
    assert!(letters(&world).await.is_empty(), "it has not waited long enough");
    for _ in 0..3 {
        notices(0).run(world.deps()).await.unwrap();
    }
    let told = letters(&world).await;
    let names: Vec<&str> = told.iter().map(|(to, ..)| to.split(['-', '@']).next().unwrap()).collect();
    assert_eq!(names, ["ana", "ben", "mia"]);
    for (_, subject, body) in &told {
        assert_eq!(subject, "Waiting for a decision: Refund 42 €");
        let link = format!("https://flows.example.com/o/acme/approvals?sel={}\n", asked.id);
        assert!(body.contains(&link) && body.contains("Refunds"), "{body}");
    }
    // Told again, as when it comes to others: those who know are not told twice.
    acme.member(&world, "Eve", Role::Owner).await;
    let again = "update approvals set noticed_at = null";
    sqlx::query(again).execute(&mut world.owner().await).await.unwrap();
    notices(0).run(world.deps()).await.unwrap();
    assert_eq!(letters(&world).await.len(), 4);
    let links: i64 =
        sqlx::query_scalar("select count(*) from approval_links").fetch_one(&mut world.owner().await).await.unwrap();
    assert_eq!(links, 4, "no link that nobody got");
    world.state.stop.request();
}

#[tokio::test]
async fn a_failed_run_is_told_of_to_whoever_started_it() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    acme.member(&world, "Ben", Role::Admin).await;
    let workflow = acme.simple().await;
    let mut runs = Vec::new();
    for trigger in ["person", "retry", "api", "test", "schedule"] {
        let run = acme.start(workflow, json!({ "title": trigger })).await;
        sqlx::query(
            "update runs set state = 'failed', finished_at = now(), wake_at = null, trigger = $2,
                 error = '{\"message\": \"The other side said no.\"}' where id = $1",
        )
        .bind(run)
        .bind(trigger)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
        runs.push(run);
    }
    let old = acme.start(workflow, json!({ "title": "old" })).await;
    sqlx::query("update runs set state = 'failed', finished_at = now() - interval '2 days' where id = $1")
        .bind(old)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    for _ in 0..2 {
        notices(10).run(world.deps()).await.unwrap();
    }
    let mut told: Vec<(String, String)> = letters(&world)
        .await
        .into_iter()
        .map(|(to, subject, _)| (to.split(['-', '@']).next().unwrap().to_owned(), subject))
        .collect();
    told.sort();
    let expected =
        [("ana", "Failed: person"), ("ana", "Failed: retry"), ("ana", "Failed: schedule"), ("ben", "Failed: schedule")];
    assert_eq!(told, expected.map(|(to, subject)| (to.to_owned(), subject.to_owned())));
    let (_, _, body) = letters(&world).await.into_iter().find(|(_, subject, _)| subject == "Failed: person").unwrap();
    assert!(
        body.contains("The other side said no.") && body.contains(&format!("/o/acme/runs/{}\n", runs[0])),
        "{body}"
    );
}

#[tokio::test]
async fn a_notice_leaves_by_a_job_and_is_tried_again_when_the_mail_server_refuses() {
    let (url, taken) = smtp(1).await;
    let settings = [("SMTP_URL", url.as_str()), ("MAIL_FROM", "AgentFlow <flows@example.com>")];
    let world = World::with(&settings).await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    let workflow = acme.asking("Refunds", json!({ "title": "Refund", "message": "May we?" })).await;
    let run = acme.start(workflow, json!({ "title": "x" })).await;
    acme.asked(run).await;
    sqlx::query("update approvals set created_at = now() - interval '11 minutes'")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    // As the clock would at the full minute.
    sqlx::query("select from graphile_worker.add_job('notices', payload => 'null')")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    for _ in 0..400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if !taken.lock().unwrap().is_empty() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].contains("To: ana@acme.example") && taken[0].contains("Subject: Waiting for a decision: Refund"));
    let (state, body): (String, String) =
        sqlx::query_as("select state, body from emails").fetch_one(&mut world.owner().await).await.unwrap();
    assert_eq!(state, "sent");
    assert!(body.contains("\n[link removed after sending]\n") && !body.contains("/approve/"), "{body}");
    assert!(body.contains("/o/acme/approvals?sel="), "{body}");
    world.state.stop.request();
}

#[tokio::test]
async fn a_person_switches_the_mail_off_and_on() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let wanted = async || -> bool {
        let text = "select email_notices from users where name = 'Ada'";
        sqlx::query_scalar(text).fetch_one(&mut world.owner().await).await.unwrap()
    };
    assert!(wanted().await);
    let mut fields = vec![("name", "Ada"), ("undo", "5")];
    assert_eq!(ada.client.post_form(UpdateProfile::PATH, &fields).await.status, 200);
    assert!(!wanted().await, "a box that is not ticked is not sent");
    fields.push(("email_notices", "true"));
    assert_eq!(ada.client.post_form(UpdateProfile::PATH, &fields).await.status, 200);
    assert!(wanted().await);
}
