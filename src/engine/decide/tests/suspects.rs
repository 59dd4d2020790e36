//! Calls whose process died under them, and runs whose owners died before they came to a call.

use serde_json::json;

use super::*;

/// A run whose call has begun.
fn begun() -> World {
    let mut world = World::new(one_call(), json!({}), echo);
    world.owners_die = true;
    let begin = decide(&mut world.machine, Input::Loaded, world.now);
    world.write(&begin);
    let begun = decide(&mut world.machine, Input::Evaluated(StepId::root("one"), Ok(json!({}))), world.now);
    world.write(&begun);
    world
}

#[test]
fn a_run_is_worked_on_alone_once_a_call_of_it_was_there_when_two_owners_died() {
    let mut world = begun();
    let mut suspected = Vec::new();
    for _ in 0..2 {
        world.crash();
        suspected.push(is_suspect(&world.machine));
        let again = decide(&mut world.machine, Input::Loaded, world.now);
        world.write(&again);
    }
    assert_eq!(suspected, [false, true]);
}

/// The run after so many owners in a row were lost, and what the next one makes of it.
fn lost_before_the_next_write(owners: u32) -> (bool, World) {
    let mut world = begun();
    for _ in 0..owners {
        world.crash();
    }
    let suspected = is_suspect(&world.machine);
    let next = decide(&mut world.machine, Input::Loaded, world.now);
    world.write(&next);
    (suspected, world)
}

#[test]
fn owners_that_died_before_they_came_to_a_call_do_not_count_against_it() {
    // Of five in a row the first alone had the call under way: it begins anew, while nothing else is under way.
    let (suspected, world) = lost_before_the_next_write(5);
    let one = &world.machine.steps[&StepId::root("one")];
    assert_eq!((suspected, one.state, one.attempt, one.detail.crashes), (true, StepState::Running, 2, 1));
    // Where nobody can even read the run, it is given up all the same.
    let (suspected, world) = lost_before_the_next_write(12);
    let one = &world.machine.steps[&StepId::root("one")];
    let error = one.error.clone().unwrap_or_else(|| panic!("{one:?}"));
    assert_eq!((suspected, error.class), (false, ErrorClass::Poison));
    assert!(error.message.starts_with("12 processes in a row died"), "{}", error.message);
}
