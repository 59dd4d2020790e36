use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn work(template: Value) -> Work {
    let scope = json!({
        "input": { "name": "Ana", "amount": 1250.5, "tags": ["a", "b"], "nested": { "deep": [1, { "x": true }] } },
        "steps": { "triage": { "output": { "urgency": "high" } } },
        "run": { "id": "run_1" },
        "item": 7,
        "index": 2
    });
    let Value::Object(scope) = scope else { unreachable!() };
    Work { template, scope, now: "2026-11-20T14:30:05.123Z".parse().unwrap(), seed: 42 }
}

fn evaluate(template: Value) -> Result<Value, StepError> {
    interpreter::evaluate(&work(template)).map_err(StepError::from)
}

fn value(expression: &str) -> Value {
    let result = evaluate(json!(format!("{{{{ {expression} }}}}")));
    result.unwrap_or_else(|error| json!(format!("{}: {}", error.code, error.message)))
}

fn error(expression: &str) -> StepError {
    match evaluate(json!(format!("{{{{ {expression} }}}}"))) {
        Ok(value) => panic!("{expression} gave {value}"),
        Err(error) => error,
    }
}

#[test]
fn a_whole_expression_keeps_its_type_and_text_around_it_makes_text() {
    assert_eq!(value("input.amount"), json!(1250.5));
    assert_eq!(value("input.tags"), json!(["a", "b"]));
    assert_eq!(value("input.tags.length > 1"), json!(true));
    assert_eq!(value("input.missing"), json!(null));
    assert_eq!(value("({ a: input.name, b: undefined })"), json!({ "a": "Ana" }));
    assert_eq!(value("steps.triage.output.urgency === 'high' ? item : index"), json!(7));
    let template = json!({
        "to": "{{ input.name }} <{{ input.missing }}>",
        "list": ["{{ index }}", 3, "{{ input.tags }}!"]
    });
    assert_eq!(evaluate(template).unwrap(), json!({ "to": "Ana <>", "list": [2, 3, "[\"a\",\"b\"]!"] }));
    assert_eq!(evaluate(json!("plain")).unwrap(), json!("plain"));
    assert_eq!(value("`a ${input.name} }} b` // a comment"), json!("a Ana }} b"));
}

#[test]
fn the_clock_stands_still_and_shows_utc_and_chance_is_seeded() {
    assert_eq!(value("now"), json!("2026-11-20T14:30:05.123Z"));
    assert_eq!(value("new Date()"), json!("2026-11-20T14:30:05.123Z"));
    assert_eq!(value("Date.now() === new Date(now).getTime()"), json!(true));
    assert_eq!(value("new Date(2026, 0, 31, 12).toISOString()"), json!("2026-01-31T12:00:00.000Z"));
    assert_eq!(value("new Date('2026-01-31T12:00').getHours()"), json!(12));
    assert_eq!(value("new Date().getTimezoneOffset()"), json!(0));
    assert_eq!(value("new (new Date().constructor)().getTime() === Date.now()"), json!(true));
    assert_eq!(
        value("(d => { d.setDate(d.getDate() + 30); return d })(new Date())"),
        json!("2026-12-20T14:30:05.123Z")
    );
    let first = value("[Math.random(), Math.random()]");
    assert_eq!(first, value("[Math.random(), Math.random()]"));
    assert_ne!(first[0], first[1]);
    let other = interpreter::evaluate(&Work { seed: 43, ..work(json!("{{ Math.random() }}")) }).unwrap();
    assert_ne!(first[0], other);
}

#[test]
fn the_data_cannot_be_changed() {
    for expression in [
        "input.name = 'Eve'",
        "input.tags.push('c')",
        "delete input.name",
        "input.nested.deep[1].x = false",
        "Object.assign(input, {a: 1})",
        "input.tags.reverse()",
        "(input = {})",
        "Math.random = 1",
        "Date.now = 1",
        "input.__proto__ = null",
    ] {
        assert_eq!(error(expression).code, "expression.failed", "{expression}");
    }
    assert_eq!(value("input.tags.concat('c').map(tag => tag.toUpperCase())"), json!(["A", "B", "C"]));
    assert_eq!(value("[...input.tags].reverse()"), json!(["b", "a"]));
}

