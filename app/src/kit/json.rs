//! JSON values, indented and coloured by classes, with a button that copies them.

pub use agentflow::kernel::text::visible;
use leptos::{ev, prelude::*};
use serde_json::Value;
use wasm_bindgen::JsCast;
use web_sys::Element;

/// A part of a printed value: its class and its text.
type Token = (&'static str, String);

/// A JSON value to read and to copy.
#[component]
pub fn Json(
    /// The value.
    value: Value,
    /// What it is, for assistive technology.
    #[prop(into)]
    label: String,
) -> impl IntoView {
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    // A text by itself reads better as what it says.
    let content = match &value {
        Value::String(text) => visible(text).into_any(),
        _ => tokens(&value)
            .into_iter()
            .map(|(class, text)| match class {
                "" => text.into_any(),
                _ => view! { <span class=class>{text}</span> }.into_any(),
            })
            .collect::<Vec<_>>()
            .into_any(),
    };
    // What nobody would see stands there as JSON escapes it.
    let to_copy = if let Value::String(text) = value { text } else { visible(&text) };
    view! {
        <div class="json">
            <pre tabindex="0" role="region" aria-label=label><code>{content}</code></pre>
            <CopyButton text=to_copy/>
        </div>
    }
    .into_any()
}

/// A button that copies a text. It says "Copied" and falls silent again.
#[component]
pub fn CopyButton(
    /// What is copied.
    #[prop(into)]
    text: String,
    /// What the button says.
    #[prop(default = "Copy")]
    label: &'static str,
) -> impl IntoView {
    view! {
        <button type="button" class="btn btn-quiet btn-small copy needs-js" data-copy=text>
            <super::Icon glyph=super::Glyph::Copy/>
            <span aria-live="polite">{label}</span>
        </button>
    }
    .into_any()
}

/// Lets all [`CopyButton`]s copy, also those in parts that the server wrote. Called once.
pub fn copy_on_click() {
    let handle = window_event_listener(ev::click, |event| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let Some(button) = target.and_then(|target| target.closest("[data-copy]").ok().flatten()) else { return };
        let _ = window().navigator().clipboard().write_text(&button.get_attribute("data-copy").unwrap_or_default());
        let Some(words) = button.query_selector("[aria-live]").ok().flatten() else { return };
        let before = words.text_content();
        if before.as_deref() != Some(COPIED) {
            words.set_text_content(Some(COPIED));
            set_timeout(move || words.set_text_content(before.as_deref()), std::time::Duration::from_secs(2));
        }
    });
    on_cleanup(move || handle.remove());
}

const COPIED: &str = "Copied";

/// A JSON value as it is shown, line by line.
#[must_use]
pub fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text),
        _ => tokens(value).into_iter().map(|(_, text)| text).collect(),
    }
}

fn tokens(value: &Value) -> Vec<Token> {
    let mut out = Vec::new();
    print(value, 0, &mut out);
    // Neighbours of the same class become one: fewer elements for the same text.
    let mut merged: Vec<Token> = Vec::with_capacity(out.len());
    for (class, text) in out {
        match merged.last_mut() {
            Some((last, before)) if *last == class => before.push_str(&text),
            _ => merged.push((class, text)),
        }
    }
    merged
}

fn print(value: &Value, depth: usize, out: &mut Vec<Token>) {
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
    match value {
        Value::Null => out.push(("j-null", "null".to_owned())),
        Value::Bool(it) => out.push(("j-bool", it.to_string())),
        Value::Number(it) => out.push(("j-num", it.to_string())),
        Value::String(it) => out.push(("j-str", lines(it, depth))),
        Value::Array(items) if items.is_empty() => out.push(("", "[]".to_owned())),
        Value::Object(entries) if entries.is_empty() => out.push(("", "{}".to_owned())),
        Value::Array(items) => {
            out.push(("", "[".to_owned()));
            for (place, item) in items.iter().enumerate() {
                out.push(("", format!("{}{}", if place > 0 { "," } else { "" }, line(depth + 1))));
                print(item, depth + 1, out);
            }
            out.push(("", format!("{}]", line(depth))));
        }
        Value::Object(entries) => {
            // The server keeps entries in their order and the browser does not: sorted, both draw the same, and what
            // changes later does so in its own place.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push(("", "{".to_owned()));
            for (place, (key, item)) in entries.into_iter().enumerate() {
                out.push(("", format!("{}{}", if place > 0 { "," } else { "" }, line(depth + 1))));
                out.push(("j-key", quoted(key)));
                out.push(("", ": ".to_owned()));
                print(item, depth + 1, out);
            }
            out.push(("", format!("{}}}", line(depth))));
        }
    }
}

/// A text in quotes, with its lines below each other: people read letters here. What is copied is JSON.
fn lines(text: &str, depth: usize) -> String {
    let indent = format!("\n{}", "  ".repeat(depth));
    let line = |line: &str| {
        let quoted = quoted(line);
        quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
    };
    format!("\"{}\"", text.split('\n').map(line).collect::<Vec<_>>().join(&indent))
}

fn quoted(text: &str) -> String {
    visible(&Value::String(text.to_owned()).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_is_what_the_usual_printer_prints() {
        let value = json!({
            "a": [1, -2.5, "x\\n\"y\"", null, true, [], {}],
            "b": {"c": {"d": [{"e": "größer <b>"}]}},
        });
        let shown: String = tokens(&value).into_iter().map(|(_, text)| text).collect();
        assert_eq!(shown, serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn letters_that_nobody_sees_are_shown() {
        let value = json!({ "to": "moc.elpmaxe@\u{202e}bob", "tag": "a\u{e0041}b", "emoji": "👩\u{200d}💻 ❤\u{fe0f}" });
        let shown: String = tokens(&value).into_iter().map(|(_, text)| text).collect();
        assert!(shown.contains(r"moc.elpmaxe@\u202ebob") && shown.contains(r"a\udb40\udc41b"), "{shown}");
        assert!(shown.contains("👩\u{200d}💻 ❤\u{fe0f}"), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value, "it is the same JSON");
    }

    #[test]
    fn entries_stand_in_the_order_of_their_keys_whoever_draws_them() {
        let value: Value = serde_json::from_str(r#"{ "to": "kim", "amount": 1 }"#).unwrap();
        let shown: String = tokens(&value).into_iter().map(|(_, text)| text).collect();
        assert_eq!(shown, "{\n  \"amount\": 1,\n  \"to\": \"kim\"\n}");
    }

    #[test]
    fn the_lines_of_a_text_stand_below_each_other() {
        let shown: String = tokens(&json!({ "body": "Hello,\n\nAna" })).into_iter().map(|(_, text)| text).collect();
        assert_eq!(shown, "{\n  \"body\": \"Hello,\n  \n  Ana\"\n}");
    }
}
