//! Which tools the sandbox model wants called, by what the question says. Never the same call twice for one question, and
//! never because of what a tool returned.

use serde_json::{Map, Value, json};

use super::{
    material::{Material, plain},
    words, write,
};
use crate::{
    engine::port::{Message, ModelCall, ToolRequest},
    tools::arithmetic,
};

/// A call that the question asks for: what tells it from others, and the call.
struct Wish {
    tool: &'static str,
    /// The argument by which a call is known to have been made.
    mark: &'static str,
    arguments: Value,
}

/// The calls to make now: first what only looks, then questions to people, then what changes something.
pub(super) fn next(call: &ModelCall, material: &Material<'_>) -> Vec<ToolRequest> {
    let offered = |wish: &Wish| call.tools.iter().any(|tool| tool.name == wish.tool);
    let made = made(call);
    let missing = |wish: &Wish| {
        !made
            .iter()
            .any(|(tool, arguments)| *tool == wish.tool && arguments.get(wish.mark) == wish.arguments.get(wish.mark))
    };
    let stages: [fn(&Material<'_>) -> Vec<Wish>; 3] = [looking, asking, changing];
    for stage in stages {
        let wishes: Vec<Wish> =
            stage(material).into_iter().filter(|wish| offered(wish) && missing(wish)).take(5).collect();
        if !wishes.is_empty() {
            let numbered = wishes.into_iter().enumerate().map(|(place, wish)| ToolRequest {
                id: format!("call_{}", made.len() + place + 1),
                tool: wish.tool.to_owned(),
                arguments: wish.arguments,
                signatures: Vec::new(),
            });
            return numbered.collect();
        }
    }
    Vec::new()
}

/// The calls since the last question.
fn made(call: &ModelCall) -> Vec<(&str, &Value)> {
    let asked = call.messages.iter().rposition(|message| matches!(message, Message::User { .. })).unwrap_or(0);
    call.messages[asked..]
        .iter()
        .filter_map(|message| if let Message::Assistant { tool_calls, .. } = message { Some(tool_calls) } else { None })
        .flatten()
        .map(|one| (one.tool.as_str(), &one.arguments))
        .collect()
}

fn looking(material: &Material<'_>) -> Vec<Wish> {
    let ask = material.ask;
    let mut wishes = Vec::new();
    wishes.extend(calculation(ask).map(|expression| Wish {
        tool: "calculator",
        mark: "expression",
        arguments: json!({ "expression": expression }),
    }));
    wishes.extend(excess(material).map(|expression| Wish {
        tool: "calculator",
        mark: "expression",
        arguments: json!({ "expression": expression }),
    }));
    let about_time = [
        "what time",
        "current time",
        "time is it",
        "today's date",
        "todays date",
        "date today",
        "current date",
        "what day",
        "which day",
        "what date",
        "the date and time",
        "current_time",
    ];
    if about_time.iter().any(|phrase| words::has(ask, phrase)) {
        wishes.push(Wish { tool: "current_time", mark: "", arguments: json!({}) });
    }
    wishes.extend(words::urls(ask).into_iter().map(|url| Wish {
        tool: "http_request",
        mark: "url",
        arguments: json!({ "url": url, "accept_errors": true }),
    }));
    wishes.extend(recalled(ask).map(|key| Wish { tool: "context_get", mark: "key", arguments: json!({ "key": key }) }));
    wishes
}

/// How far an amount is above its limit, where the instructions want that worked out.
fn excess(material: &Material<'_>) -> Option<String> {
    let wanted = words::has(material.system, "above the limit") || words::has(material.system, "over the limit");
    let amount = material.figure("amount").filter(|_| wanted)?;
    let named = ["limit", "budget", "allowance"].into_iter().find_map(|name| material.figure(name));
    let limit = named.or_else(|| {
        let place = words::places(&material.text, "up to").next()?;
        words::numbers(material.text[place..].lines().next()?).first().map(|one| one.value)
    })?;
    Some(format!("{amount} - {limit}"))
}

/// The arithmetic that a text asks for.
fn calculation(text: &str) -> Option<String> {
    for sentence in words::sentences(text) {
        let low = sentence.to_ascii_lowercase();
        for phrase in ["calculate", "compute", "work out", "how much is", "what is", "what's", "evaluate"] {
            let Some(place) = words::places(&low, phrase).next() else { continue };
            let after = sentence[place + phrase.len()..].trim_start_matches([':', ' ']);
            if let Some(found) = percent_of(after).or_else(|| longest(after)) {
                return Some(found);
            }
        }
    }
    // Without a word that asks for it: only what cannot be a date, a range or part of an address.
    let starts = text.char_indices().filter(|(place, letter)| {
        let before = text[..*place].chars().next_back();
        (letter.is_ascii_digit() || *letter == '(')
            && before.is_none_or(|letter| letter.is_whitespace() || letter == ':')
    });
    starts.map(|(place, _)| &text[place..]).filter_map(longest).find(|found| {
        found.contains(['*', '×', '÷', '^']) || found.contains(" + ") || found.contains(" - ") || found.contains(" / ")
    })
}

/// `15% of 240`.
fn percent_of(text: &str) -> Option<String> {
    let (percent, rest) = text.split_once('%')?;
    let base = rest.trim_start().strip_prefix("of ")?;
    let percent: f64 = words::number(percent)?;
    let base = words::numbers(base).first()?.value;
    Some(format!("{base} * {percent}%"))
}

/// The longest beginning of a text that is an expression with something to work out.
fn longest(text: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_digit() || letter.is_whitespace() || "+-−*×·/÷%^().,".contains(letter);
    let end = text.find(|letter: char| !fits(letter) || letter == '\n').unwrap_or(text.len()).min(200);
    let mut end = (0..=end).rev().find(|place| text.is_char_boundary(*place))?;
    loop {
        let candidate = text[..end].trim().trim_end_matches(['.', ',', '?']).trim();
        let inside = candidate.trim_start_matches(['-', '(']);
        if inside.contains(['+', '-', '−', '*', '×', '·', '/', '÷', '%', '^'])
            && arithmetic::evaluate(candidate).is_ok()
        {
            return Some(candidate.to_owned());
        }
        end = text[..end].char_indices().next_back().map(|(place, _)| place)?;
    }
}

/// The keys that a text asks to be recalled.
fn recalled(text: &str) -> impl Iterator<Item = String> {
    let phrases =
        ["recall", "what is stored under", "what is remembered as", "read the context key", "look up the key"];
    phrases.into_iter().filter_map(|phrase| {
        let place = words::places(text, phrase).next()?;
        name_at(&text[place + phrase.len()..])
    })
}

/// The name that a text begins with: in quotation marks, or one word.
fn name_at(text: &str) -> Option<String> {
    let text = text.trim_start();
    if let Some(open) = text.chars().next().filter(|letter| matches!(letter, '"' | '\'' | '“' | '`')) {
        let close = if open == '“' { '”' } else { open };
        let inside = text[open.len_utf8()..].split(close).next()?;
        return (!inside.is_empty() && inside.len() <= 200).then(|| inside.to_owned());
    }
    let word = text.split(|letter: char| !(letter.is_alphanumeric() || "_.-".contains(letter))).next()?;
    let word = word.trim_end_matches(['.', '-']);
    (!word.is_empty() && word.len() <= 200).then(|| word.to_owned())
}

fn asking(material: &Material<'_>) -> Vec<Wish> {
    let ask = material.ask;
    for who in ["human", "person", "someone", "somebody", "colleague", "operator", "manager", "teammate", "the team"] {
        for verb in ["ask a", "ask an", "ask", "ask the", "check with a", "check with"] {
            let phrase = format!("{verb} {who}");
            if let Some(place) = words::places(ask, &phrase).next() {
                return vec![Wish {
                    tool: "ask_human",
                    mark: "question",
                    arguments: json!({ "question": question(&ask[place + phrase.len()..]) }),
                }];
            }
        }
    }
    Vec::new()
}

fn question(after: &str) -> String {
    let sentence = words::sentences(after).into_iter().next().unwrap_or_default();
    let sentence = sentence.trim_start_matches([':', ',', ' ']).trim_matches('"').trim();
    match sentence.split_whitespace().next() {
        None => "How shall I go on?".to_owned(),
        Some("whether" | "if" | "what" | "which" | "when" | "where" | "who" | "how" | "for" | "about") => {
            format!("Please tell me {}.", sentence.trim_end_matches(['.', '?', '!']))
        }
        Some(_) => words::short_line(sentence, 1_000),
    }
}

fn changing(material: &Material<'_>) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = letter(material).into_iter().collect();
    wishes.extend(remembered(material.ask).map(|(key, value)| Wish {
        tool: "context_set",
        mark: "key",
        arguments: json!({ "key": key, "value": value }),
    }));
    wishes
}

/// The e-mail that a text asks to be sent: all addresses that a sending word stands before, in the same sentence.
fn letter(material: &Material<'_>) -> Option<Wish> {
    let ask = material.ask;
    let verbs = ["send", "write", "mail", "e-mail", "email", "forward", "notify", "tell", "inform", "reply"];
    let to: Vec<String> = words::emails(ask)
        .into_iter()
        .filter(|(place, _)| {
            let sentence = ask[..*place].rsplit(['\n', '!', '?', ';']).next().unwrap_or_default();
            let sentence = sentence.rsplit(". ").next().unwrap_or_default();
            let has_verb = verbs.iter().any(|verb| words::has(sentence, verb));
            // "E-mail: ana@example.com" is a label and asks for nothing.
            has_verb && !sentence.trim_end().ends_with(':') && !sentence.trim_end().ends_with('<')
        })
        .map(|(_, address)| address)
        .collect();
    if to.is_empty() {
        return None;
    }
    let said = ["saying that", "saying", "that says", "with the text", "telling them that", "with the message"];
    let text = said.iter().find_map(|phrase| {
        let place = words::places(ask, phrase).next()?;
        let after = ask[place + phrase.len()..].trim_start_matches([':', ' ']);
        let quoted = after.strip_prefix(['"', '“']).and_then(|rest| rest.split(['"', '”']).next());
        let text = quoted.unwrap_or_else(|| words::sentences(after).into_iter().next().unwrap_or_default());
        (!text.trim().is_empty()).then(|| text.trim().to_owned())
    });
    let subject = ["with the subject", "subject:", "about"].iter().find_map(|phrase| {
        let place = words::places(ask, phrase.trim_end_matches(':')).next()?;
        let after = ask[place + phrase.trim_end_matches(':').len()..].trim_start_matches([':', ' ', '"', '“']);
        let end = after.find(['"', '”', '\n', ',', '.', ';']).unwrap_or(after.len());
        let cut = [" saying", " that says", " with the", " telling"].iter().filter_map(|word| after.find(word)).min();
        let subject = words::short_line(after[..cut.unwrap_or(end).min(end)].trim(), 120);
        (!subject.is_empty()).then_some(subject)
    });
    let subject = subject
        .unwrap_or_else(|| text.as_deref().map_or_else(|| material.subject(), |text| words::short_line(text, 80)));
    let body = text.unwrap_or_else(|| write::message(material));
    let to = if let [one] = to.as_slice() { json!(one) } else { json!(to) };
    let mut arguments = Map::new();
    arguments.insert("to".to_owned(), to);
    arguments.insert("subject".to_owned(), json!(subject));
    arguments.insert("body".to_owned(), json!(body));
    Some(Wish { tool: "email_send", mark: "to", arguments: Value::Object(arguments) })
}

/// `remember that X is Y`, `store Y under X`, `set X to Y`.
fn remembered(text: &str) -> impl Iterator<Item = (String, Value)> {
    let value = |text: &str| {
        let text = words::sentences(text)
            .into_iter()
            .next()
            .unwrap_or_default()
            .trim_end_matches(['.', '!'])
            .trim()
            .to_owned();
        let text = text.trim_matches(['"', '“', '”', '\'', '`']).to_owned();
        let read: Option<Value> = serde_json::from_str(&text).ok();
        (!text.is_empty()).then(|| read.unwrap_or_else(|| Value::String(text)))
    };
    let mut found = Vec::new();
    for (phrase, between) in [("remember that", " is "), ("remember", " = "), ("remember", " as "), ("set", " to ")] {
        let Some(place) = words::places(text, phrase).next() else { continue };
        let after = &text[place + phrase.len()..];
        let Some((name, rest)) = after.split_once(between) else { continue };
        let one_word = name_at(name).filter(|key| key.len() + 3 >= name.trim().len());
        found.extend(one_word.zip(value(rest)));
        if !found.is_empty() {
            break;
        }
    }
    if let Some(place) = words::places(text, "store").next()
        && let Some((what, key)) = text[place + "store".len()..].split_once(" under ")
    {
        found.extend(name_at(key).zip(value(what)));
    }
    found.into_iter()
}

/// What the tools returned, one line each.
pub(super) fn report(material: &Material<'_>) -> Vec<String> {
    let line = |one: &super::material::ToolResult<'_>| {
        let output = one.output.as_ref();
        let field = |name: &str| output.get(name).map(plain).unwrap_or_default();
        if one.failed {
            return format!("{} did not work: {}", one.tool, words::short_line(&plain(output), 200));
        }
        match one.tool {
            "calculator" => format!("{} = {}", field("expression"), field("result")),
            "current_time" => format!("It is {}, {}, {} UTC.", field("weekday"), field("date"), field("time")),
            "http_request" => format!(
                "{} answered with status {} in {} ms{}",
                field("url"),
                field("status"),
                field("duration_ms"),
                write::title_of(output.get("body")).map_or_else(String::new, |title| format!(": “{title}”")),
            ),
            "email_send" => format!(
                "The e-mail to {} is {}.",
                plain(one.arguments.get("to").unwrap_or(&Value::Null)),
                if field("delivery") == "sent" { "sent" } else { "in the local outbox" },
            ),
            "context_get" if output.get("found") == Some(&Value::Bool(true)) => {
                format!("{} is {}.", plain(&one.arguments["key"]), field("value"))
            }
            "context_get" => format!("Nothing is stored under {}.", plain(&one.arguments["key"])),
            "context_set" => {
                format!("Stored {} under {}.", plain(&one.arguments["value"]), plain(&one.arguments["key"]))
            }
            "ask_human" => format!("The answer to my question was: {}", words::short_line(&plain(output), 500)),
            other => format!("{other} returned {}", words::short_line(&plain(output), 300)),
        }
    };
    material.results.iter().map(line).collect()
}