#[test]
fn nothing_outside_can_be_reached() {
    for expression in [
        "require('fs')",
        "process.exit(1)",
        "import('std')",
        "fetch('http://127.0.0.1')",
        "std.open('/etc/passwd')",
        "os.exec(['id'])",
        "Deno.env",
        "setTimeout(() => 1, 1)",
        "eval('1')",
        "Function('return 1')()",
        "(() => {}).constructor('return 1')()",
        "[].constructor.constructor('return globalThis')()",
        "(function*(){}).constructor('yield 1')()",
        "(async () => {}).constructor('return 1')()",
        "Object.getPrototypeOf(function(){}).constructor('return 1')()",
        "({}).constructor.constructor('1')()",
        "new Worker('x')",
        "XMLHttpRequest",
        "console.log(1)",
        "print(1)",
        "load('x')",
        "new Proxy({}, {})",
        "Reflect.construct(Function, ['1'])",
        "new SharedArrayBuffer(1)",
        "performance.now()",
        "WebAssembly",
        "input.constructor.constructor('return this')()",
        "import.meta",
        "export const x = 1",
    ] {
        let error = error(expression);
        assert_eq!(error.code, "expression.failed", "{expression}: {}", error.message);
    }
    // What there is, is the language and our names. A new name here needs a look.
    let mut names: Vec<String> = serde_json::from_value(value("Object.getOwnPropertyNames(globalThis)")).unwrap();
    names.retain(|name| !super::NAMES.contains(&name.as_str()));
    let known = "AggregateError Array BigInt Boolean Date DisposableStack Error EvalError Infinity InternalError Iterator JSON Map Math NaN \
                 Number Object RangeError ReferenceError Reflect RegExp Set String SuppressedError Symbol SyntaxError TypeError URIError \
                 WeakMap WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape globalThis isFinite isNaN \
                 parseFloat parseInt undefined unescape";
    let known: Vec<&str> = known.split_whitespace().collect();
    let strange: Vec<_> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn other_template_languages_and_shells_are_only_text() {
    for text in [
        "${7*7}",
        "<%= 7*7 %>",
        "#{7*7}",
        "'; drop table runs; --",
        "$(id)",
        "`id`",
        "%{7*7}",
        "__proto__",
        "{7*7}",
        "}}",
    ] {
        assert_eq!(evaluate(json!(text)).unwrap(), json!(text));
        assert_eq!(evaluate(json!(format!("{{{{ input.name }}}} {text}"))).unwrap(), json!(format!("Ana {text}")));
    }
    // What comes in as data is never read as a template.
    let mut hostile = work(json!("{{ input }}"));
    let data = json!({ "__proto__": { "x": 1 }, "a": "{{ 1 + 1 }}", "b": "\u{2028}</script>" });
    hostile.scope.insert("input".to_owned(), data);
    let out = interpreter::evaluate(&hostile).unwrap();
    assert_eq!(out["a"], "{{ 1 + 1 }}");
    assert_eq!(out["b"], "\u{2028}</script>");
}

#[test]
fn every_limit_holds() {
    let hungry = [
        "(() => { while (true) {} })()",
        "/^(a+)+$/.test('a'.repeat(40) + '!')",
        "(function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) })(60)",
        "(f => f(f))(f => f(f))",
        "'x'.repeat(1e9)",
        "(() => { let a = 'x'; for (;;) a += a })()",
        "Array.from({ length: 1e9 }, (_, i) => i)",
        "(() => { const a = []; for (;;) a.push({}) })()",
        "JSON.parse('['.repeat(100000))",
        "(() => { try { while (true) {} } catch (e) { while (true) {} } })()",
        "(() => { for (;;) { try { (function f() { f() })() } catch (e) {} } })()",
        "({ toJSON() { while (true) {} } })",
    ];
    for expression in hungry {
        let started = Instant::now();
        let error = error(expression);
        assert!(["expression.limit", "expression.failed"].contains(&error.code.as_str()), "{expression}: {error:?}");
        assert_eq!(error.class, ErrorClass::BadInput);
        // A quarter of a second and what a busy machine adds. That a limit ended it, its code says.
        assert!(started.elapsed() < Duration::from_secs(20), "{expression} took {:?}", started.elapsed());
    }
    assert_eq!(error("(() => { while (true) {} })()").code, "expression.limit");
    assert_eq!(error("'x'.repeat(2 << 20)").code, "expression.limit");
    assert_eq!(error(&format!("'{}'", "x".repeat(MAX_EXPRESSION))).code, "expression.limit");
    assert_eq!(error(&"(".repeat(10_000)).class, ErrorClass::BadInput);
    assert_eq!(error(&"[".repeat(10_000)).class, ErrorClass::BadInput);
    let deep = (0..100).fold(json!("{{ 1 }}"), |inner, _| json!([inner]));
    assert_eq!(evaluate(deep).unwrap_err().code, "expression.limit");
    assert_eq!(
        error("(() => { let a = []; for (let i = 0; i < 90; i++) a = [a]; return a })()").code,
        "expression.limit"
    );
}

#[test]
fn errors_quote_the_expression_and_help() {
    let message = |expression: &str| error(expression).message;
    let told = message("input.customer.name");
    assert!(told.starts_with("{{ input.customer.name }} fails: ") && told.contains("?."), "{told}");
    assert!(message("steps.draft.output.text").contains("“draft”"), "{}", message("steps.draft.output.text"));
    assert!(
        message("inputs.name").contains("Known here: input, steps, item, index, run, now"),
        "{}",
        message("inputs.name")
    );
    assert!(message("1 +").contains("fails"));
    assert!(message("(() => 1)").contains("not data"));
    assert!(message("0 / 0").contains("not a number"));
    assert!(message("10n").contains("fails"));
    assert!(message("(() => { throw 'own words' })()").contains("own words"));
    assert!(evaluate(json!("{{ open")).is_err_and(|error| error.message.contains("no }}")));
}

#[tokio::test]
async fn many_evaluations_at_a_time_are_bounded_and_all_answered() {
    let expressions = Expressions::default();
    let all: Vec<_> = (0..40)
        .map(|number| {
            let expressions = expressions.clone();
            let template = json!(format!("{{{{ {number} + 1 }}}}"));
            tokio::spawn(async move { expressions.evaluate(work(template)).await })
        })
        .collect();
    for (number, one) in all.into_iter().enumerate() {
        assert_eq!(one.await.unwrap().unwrap(), json!(number + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn data_passes_through_unchanged(text in "\\PC{0,40}", number in -1_000_000_i64..1_000_000, yes: bool) {
        let data = json!({ "text": text, "number": number, "yes": yes, "list": [text, null, [number]] });
        let mut work = work(json!("{{ input }}"));
        work.scope.insert("input".to_owned(), data.clone());
        prop_assert_eq!(interpreter::evaluate(&work).unwrap(), data);
    }

    #[test]
    fn no_text_makes_the_evaluation_panic_or_hang(code in "[a-z0-9(){}\\[\\].,;:'\"`+*/<>=!?&| \\\\$-]{0,60}") {
        let started = Instant::now();
        let _ = evaluate(json!(format!("{{{{ {code} }}}}")));
        prop_assert!(started.elapsed() < Duration::from_secs(3));
    }
}
