//! Logs, of a run and of all runs: windows at any place, filters, what is searched for, and files with the same lines.

use agentflow::{engine::state::RunState, kernel::RunId};
use serde_json::{Value, json};
use server::seed::{ground::Ground, log};

use crate::{
    office::{Office, any, start},
    world::{Client, World},
};

const READ: &str = "/rpc/app/logs/api/read_log";

/// What the server answers to a page that asks.
async fn ask(client: &mut Client, org: &str, run: Option<RunId>, query: Value) -> Value {
    let reply = client.post_json(READ, &json!({ "org": org, "run": run, "query": query })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_str(reply.text()).unwrap()
}

fn total(part: &Value) -> u64 {
    part["facts"]["total"].as_u64().unwrap()
}

/// What the rows of a part begin with: place and number.
fn rows(part: &Value) -> Vec<(u64, i64)> {
    let html = part["html"]["rows"].as_str().unwrap();
    let number =
        |row: &str, before: &str| row.split(before).nth(1).unwrap().split(['"', '-']).next().unwrap().to_owned();
    let rows = html.split("role=\"row\"").skip(1);
    rows.map(|row| (number(row, "aria-rowindex=\"").parse().unwrap(), number(row, "id=\"L").parse().unwrap())).collect()
}

/// The numbers of a file's lines.
async fn file(client: &mut Client, path: &str) -> Vec<i64> {
    let reply = client.get(path).await;
    assert_eq!(reply.status, 200, "{path}");
    reply.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_window_of_a_long_log_is_one_answer_and_its_search_is_exact() {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let run = log::make(&Ground::new(world.deps(), acme.owner.org().clone()), 7, 1_203, 61).await.unwrap();
    let (org, client) = (ada.org.clone(), &mut ada.client);
    let path = |query: &str| format!("/o/{org}/runs/{run}/log.jsonl?{query}");
    let all = file(client, &path("")).await;
    assert_eq!(all.len(), 1_203);

    // Blocks by number, from the beginning, the middle and the end; what is beyond it is nothing.
    for (block, blocks) in [(0, 2), (10, 1), (39, 4), (40, 4), (41, 1), (4_000_000, 12)] {
        let part = ask(client, &org, Some(run), json!({ "spot": "Block", "block": block, "blocks": blocks })).await;
        let from = usize::try_from(block * 30).unwrap().min(all.len());
        let to = (from + blocks * 30).min(all.len());
        let expected: Vec<_> = (from..to).map(|place| (place as u64 + 1, all[place])).collect();
        assert_eq!(rows(&part), expected, "{block}");
        assert_eq!(total(&part), 1_203);
    }
    let end = ask(client, &org, Some(run), json!({ "spot": "End", "blocks": 2 })).await;
    assert_eq!(rows(&end).last(), Some(&(1_203, all[1_202])));
    assert_eq!(end["facts"]["first"], 39);
    let numbers = ask(client, &org, Some(run), json!({ "spot": "End", "since": 1_100 })).await;
    assert!(rows(&numbers).is_empty() && numbers["html"]["bar"].is_null());
    let errors = file(client, &path("level=error")).await;
    let late = errors.iter().filter(|seq| **seq >= all[1_100]).count();
    assert_eq!(numbers["facts"]["errors"].as_u64().unwrap() as usize, late);

    // The count on screen, and the file with the same lines.
    for (query, lines) in [
        ("q=TimeOut", 61),
        ("q=tim%5Beo%5D%2But&regex=1", 61),
        ("q=TimeOut&regex=1", 0),
        ("q=timeout&mode=highlight", 1_203),
        ("q=%28&regex=1", 1_203),
        ("not_level=debug&not_level=info&not_level=warn&not_level=error", 0),
        ("step=fetch", 300),
        ("of=fetch", 300),
        ("not_step=fetch&not_step=ship", 602),
        ("agent=nobody", 0),
        ("not_agent=nobody", 1_203),
        ("to=2020-01-01T00:00", 0),
        ("from=2020-01-01T00:00", 1_203),
        ("level=loud", 1_203),
    ] {
        let part = ask(client, &org, Some(run), json!({ "address": query, "blocks": 4 })).await;
        let seen = total(&part) as usize;
        assert!(seen.abs_diff(lines) <= usize::from(lines > 100 && lines < 1_000) * 3, "{query}: {seen}");
        assert_eq!(file(client, &path(query)).await.len(), seen, "{query}");
        assert!(rows(&part).len() <= 120);
    }
    let fault = ask(client, &org, Some(run), json!({ "address": "q=a(b&regex=1" })).await;
    assert!(fault["html"]["found"].as_str().unwrap().contains("This is no pattern: unclosed group."));

    // Each hit is marked, and the nth is brought into sight, whether the others are shown or not.
    let hits = file(client, &path("q=timeout")).await;
    for (address, place) in [
        ("q=timeout&hit=3".to_owned(), 2),
        ("q=timeout&mode=highlight".to_owned(), all.iter().position(|seq| *seq == hits[0]).unwrap()),
        ("q=timeout&mode=highlight&hit=40".to_owned(), all.iter().position(|seq| *seq == hits[39]).unwrap()),
        ("q=timeout&hit=9999".to_owned(), 60),
    ] {
        let part = ask(client, &org, Some(run), json!({ "address": address, "blocks": 4 })).await;
        assert_eq!(part["facts"]["focus"], place, "{address}");
        let html = part["html"]["rows"].as_str().unwrap();
        assert_eq!(html.matches("is-hit").count(), 1, "{address}");
        assert!(html.contains("<mark>timeout</mark>"), "{address}");
        assert!(part["html"]["found"].as_str().unwrap().contains("of 61 lines that hold it"), "{address}");
    }
    // A line of the address, shown or hidden; and those around it, whatever is shown.
    let seq = all[777];
    let line = ask(client, &org, Some(run), json!({ "hash": format!("#L{seq}"), "spot": "Line", "blocks": 4 })).await;
    assert_eq!(line["facts"]["focus"], 777);
    assert_eq!(line["html"]["rows"].as_str().unwrap().matches("is-marked").count(), 1);
    let hidden = json!({ "address": "q=timeout", "hash": format!("#L{}", hits[5] + 1), "spot": "Line", "blocks": 4 });
    let hidden = ask(client, &org, Some(run), hidden).await;
    if !hits.contains(&(hits[5] + 1)) {
        assert!(hidden["html"]["found"].as_str().unwrap().contains("Show context"));
    }
    let around = ask(client, &org, Some(run), json!({ "address": format!("q=timeout&around={seq}") })).await;
    assert_eq!(around["html"]["found"].as_str().unwrap().matches("class=\"log-line").count(), 21);
    // The place is kept where the same lines are shown otherwise, and the search is not sent again.
    let known = json!({ "address": "wrap=1", "known": "", "top": 500, "blocks": 4 });
    let wrapped = ask(client, &org, Some(run), known).await;
    assert_eq!((&wrapped["facts"]["focus"], &wrapped["facts"]["wrap"]), (&json!(500), &json!(true)));
    let same = ask(client, &org, Some(run), json!({ "address": "q=timeout&hit=2", "known": "q=timeout&hit=1" })).await;
    assert!(same["html"]["bar"].is_null() && same["facts"]["focus"] == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_has_each_line_once_and_the_last_five_hundred_without_a_script() {
    let world = World::with(&[("AGENTFLOW_SANDBOX_PAUSE_MS", "0")]).await;
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let run = log::make(&Ground::new(world.deps(), acme.owner.org().clone()), 7, 1_203, 61).await.unwrap();
    let org = ada.org.clone();
    let all = file(&mut ada.client, &format!("/o/{org}/runs/{run}/log.jsonl")).await;
    let mut page = format!("/o/{org}/runs/{run}?view=logs");
    let mut end = all.len();
    for _ in 0..3 {
        let reply = ada.client.get(&page).await;
        assert_eq!(reply.status, 200);
        let html = reply.text();
        let begin = end.saturating_sub(500);
        assert_eq!(html.matches("class=\"log-line").count(), end - begin, "{page}");
        for place in [begin, end - 1] {
            assert_eq!(html.matches(&format!("id=\"L{}\"", all[place])).count(), 1);
        }
        // In the page, and not a second time in its data.
        assert_eq!(html.matches("data-pick=\\\"level").count(), 0);
        assert_eq!(html.contains("Older lines"), begin > 0);
        assert_eq!(html.contains("Newer lines"), end < all.len());
        assert!(html.contains("Download the log as .csv") && html.contains("log-chart"));
        end = begin;
        page = format!("/o/{org}/runs/{run}?view=logs&end={end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_logs_of_an_organization_are_one_and_nobody_else_s() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let mut bob = world.sign_up("Bob").await;
    let acme = Office::of(&world, &ada.org).await;
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ [...Array(40).keys()] }}", "concurrency": 20, "after": ["start"],
          "nodes": [{ "id": "sum", "kind": "tool", "tool": "calculator", "on_error": "continue",
                      "arguments": { "expression": "{{ item % 10 == 0 ? '1 +' : '1 + 1' }}" } }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.workflow("Sums", any(), nodes).await;
    let org = ada.org.clone();
    let mut counts = Vec::new();
    for _ in 0..2 {
        let run = acme.start(workflow, json!({})).await;
        acme.until(run, RunState::Succeeded).await;
        let own = file(&mut ada.client, &format!("/o/{org}/runs/{run}/log.jsonl?level=warn")).await.len();
        let whole = file(&mut ada.client, &format!("/o/{org}/runs/{run}/log.jsonl")).await.len();
        // What was asked before is known, and what came since is found.
        let filtered = ask(&mut ada.client, &org, None, json!({ "address": "level=warn", "blocks": 4 })).await;
        let all = ask(&mut ada.client, &org, None, json!({ "blocks": 4 })).await;
        counts.push((own, whole));
        let sum = |of: fn(&(usize, usize)) -> usize| counts.iter().map(of).sum::<usize>() as u64;
        assert_eq!((total(&filtered), total(&all)), (sum(|it| it.0), sum(|it| it.1)), "{counts:?}");
        assert_eq!(file(&mut ada.client, &format!("/o/{org}/logs.jsonl")).await.len() as u64, total(&all));
        assert_eq!(
            file(&mut ada.client, &format!("/o/{org}/logs.jsonl?level=warn")).await.len() as u64,
            total(&filtered)
        );
        let rows = all["html"]["rows"].as_str().unwrap();
        assert!(rows.contains(&format!("/o/{org}/runs/{run}?view=logs#L")), "{rows}");
    }
    assert!(counts[0].0 > 0 && counts[0].0 < counts[0].1, "{counts:?}");
    // While the same lines are looked at they begin where they began; other lines begin anew, and so do all that would begin
    // too late.
    let first = ask(&mut ada.client, &org, None, json!({ "blocks": 4 })).await;
    let begin = first["facts"]["begin"].as_i64().unwrap();
    let day = 86_400_000_000_i64;
    let (warned, whole) = (counts[0].0 + counts[1].0, counts[0].1 + counts[1].1);
    for (address, known, asked, is_kept, lines) in [
        ("", "", begin, true, whole),
        ("", "", begin - day, true, whole),
        ("level=warn", "level=warn", begin, true, warned),
        ("level=warn", "level=warn&wrap=1", begin - day, true, warned),
        ("level=warn", "level=warn", begin, true, warned),
        ("level=warn", "", begin, false, warned),
        ("", "", begin + day, false, whole),
    ] {
        let query = json!({ "address": address, "known": known, "begin": asked, "spot": "Block", "blocks": 4 });
        let part = ask(&mut ada.client, &org, None, query).await;
        assert_eq!(part["facts"]["begin"].as_i64() == Some(asked), is_kept, "{address} {known} {asked}");
        assert_eq!(total(&part), lines as u64, "{address} {known} {asked}");
    }
    let hour =
        ask(&mut ada.client, &org, None, json!({ "address": "range=1h&q=answered&mode=highlight&hit=2", "blocks": 4 }))
            .await;
    assert_eq!(total(&hour), (counts[0].1 + counts[1].1) as u64);
    assert_eq!(ada.client.get(&format!("/o/{org}/logs?q=x")).await.status, 200);
    // Nobody else's.
    let own = bob.org.clone();
    assert_eq!(total(&ask(&mut bob.client, &own, None, json!({})).await), 0);
    for path in ["logs", "logs.txt", "logs.jsonl", "logs.csv"] {
        assert_eq!(bob.client.get(&format!("/o/{org}/{path}")).await.status, 404, "{path}");
    }
    let foreign = json!({ "org": org, "run": null, "query": {} });
    assert_eq!(bob.client.post_json(READ, &foreign).await.status, 404);
    for odd in ["a\0b", "\u{1b}[", "%00", "&&==", "(((((("] {
        ask(
            &mut ada.client,
            &org,
            None,
            json!({ "address": format!("q={odd}&regex=1&step={odd}"), "hash": odd, "known": odd }),
        )
        .await;
    }
}
