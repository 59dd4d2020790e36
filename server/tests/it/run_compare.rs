//! Two runs beside each other: which steps differ, where that began, and the page that shows it.

use agentflow::{
    access::Role,
    engine::state::{RunState, StepId},
    kernel::{Kind, RunId},
    runs::{
        AgainFrom,
        compare::{self, Ask, WINDOW},
        control,
    },
};
use serde_json::json;

use crate::{
    office::{Office, any, start},
    world::World,
};

fn all() -> Ask {
    Ask { all: true, ..Ask::default() }
}

#[tokio::test]
async fn steps_stand_beside_each_other_and_the_first_difference_is_pointed_out() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    let nodes = json!([
        start(),
        { "id": "kind", "kind": "transform", "value": "order", "after": ["start"] },
        { "id": "each", "kind": "map", "items": "{{ input.prices }}", "after": ["kind"],
          "nodes": [{ "id": "twice", "kind": "transform", "value": "{{ item * 2 }}" }] },
        { "id": "total", "kind": "transform", "value": "{{ input.prices.length }}", "after": ["each"] },
        { "id": "end", "kind": "end", "after": ["total"] },
    ]);
    let workflow = acme.workflow("Prices", any(), nodes).await;
    let one = acme.start(workflow, json!({ "title": "One", "prices": [1, 2, 3] })).await;
    let other = acme.start(workflow, json!({ "title": "Other", "prices": [1, 5] })).await;
    for run in [one, other] {
        acme.until(run, RunState::Succeeded).await;
    }
    let grant = acme.owner.grant().unwrap();
    let told = compare::compare(&grant, [one, other], &all()).await.unwrap();
    assert_eq!(told.runs.each_ref().map(|run| run.title.as_str()), ["One", "Other"]);
    let pair = |id: &str| told.steps.iter().find(|pair| pair.id.as_str() == id).unwrap();
    assert!(!pair("kind").differs() && !pair("each.0.twice").differs());
    assert!(pair("each.1.twice").output && pair("each.1.twice").sides.iter().all(Option::is_some));
    assert!(pair("each.2.twice").sides[0].is_some() && pair("each.2.twice").sides[1].is_none());
    assert_eq!(pair("each.1.twice").depth, 2);
    assert_eq!(told.total, told.steps.len());
    assert_eq!(told.differing, told.steps.iter().filter(|pair| pair.differs()).count());
    assert!(told.given);
    // The map was given other items: that is where the difference began.
    assert_eq!(told.first.as_ref().map(|pair| pair.id.as_str()), Some("each"));
    // Only what differs, and of one step the values.
    let ask = Ask { step: Some(StepId::from_text("each.1.twice")), ..Ask::default() };
    let short = compare::compare(&grant, [one, other], &ask).await.unwrap();
    assert!(short.steps.iter().all(compare::Pair::differs) && short.steps.len() == told.differing);
    let chosen = short.chosen.unwrap();
    assert_eq!(chosen.output.values, [Some(json!(4)), Some(json!(10))]);
    // The same run twice is the same.
    let same = compare::compare(&grant, [one, one], &Ask::default()).await.unwrap();
    assert_eq!((same.differing, same.first, same.steps.len()), (0, None, 0));
    // Somebody else's run is none.
    let rival = Office::new(&world, "Rival").await;
    for runs in [[one, other], [other, RunId::new()]] {
        let refused = compare::compare(&rival.owner.grant().unwrap(), runs, &all()).await.unwrap_err();
        assert_eq!(refused.kind, Kind::NotFound);
    }
}

