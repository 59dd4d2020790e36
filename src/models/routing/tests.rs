//! Who is asked, in which order.

use proptest::prelude::*;

use super::*;
use crate::models::ProviderSettings;

fn candidate(model: &str, connection: &str) -> Candidate {
    let id = ModelId::parse(model).unwrap();
    let provider = ProviderSettings {
        name: id.provider().to_owned(),
        label: id.provider().to_uppercase(),
        key: None,
        base_url: None,
        models: Vec::new(),
    };
    let connection = Connection { id: connection.to_owned(), rank: 0, by_operator: true, provider };
    let provider = Provider::new(&connection, reqwest::Client::default(), Prices::default()).unwrap();
    Candidate { id, way: Way::Through(Arc::new(provider)) }
}

fn fail(candidate: &Candidate, times: usize) {
    for _ in 0..times {
        let error = StepError::new(ErrorClass::Unavailable, "model.unavailable", "");
        candidate.through().unwrap().begin().ended(&Err(error));
    }
}

fn shown(turns: &[Turn]) -> Vec<String> {
    let show = |turn: &Turn| match turn {
        Turn::Ask(one) => match one.through() {
            Some(provider) => format!("{}@{}", one.id, provider.side().connection),
            None => one.id.to_string(),
        },
        Turn::Pass(one) => format!("({} {})", one.model, one.code),
    };
    turns.iter().map(show).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

fn planned(candidates: &[Candidate], alone: &[(usize, i64)]) -> Result<Vec<String>, Timestamp> {
    let side = |place: usize| candidates[place].through().unwrap().side().clone();
    let alone = alone.iter().map(|(place, until)| (side(*place), at(*until))).collect();
    match plan(candidates.to_vec(), &alone, Instant::now()) {
        Plan::Go(turns) => Ok(shown(&turns)),
        Plan::Wait { until, .. } => Err(until),
    }
}

#[test]
fn who_wants_to_be_left_alone_is_passed_over_and_when_all_do_the_call_waits_for_the_first() {
    let all = [candidate("openai/gpt-5", "a"), candidate("openai/gpt-5", "b"), candidate("xai/grok-4.7", "c")];
    let ask = ["openai/gpt-5@a", "openai/gpt-5@b", "xai/grok-4.7@c"];
    assert_eq!(planned(&all, &[]).unwrap(), ask);
    assert_eq!(planned(&all, &[(0, 9)]).unwrap(), ask[1..]);
    let passed = planned(&all, &[(0, 9), (1, 5)]).unwrap();
    assert_eq!(passed, ["(openai/gpt-5 model.left_alone)", "xai/grok-4.7@c"]);
    assert_eq!(planned(&all, &[(0, 9), (1, 5), (2, 7)]), Err(at(5)));
}

#[test]
fn who_fails_just_now_is_asked_when_nobody_else_is_left() {
    let all = [candidate("openai/gpt-5", "a"), candidate("openai/gpt-5", "b"), candidate("xai/grok-4.7", "c")];
    fail(&all[0], 5);
    assert_eq!(planned(&all, &[]).unwrap(), ["openai/gpt-5@b", "xai/grok-4.7@c", "openai/gpt-5@a"]);
    fail(&all[1], 5);
    let last = planned(&all, &[]).unwrap();
    assert_eq!(last[..2], ["(openai/gpt-5 model.circuit_open)", "xai/grok-4.7@c"]);
    assert_eq!(last[2..], ["openai/gpt-5@a", "openai/gpt-5@b"]);
    fail(&all[2], 5);
    assert_eq!(planned(&all, &[]).unwrap().len(), 3, "all of them fail: the first one first");
    let without = planned(&all, &[(2, 3)]).unwrap();
    assert_eq!(without, ["(xai/grok-4.7 model.left_alone)", "openai/gpt-5@a", "openai/gpt-5@b"]);
}

#[test]
fn a_model_without_a_way_says_so_and_does_not_keep_another_one_waiting() {
    let id = ModelId::parse("groq/x").unwrap();
    let nowhere = Candidate { way: Way::Nowhere(no_key(&id)), id };
    let all = [candidate("openai/gpt-5", "a"), nowhere.clone()];
    assert_eq!(planned(&all, &[(0, 9)]), Err(at(9)));
    assert_eq!(planned(&all, &[]).unwrap(), ["openai/gpt-5@a", "groq/x"]);
    assert_eq!(planned(&[nowhere], &[]).unwrap(), ["groq/x"]);
}

#[test]
fn the_error_is_one_that_may_pass_and_tells_of_all() {
    let error = |class, retry: Option<u64>| StepError {
        retry_after_ms: retry,
        ..StepError::new(class, format!("{class:?}"), format!("{class:?}."))
    };
    let failed = |errors: Vec<StepError>| {
        let tried = |(place, error): (usize, &StepError)| Tried {
            model: format!("m/{place}"),
            code: error.code.clone(),
            message: error.message.clone(),
            usage: Usage::default(),
        };
        let tried: Vec<Tried> = errors.iter().enumerate().map(tried).collect();
        all_failed(&tried, errors)
    };
    let one = failed(vec![error(ErrorClass::RateLimited, Some(7))]);
    assert_eq!((one.message.as_str(), one.retry_after_ms), ("RateLimited.", Some(7)));
    let all = failed(vec![error(ErrorClass::RateLimited, Some(7)), error(ErrorClass::RateLimited, Some(3))]);
    assert_eq!(all.retry_after_ms, Some(3));
    assert_eq!(all.message, "None of the models answered. m/0: RateLimited. m/1: RateLimited.");
    let open = failed(vec![error(ErrorClass::RateLimited, Some(7)), error(ErrorClass::Unavailable, None)]);
    assert_eq!((open.class, open.retry_after_ms), (ErrorClass::Unavailable, None));
    let key = failed(vec![error(ErrorClass::Unavailable, None), error(ErrorClass::Auth, None)]);
    assert_eq!(key.class, ErrorClass::Unavailable, "the key of the other one does not make it hopeless");
    assert_eq!(failed(vec![error(ErrorClass::Auth, None), error(ErrorClass::Quota, None)]).class, ErrorClass::Quota);
}

proptest! {
    #[test]
    fn whoever_comes_after_has_a_turn(seconds in 1_u64..4_000, others in 0_usize..30) {
        let time = Duration::from_secs(seconds);
        let given = patience(time, others);
        prop_assert!(given.between <= given.first && given.between <= SILENCE);
        prop_assert!(given.first <= time);
        prop_assert!(others == 0 || given.first <= time / 2);
    }
}
