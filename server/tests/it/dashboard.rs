//! The dashboard: each figure leads to the list that it counts, what fails is named, days are days of a time zone, and a
//! card that cannot be read leaves the others.

use agentflow::{
    dashboard::service::{self, Wish},
    jobs::Chore,
    kernel::{RunId, WorkflowId},
    runs::texts::TakeIn,
};
use serde_json::json;

use crate::{office::Office, people::Person, world::World};

/// The text of a piece of HTML.
fn text(html: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    for letter in html.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            letter if !inside => out.push(letter),
            _ => {}
        }
    }
    out.replace("&amp;", "&").replace("&#x2212;", "−")
}

/// The figures on the page: the address behind each, and its text.
fn tiles(html: &str) -> Vec<(Option<String>, String)> {
    let tile = |part: &str| {
        let part = part.split("</li>").next().unwrap_or_default();
        let href = part.split("href=\"").nth(1).and_then(|rest| rest.split('"').next());
        (href.map(|href| href.replace("&amp;", "&")), text(&format!("<{part}")))
    };
    html.split("<li class=\"tile\"").skip(1).map(tile).collect()
}

/// How many runs a list says that it has.
async fn listed(person: &mut Person, address: &str) -> u64 {
    let page = person.client.get(address).await;
    assert_eq!(page.status, 200, "{address}");
    let said = page.text().split("<p class=\"hint\">").filter_map(|part| {
        let words = text(part.split("</p>").next()?);
        words.strip_suffix(" runs").or(words.strip_suffix(" run"))?.replace(',', "").parse().ok()
    });
    said.last().unwrap_or(0)
}

/// A run that came to something so many hours ago.
async fn past(world: &World, office: &Office, workflow: WorkflowId, state: &str, hours: f64) -> RunId {
    let run = office.start(workflow, json!({ "title": format!("{state} {hours}") })).await;
    sqlx::query(
        "update runs set state = $2, wake_at = null, owner = null, cost_micros = 1500, tokens_in = 20,
                created_at = now() - make_interval(secs => $3 * 3600),
                started_at = now() - make_interval(secs => $3 * 3600),
                finished_at = case when $2 <> 'running' then now() - make_interval(secs => $3 * 3600 - 90) end,
                error = case when $2 = 'failed' then
                    '{\"code\": \"http.503\", \"message\": \"The warehouse said 503.\", \"class\": \"unavailable\"}'::jsonb end
         where id = $1",
    )
    .bind(run)
    .bind(state)
    .bind(hours)
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    run
}

#[tokio::test]
async fn each_figure_leads_to_a_list_of_as_many_runs_in_every_period() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let workflow = acme.simple().await;
    for hours in [0.3, 0.5, 2.0, 20.0, 30.0, 100.0, 170.0, 300.0, 700.0, 800.0, 1_000.0, 1_500.0] {
        past(&world, &acme, workflow, "succeeded", hours).await;
        past(&world, &acme, workflow, if hours < 1.0 { "failed" } else { "cancelled" }, hours).await;
    }
    past(&world, &acme, workflow, "running", 3.0).await;
    past(&world, &acme, workflow, "failed", 400.0).await;
    let day = async |back: i32| {
        let day = "select ((now() at time zone 'UTC')::date - $1)::text";
        sqlx::query_scalar::<_, String>(day).bind(back).fetch_one(&mut world.owner().await).await.unwrap()
    };
    let (early, late) = (day(45).await, day(10).await);
    let periods = [
        String::new(),
        "?range=7d".to_owned(),
        "?range=30d".to_owned(),
        format!("?from={early}&to={late}"),
        format!("?from={late}"),
    ];
    let twice = periods.iter().map(|period| (period, false)).chain(periods.iter().map(|period| (period, true)));
    for (period, taken_in) in twice {
        if taken_in {
            TakeIn.run(world.deps()).await.unwrap();
        }
        let page = ada.client.get(&format!("/o/{}/{period}", ada.org)).await;
        assert_eq!(page.status, 200, "{period}");
        let tiles = tiles(page.text());
        assert_eq!(tiles.len(), 10, "{period}: {}", page.text());
        for (href, said) in tiles {
            let href = href.unwrap_or_default();
            if href.contains("/runs?") {
                let count = listed(&mut ada, &href).await;
                let words = if count == 1 { "1 run".to_owned() } else { format!("{count} runs") };
                assert!(said.contains(&words), "{period}: {said:?} leads to {words}");
            }
        }
        let csv = ada.client.get(&format!("/o/{}/dashboard.csv{period}", ada.org)).await;
        assert_eq!(csv.status, 200);
        assert!(csv.text().starts_with("from,to,succeeded,failed,stopped,not_ended\r\n"), "{}", csv.text());
        let sum: u64 = csv
            .text()
            .lines()
            .skip(1)
            .map(|line| line.split(',').skip(2).map(|cell| cell.parse::<u64>().unwrap()).sum::<u64>())
            .sum();
        let runs = tiles_of(page.text(), "Runs");
        assert_eq!(sum, runs, "{period}: the bars add up to the figure");
    }
    let mut tx = world.deps().db.tenant(acme.owner.org_id()).await.unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from run_figures").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(kept, 25, "all that ended were counted by their figures the second time");
    let page = ada.client.get(&format!("/o/{}/?from=2020-01-01&to=2020-01-02", ada.org)).await;
    assert!(page.text().contains("No runs in this period"), "{}", page.text());
}

