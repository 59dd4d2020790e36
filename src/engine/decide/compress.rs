//! Long results, told in short: their beginning and their end, blank space folded. What is recorded stays whole.

use serde_json::Value;

use crate::kernel::text;

/// A result of up to so many characters is told whole.
const WHOLE: usize = 2_000;
/// The characters of a longer one that are told, from its beginning and from its end.
const HEAD: usize = 1_200;
const TAIL: usize = 600;

/// A result as it is told in short.
pub(super) fn shortened(output: Value) -> Value {
    let long = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
    if long.chars().count() <= WHOLE {
        return output;
    }
    let folded = fold(&long);
    let count = folded.chars().count();
    if count <= WHOLE {
        return Value::String(folded);
    }
    let head: String = folded.chars().take(HEAD).collect();
    let tail: String = folded.chars().skip(count - TAIL).collect();
    let left = text::grouped((count - HEAD - TAIL) as u64);
    let note = format!("(… {left} characters left out; call the tool again if you need them)");
    Value::String(format!("{head}\n{note}\n{tail}"))
}

/// A text whose runs of blank space are one: a line end where there was one, else a space.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut blank = String::new();
    for letter in text.chars() {
        if letter.is_whitespace() {
            blank.push(letter);
            continue;
        }
        match blank.as_str() {
            "" => {}
            one if one.chars().count() == 1 => folded.push_str(one),
            run => folded.push(if run.contains('\n') { '\n' } else { ' ' }),
        }
        blank.clear();
        folded.push(letter);
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_short_stays_as_it_is() {
        let short = json!({ "a": "x".repeat(1_900) });
        assert_eq!(shortened(short.clone()), short);
        let blank = json!(format!("a{}b", " \n".repeat(4_000)));
        assert_eq!(shortened(blank), json!("a\nb"), "blank space is not worth a call");
    }

    #[test]
    fn of_a_long_result_the_beginning_and_the_end_are_told() {
        let long = json!(format!("first {} last", "é".repeat(14_134)));
        let Value::String(told) = shortened(long) else { panic!("a text") };
        assert!(told.starts_with("first é") && told.ends_with("é last"));
        let note = "\n(… 12,345 characters left out; call the tool again if you need them)\n";
        assert!(told.contains(note), "{told}");
        let Value::String(told) = shortened(json!({ "rows": vec!["row"; 1_000] })) else { panic!("a text") };
        assert!(told.starts_with("{\"rows\":[\"row\"") && told.ends_with("\"row\"]}"));
    }

    proptest! {
        #[test]
        fn nothing_grows_and_what_was_shortened_stays_so(text in "(?s)([a-z ]{0,50}|.){0,120}", times in 1_usize..60) {
            let long = Value::String(text.repeat(times));
            let once = shortened(long.clone());
            let length = |value: &Value| value.as_str().unwrap_or_default().chars().count();
            prop_assert!(length(&once) <= length(&long).max(WHOLE));
            prop_assert_eq!(&shortened(once.clone()), &once);
        }
    }
}
