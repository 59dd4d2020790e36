use agentflow::engine::{
    journal::{Event, StoredEvent},
    state::{StepId, StepKind},
};

use super::*;
use crate::runs::fixture::{at, failing_run, folded, head, numbered, started, succeeded};

fn bar(events: &[StoredEvent], id: &str, now_ms: i64) -> Vec<(Part, i64, i64)> {
    let view = folded(events);
    let id = StepId::from_text(id);
    let step = view.step(&id).expect("a step");
    segments(step, at(0), at(now_ms))
        .into_iter()
        .map(|segment| (segment.part, segment.from_ms, segment.to_ms))
        .collect()
}

#[test]
fn queue_work_and_pauses_between_attempts_are_told_apart() {
    assert_eq!(
        bar(&failing_run(), "triage.lookup1", 9_999),
        [
            (Part::Queue, 900, 1_000),
            (Part::Work, 1_000, 1_500),
            (Part::Backoff, 1_500, 2_500),
            (Part::Work, 2_500, 3_000),
            (Part::Backoff, 3_000, 5_000),
            (Part::Work, 5_000, 5_500),
        ]
    );
    let view = folded(&failing_run());
    let failures = &view.step(&StepId::from_text("triage.lookup1")).expect("a step").failures;
    assert_eq!(failures.iter().map(|failure| failure.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(failures[1].from, Some(at(2_500)));
}

#[test]
fn an_unfinished_step_reaches_to_now_and_a_wait_for_a_person_is_not_work() {
    let send = head("send", StepKind::Tool, 100);
    let waiting = Event::StepWaiting {
        step: send.clone(),
        attempt: 0,
        until: None,
        approval: Some("apr_01jd0000000000000000000000".parse().expect("an id")),
        lock: None,
    };
    let events = numbered([(200, waiting)]);
    assert_eq!(bar(&events, "send", 700), [(Part::Queue, 100, 200), (Part::Person, 200, 700)]);
    let mut later: Vec<_> = events.into_iter().map(|event| (200, event.event)).collect();
    later.extend([(900, started(&send, 1)), (1_000, succeeded(&send, 0))]);
    let later = numbered(later);
    assert_eq!(
        bar(&later, "send", 5_000),
        [(Part::Queue, 100, 200), (Part::Person, 200, 900), (Part::Work, 900, 1_000)]
    );
}

#[test]
fn the_axis_has_round_marks_and_room_while_the_run_goes_on() {
    let ended = Scale::of_run(9_700, true);
    assert_eq!((ended.from_ms, ended.to_ms), (0, 9_700));
    assert_eq!(ended.marks().into_iter().map(|(_, words)| words).collect::<Vec<_>>(), ["0", "5\u{a0}s"]);
    let running = Scale::of_run(9_700, false);
    assert!(running.to_ms > 9_700);
    assert_eq!(running, Scale::of_run(9_900, false), "the next tick does not move the bars");
    let close = ended.clone().magnified(2, 100);
    assert_eq!((close.from_ms, close.to_ms), (0, 2_425));
    assert!(Scale::of_run(0, true).marks().len() == 2 && Scale::of_run(0, true).percent(5) <= 100.0);
}