/// The number on the figure with this label.
fn tiles_of(html: &str, label: &str) -> u64 {
    let (_, said) = tiles(html).into_iter().find(|(_, said)| said.starts_with(label)).expect(label);
    let rest = said.split_once(label).unwrap().1;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn what_fails_now_is_named_until_it_succeeds() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let workflow = acme.simple().await;
    past(&world, &acme, workflow, "failed", 50.0).await;
    past(&world, &acme, workflow, "succeeded", 40.0).await;
    for hours in [30.0, 20.0, 10.0] {
        past(&world, &acme, workflow, "failed", hours).await;
    }
    let home = format!("/o/{}/", ada.org);
    let page = ada.client.get(&home).await;
    let (_, card) = page.text().split_once("Failing now").expect("the card");
    let card = card.split("</section>").next().unwrap();
    assert!(text(card).contains("3 runs failed since") && text(card).contains("The warehouse said 503."), "{card}");
    let href = card.split("href=\"").find(|part| part.contains("state=failed")).unwrap();
    let href = href.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(listed(&mut ada, &href).await, 3);
    past(&world, &acme, workflow, "succeeded", 1.0).await;
    assert!(ada.client.get(&home).await.text().contains("No workflow fails"));
}

#[tokio::test]
async fn a_card_that_cannot_be_read_leaves_the_others() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    past(&world, &acme, acme.simple().await, "succeeded", 1.0).await;
    let home = format!("/o/{}/?range=7d", ada.org);
    let mut owner = world.owner().await;
    sqlx::raw_sql("revoke select on budgets from agentflow_app").execute(&mut owner).await.unwrap();
    let page = ada.client.get(&home).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.text().matches("<div class=\"callout danger\">").count(), 1, "{}", page.text());
    assert!(page.text().contains("This could not be read."));
    for part in ["Success rate", "Recent runs", "Nothing waits for your decision", "Retry", "range=7d"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    sqlx::raw_sql("grant select on budgets to agentflow_app").execute(&mut owner).await.unwrap();
    let page = ada.client.get(&home).await;
    assert!(!page.text().contains("could not be read") && page.text().contains("No budget bounds what is spent"));
}

#[tokio::test]
async fn a_day_is_as_long_as_it_is_in_its_time_zone() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    let hours = async |from: &str, to: &str, zone: &str| {
        let wish = Wish { from: Some(from.to_owned()), to: Some(to.to_owned()), ..Wish::default() };
        let bars = service::chart(&acme.owner.grant().unwrap(), &wish, zone).await.unwrap();
        assert!(bars.windows(2).all(|two| two[0].to == two[1].from), "without gaps");
        bars.iter().map(|bar| (bar.to - bar.from).num_hours()).collect::<Vec<_>>()
    };
    // Summer time ends on 25 October 2026 in Berlin, and begins on 29 March.
    let autumn = hours("2026-10-10", "2026-10-31", "Europe/Berlin").await;
    assert_eq!((autumn.len(), autumn[15], autumn.iter().sum::<i64>()), (22, 25, 22 * 24 + 1));
    let spring = hours("2026-03-15", "2026-04-05", "Europe/Berlin").await;
    assert_eq!((spring.len(), spring[14], spring.iter().sum::<i64>()), (22, 23, 22 * 24 - 1));
    assert!(hours("2026-10-10", "2026-10-31", "UTC").await.iter().all(|hours| *hours == 24));
    assert_eq!(hours("2026-10-25", "2026-10-25", "Europe/Berlin").await, [1; 25]);
    assert_eq!(hours("2026-10-25", "2026-10-25", "America/New_York").await.len(), 24);
}

#[tokio::test]
async fn days_that_no_calendar_has_are_left_out() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    past(&world, &acme, acme.simple().await, "succeeded", 1.0).await;
    for day in ["%2B262142-12-31", "%2B262142-12-31T23:59:59Z", "-5000-01-01", "0000-01-01", "9999-12-31", "0001-01-01"]
    {
        for query in [format!("from={day}"), format!("to={day}")] {
            for page in ["", "dashboard.csv", "runs"] {
                let address = format!("/o/{}/{page}?{query}", ada.org);
                let answer = ada.client.get(&address).await;
                assert_eq!(answer.status, 200, "{address}");
                assert!(!answer.text().contains("could not be read"), "{address}: {}", answer.text());
            }
        }
    }
}
