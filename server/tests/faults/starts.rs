//! G2: one key is one run, however many ask at once, wherever, and whoever is killed meanwhile.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    arena::Arena,
    chaos,
    client::{Reply, Request},
    load::Load,
    options::Dice,
    place::Shape,
    report::Part,
};

/// How many ask at once.
const AT_ONCE: usize = 50;

/// Runs it.
pub async fn run(arena: &Arc<Arena>) -> Part {
    let mut part = Part::new("one key, fifty starts at once");
    let begun = Instant::now();
    let load = Load::new(arena.client.clone(), arena.options.seed);
    let mut dice = Dice::new(arena.options.seed, 20);
    let (mut across, mut mismatched) = (0, 0);
    for number in 0..arena.extent.keys {
        let token = format!("same-{number}");
        let asking = (0..AT_ONCE).map(|place| ask(arena, &token, place % arena.fleet.count(), json!({})));
        let kills = number % 8 == 7;
        let kill = async {
            if kills {
                tokio::time::sleep(Duration::from_millis(number as u64 % 25)).await;
                arena.fleet.kill(0).await;
            }
        };
        let (replies, ()) = tokio::join!(futures::future::join_all(asking), kill);
        if kills {
            part.fault("kill during starts");
            arena.fleet.start(0).await;
        }
        judge(&mut part, &token, &replies);
        // Again, until there is an answer: the run that all of them meant.
        let run = arena.client.start_with(Shape::Chain, &token, &json!({}), &mut dice).await;
        part.find_if(run.is_none(), "G2", || format!("{token} was never accepted"));
        let other = ask(arena, &token, dice.below(arena.fleet.count()), json!({ "seconds": 99 })).await;
        mismatched += usize::from(matches!(other.status, Some(422 | 409)));
        across += usize::from(reaches_across(arena, &token, run.as_deref().unwrap_or_default()).await);
    }
    part.note(
        "G2",
        format!(
            "keys {}, asked {AT_ONCE} times at once; another body refused {mismatched}; hits across tenants {across}",
            arena.extent.keys
        ),
    );
    part.find_if(mismatched < arena.extent.keys, "G2", || "another body with the same key was not refused".to_owned());
    part.find_if(across > 0, "G2", || format!("{across} keys reached across tenants"));
    load.come_to_rest(&mut part, &arena.tables, Duration::from_secs(120)).await;
    chaos::check(arena, &[&load], begun, &mut part).await;
    part
}

async fn ask(arena: &Arena, token: &str, place: usize, input: serde_json::Value) -> Reply {
    let request = Request::post(arena.client.path_of(Shape::Chain), json!({ "input": input })).with_token(token);
    arena.client.send(place, &arena.place.keys[0], request).await
}

fn judge(part: &mut Part, token: &str, replies: &[Reply]) {
    let accepted = replies.iter().filter(|reply| reply.status == Some(202));
    let runs: BTreeSet<String> = accepted.map(|reply| reply.body["id"].to_string()).collect();
    part.find_if(runs.len() > 1, "G2", || format!("{token} became {} runs", runs.len()));
    let odd = replies.iter().find(|reply| !matches!(reply.status, None | Some(202 | 409 | 503)));
    if let Some(reply) = odd {
        part.find("G2", format!("{token} was answered {:?} {}", reply.status, reply.body));
    }
}

/// Whether another organization's use of the same key touches this one's run, or its key our workflow.
async fn reaches_across(arena: &Arena, token: &str, run: &str) -> bool {
    let place = arena.fleet.serving()[0];
    let path = format!("/api/v1/workflows/{}/run", arena.place.foreign_workflow);
    let theirs = Request::post(path, json!({ "input": {} })).with_token(token);
    let theirs = arena.client.send(place, &arena.place.foreign, theirs).await;
    let ours = Request::post(arena.client.path_of(Shape::Chain), json!({ "input": {} })).with_token(token);
    let ours = arena.client.send(place, &arena.place.foreign, ours).await;
    theirs.body["id"] == run || ours.status == Some(202)
}
