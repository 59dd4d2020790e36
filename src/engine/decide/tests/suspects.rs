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
        suspected.push(!suspected_calls(&world.machine, world.now).is_empty());
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
    let suspected = !suspected_calls(&world.machine, world.now).is_empty();
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

/// The call after a suspect was begun twice more: whether it was out when each of the owners was lost.
fn lost_again(out: &[bool]) -> Step {
    let mut world = begun();
    for _ in 0..2 {
        world.crash();
        let again = decide(&mut world.machine, Input::Loaded, world.now);
        world.write(&again);
    }
    for out in out {
        world.crash();
        world.machine.suspect = out.then(|| StepId::root("one"));
        let again = decide(&mut world.machine, Input::Loaded, world.now);
        world.write(&again);
    }
    world.machine.steps[&StepId::root("one")].clone()
}

#[test]
fn a_suspect_that_waited_for_its_turn_is_not_given_up() {
    let one = lost_again(&[false, false, false]);
    assert_eq!((one.state, one.attempt, one.detail.crashes), (StepState::Running, 6, 2));
    let one = lost_again(&[false, true]);
    assert_eq!((one.detail.crashes, one.error.map(|error| error.class)), (3, Some(ErrorClass::Poison)));
}

#[test]
fn what_was_under_way_beside_a_suspect_of_its_run_does_not_count() {
    let mut world = begun();
    world.crash();
    world.machine.suspect = Some(StepId::root("another"));
    let again = decide(&mut world.machine, Input::Loaded, world.now);
    world.write(&again);
    let one = &world.machine.steps[&StepId::root("one")];
    assert_eq!((one.state, one.attempt, one.detail.crashes), (StepState::Running, 2, 0));
}
