//! Searching a run: all that was found, and where.

use agentflow::{
    engine::state::{RunState, StepId},
    kernel::{Kind, RunId},
    runs::{LogQuery, find::find, logs},
};
use serde_json::json;

use crate::{
    office::{Office, any, start},
    world::World,
};

#[tokio::test]
async fn a_run_is_searched_in_names_inputs_outputs_errors_and_its_log() {
    let world = World::new().await;
    world.work();
    let mut ada = world.sign_up("Ada").await;
    let acme = Office::of(&world, &ada.org).await;
    let nodes = json!([
        start(),
        { "id": "greet", "name": "Say Hello", "kind": "transform", "after": ["start"],
          "value": { "text": "Line one\n\"Quoted\" Größe\tC:\\temp" } },
        { "id": "large", "kind": "transform", "after": ["greet"], "value": { "all": "{{ 'x'.repeat(400000) + ' needle-in-the-hay' }}" } },
        { "id": "each", "kind": "map", "items": "{{ [...Array(30).keys()] }}", "after": ["large"],
          "nodes": [{ "id": "sum", "kind": "tool", "tool": "calculator", "on_error": "continue",
                      "arguments": { "expression": "{{ item % 10 == 0 ? '1 +' : '1 + 1' }}" } }] },
        { "id": "end", "kind": "end", "after": ["each"] },
    ]);
    let workflow = acme.workflow("Search me", any(), nodes).await;
    let run = acme.start(workflow, json!({ "title": "Findable", "secret_word": "Abracadabra" })).await;
    acme.until(run, RunState::Succeeded).await;
    let grant = acme.owner.grant().unwrap();
    let search = async |text: &str| find(&grant, run, text).await.unwrap().unwrap();
    let hit = async |text: &str, id: &str| {
        let found = search(text).await;
        found.steps.into_iter().find(|hit| hit.id.as_str() == id).map(|hit| hit.places)
    };
    assert!(hit("say hello", "greet").await.is_some_and(|places| places.name && !places.output));
    assert!(hit("LARGE", "large").await.is_some_and(|places| places.name), "by the id, too");
    // As people read it: quotes, backslashes and capital letters of every script.
    for text in ["line ONE", "GRÖßE", "c:\\TEMP", "\"Quoted\" Größe"] {
        assert!(hit(text, "greet").await.is_some_and(|places| places.output), "{text:?}");
    }
    assert_eq!(hit("one\\n", "greet").await, None, "escapes are not letters");
    assert!(
        hit("needle-in-the-hay", "large").await.is_some_and(|places| places.output),
        "stored apart, found all the same"
    );
    let own = search("abracadabra").await;
    assert!(own.run.input && !own.run.output);
    let none = search("nothing like this").await;
    assert_eq!((none.steps.len(), none.lines), (0, 0));
    assert!(find(&grant, run, " \u{0} ").await.unwrap().is_none(), "nothing is searched for");

    // Every step that fits is counted, and so is every line.
    let failing = search("1 +").await;
    let of_tools = failing.steps.iter().filter(|hit| hit.id.as_str().ends_with(".sum") && hit.places.input).count();
    assert_eq!(of_tools, 30, "each expression has it");
    let lines = logs::page(&grant, run, LogQuery::default()).await.unwrap().lines;
    let line = lines.iter().find(|line| line.step.is_some()).unwrap();
    let words: String = line.message.chars().take(40).collect();
    let words = words.trim();
    let same = |message: &str| message.to_lowercase().contains(&words.to_lowercase());
    let found = search(words).await;
    assert_eq!(found.lines as usize, lines.iter().filter(|line| same(&line.message)).count(), "{words}");
    let of_step: u64 = found.steps.iter().map(|hit| hit.places.lines).sum::<u64>() + found.run.lines;
    assert_eq!(of_step, found.lines);

    // The page says so, without JavaScript, and shows them alone where that is asked for.
    let base = format!("/o/{}/runs/{run}", ada.org);
    let page = ada.client.get(&format!("{base}?find=needle-in-the-hay")).await;
    assert!(
        page.text().contains("“needle-in-the-hay” is in 1 step.") && page.text().contains("in its output"),
        "{}",
        page.text()
    );
    let alone = ada.client.get(&format!("{base}?find=needle-in-the-hay&only=found")).await;
    assert!(alone.text().contains("?step=large") && !alone.text().contains("?step=greet"));
    let focused = ada.client.get(&format!("{base}?root=each.3")).await;
    assert!(focused.text().contains("Where the tree begins") && focused.text().contains("?step=each.3.sum"));
    assert!(!focused.text().contains("?step=greet"));

    // Nobody else's.
    let rival = Office::new(&world, "Rival").await;
    let refused = find(&rival.owner.grant().unwrap(), run, "hello").await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound);
    assert_eq!(find(&grant, RunId::new(), "hello").await.unwrap_err().kind, Kind::NotFound);
    assert!(acme.run(run).await.view.step(&StepId::from_text("greet")).is_some());
}