#[tokio::test]
async fn many_steps_come_in_windows_and_a_run_is_offered_what_belongs_to_it() {
    let world = World::new().await;
    let acme = Office::new(&world, "Acme").await;
    world.work();
    let nodes = json!([
        start(),
        { "id": "each", "kind": "map", "items": "{{ [...Array(input.many).keys()] }}", "concurrency": 50, "after": ["start"],
          "nodes": [{ "id": "add", "kind": "transform", "value": "{{ item + input.add }}" }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.workflow("Many", any(), nodes).await;
    let of = |add: i32| acme.start(workflow, json!({ "title": format!("Add {add}"), "many": 250, "add": add }));
    let (one, other) = (of(1).await, of(2).await);
    for run in [one, other] {
        acme.until(run, RunState::Succeeded).await;
    }
    let grant = acme.owner.grant().unwrap();
    let first = compare::compare(&grant, [one, other], &Ask::default()).await.unwrap();
    assert!(first.steps.len() == WINDOW && first.more && first.differing > 250, "{}", first.differing);
    let mut seen: Vec<_> = first.steps.into_iter().map(|pair| pair.id).collect();
    while seen.len() < first.differing {
        let ask = Ask { from: seen.len(), ..Ask::default() };
        let next = compare::compare(&grant, [one, other], &ask).await.unwrap();
        assert_eq!(next.more, seen.len() + next.steps.len() < first.differing);
        assert!(!next.steps.is_empty());
        seen.extend(next.steps.into_iter().map(|pair| pair.id));
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), first.differing, "each once");

    let how = agentflow::runs::Again { from: AgainFrom::Start, input: None, newest: false };
    let again = control::again(&acme.owner.grant().unwrap(), one, &how, None).await.unwrap().run;
    acme.until(again, RunState::Succeeded).await;
    let detail = acme.run(one).await;
    assert_eq!(detail.retried_by, [(again, "rerun".to_owned())]);
    let offer = compare::offer(&acme.owner.grant().unwrap(), one).await.unwrap();
    assert_eq!(offer.again, 1);
    assert_eq!(offer.related.iter().map(|run| run.id).collect::<Vec<_>>(), [again]);
    assert_eq!(offer.others.iter().map(|run| run.id).collect::<Vec<_>>(), [other]);
    let back = compare::offer(&acme.owner.grant().unwrap(), again).await.unwrap();
    assert_eq!(back.related.iter().map(|run| run.id).collect::<Vec<_>>(), [one], "what it does again");
}

#[tokio::test]
async fn the_page_of_a_comparison_is_whole_without_javascript() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let nodes = json!([
        start(),
        { "id": "say", "kind": "transform", "value": { "text": "{{ input.text }}", "to": "all" }, "after": ["start"] },
        { "id": "end", "kind": "end", "after": ["say"] },
    ]);
    let workflow = acme.workflow("Say", any(), nodes).await;
    let mut runs = Vec::new();
    for text in ["Good <b>day</b>", "Good night"] {
        let run = acme.start(workflow, json!({ "title": text, "text": text })).await;
        acme.until(run, RunState::Succeeded).await;
        runs.push(run);
    }
    let (one, other) = (runs[0], runs[1]);
    let base = format!("/o/{}/runs", ada.org);
    let page = ada.client.get(&format!("{base}/{one}...{other}?step=say")).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    let parts = [
        "Compare runs",
        "The runs were given different inputs.",
        "The first difference is at",
        "the same",
        "Removed: ",
        "Added: ",
        "Good night",
    ];
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("<b>day</b>"), "texts are texts");
    assert!(text.contains(&format!("{base}/{other}...{one}")), "the two can be swapped");
    // The other address of the same, which a form leads to.
    let typed = ada.client.get(&format!("{base}/{other}/compare?with={one}")).await;
    assert!(typed.text().contains("The first difference is at"));
    // What is no run is said at the field, which keeps it.
    for with in ["nonsense", "run_01jd0000000000000000000000"] {
        let refused = ada.client.get(&format!("{base}/{other}/compare?with={with}")).await;
        assert!(refused.text().contains("There is no run with this id.") && refused.text().contains(with));
    }
    let choice = ada.client.get(&format!("{base}/{other}/compare")).await;
    assert!(choice.text().contains(&format!("{base}/{one}...{other}")), "the older one stands first");
    for path in ["nonsense...nonsense", "run_01jd0000000000000000000000/compare", "a...b...c"] {
        assert_eq!(ada.client.get(&format!("{base}/{path}")).await.status, 404, "{path}");
    }
    let viewer = acme.member(&world, "Vera", Role::Viewer).await;
    assert!(compare::compare(&viewer.grant().unwrap(), [one, other], &all()).await.is_ok(), "who may see payloads");
}
