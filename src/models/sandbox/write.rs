//! Free text of the sandbox model: replies, notes, summaries, reports. Made of the input's own words and of questions;
//! nothing is claimed that the input does not say.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    material::{Material, plain},
    wishes, words,
};

const SIGNED: &str = "(Sandbox model: written by rules out of the input alone.)";

/// The answer to the question as text, labelled.
pub(super) fn answer(material: &Material<'_>) -> String {
    let results = wishes::report(material);
    let told = format!("{}\n{}", material.system, material.text).to_lowercase();
    let wants = |phrases: &[&str]| phrases.iter().any(|phrase| words::has(&told, phrase));
    let merges = ["merge", "combine", "bring together", "synthesis", "one answer", "summarise", "summarize", "report"];
    let replies = ["draft", "reply", "respond to", "answer the customer", "letter", "write back"];
    let researches = ["research", "investigate", "analyst", "evidence", "arguments", "risks", "pros and cons"];
    let body = if !material.form().is_empty() && material.blocks().is_empty() && !wants(&replies) {
        note(material, &results)
    } else if !results.is_empty() {
        bullets(&results)
    } else if let Some(report) = checks(material) {
        report
    } else if wants(&replies) && material.changes().is_some() {
        return reply(material);
    } else if material.blocks().len() > if wants(&merges) { 1 } else { 2 } {
        merged(material)
    } else if wants(&replies) {
        return reply(material);
    } else if material.has_question() || wants(&researches) {
        research(material)
    } else {
        summary(material, 4)
    };
    format!("{}\n\n{SIGNED}", body.trim_end())
}

/// A form as a note: its fields, what else is said, and what was worked out.
fn note(material: &Material<'_>, results: &[String]) -> String {
    let mut text = String::new();
    for (label, value) in material.form() {
        let _ = writeln!(text, "- {label}: {value}");
    }
    let plain = material.text.lines().filter(|line| !words::is_labels_only(line) && !words::is_instruction(line));
    let rest: Vec<&str> = plain.flat_map(words::sentences).take(4).collect();
    list(&mut text, &rest);
    list(&mut text, &results.iter().map(String::as_str).collect::<Vec<_>>());
    text
}

fn bullets(lines: &[String]) -> String {
    match lines {
        [one] => one.clone(),
        several => several.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"),
    }
}

/// A reply to a message, as a draft that a person can send: greets, repeats what was understood, promises nothing.
pub(super) fn reply(material: &Material<'_>) -> String {
    let core = material.core();
    let mut text = match material.person() {
        Some(name) => format!("Hello {name},\n\n"),
        None => "Hello,\n\n".to_owned(),
    };
    let _ =
        write!(text, "thank you for your message about “{}”.", material.subject().trim_end_matches(['.', '!', '?']));
    let sentences = words::gist(&core, 3);
    let said: Vec<&str> = sentences.iter().copied().filter(|one| !one.ends_with('?') && !is_greeting(one)).collect();
    if !said.is_empty() {
        text.push_str("\n\nThis is what we understood:\n");
        list(&mut text, &said);
    }
    let asked: Vec<&str> = words::sentences(&core).into_iter().filter(|one| one.ends_with('?')).take(4).collect();
    if asked.is_empty() {
        text.push_str("\nIf something is missing or different, please tell us.");
    } else {
        text.push_str(if said.is_empty() { "\n\nYou ask:\n" } else { "\nYou ask:\n" });
        list(&mut text, &asked);
        text.push_str("\nWe will answer as soon as a colleague has looked into it.");
    }
    if let Some(changes) = material.changes() {
        let _ = write!(text, "\n\nTo be worked in: {changes}");
    }
    let _ = write!(text, "\n\nKind regards\n\n{SIGNED}");
    text
}

fn list(text: &mut String, items: &[&str]) {
    for item in items {
        let _ = writeln!(text, "- {item}");
    }
}

fn is_greeting(sentence: &str) -> bool {
    let low = sentence.to_lowercase();
    let first = low.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned();
    (["hi", "hello", "dear", "hey", "thanks", "thank", "regards", "best", "kind", "cheers"].contains(&first.as_str()))
        && sentence.split_whitespace().count() <= 6
}

/// What a message says when nobody gave its text: results, else the gist.
pub(super) fn message(material: &Material<'_>) -> String {
    let results = wishes::report(material);
    let body = if results.is_empty() { summary(material, 3) } else { bullets(&results) };
    format!("Hello,\n\n{body}\n\n{SIGNED}")
}

/// The sentences that carry most.
pub(super) fn summary(material: &Material<'_>, most: usize) -> String {
    if let Some(report) = checks(material) {
        return report;
    }
    let core = material.core();
    let gist = words::gist(&core, most);
    if gist.is_empty() {
        return "The input has no text to work with.".to_owned();
    }
    gist.join(" ")
}

/// From which side a note looks at its question: the heading, the words that ask for it, and what it finds out.
const SIDES: [(&str, &[&str], [&str; 3]); 3] = [
    (
        "What speaks against it",
        &["against", "critic", "sceptic", "skeptic", "risks", "objections", "counterarguments", "doubt"],
        [
            "Which assumption behind the question would hurt most if it were wrong?",
            "Who has tried this and stopped, and why?",
            "Who loses by it, and what would make up for that?",
        ],
    ),
    (
        "Ways to act",
        &[
            "ways to act",
            "options",
            "could be done",
            "practical",
            "implementation",
            "feasibility",
            "alternatives",
            "plan",
        ],
        [
            "Doing nothing: what does it cost each month that things stay as they are?",
            "A trial with a small part, for a month: by which figure would one see that it works?",
            "All at once: what has to be there first, and how would one go back?",
        ],
    ),
    (
        "What is known, and what is not",
        &["known", "facts", "fact", "evidence", "sources", "background", "research"],
        [
            "Which sources measure this rather than report opinions?",
            "How have the figures changed over the last years?",
            "On which points do good sources disagree?",
        ],
    ),
];

/// A research note: what is asked, what is given, and what to find out, as questions.
fn research(material: &Material<'_>) -> String {
    let question = material.subject();
    // The agent's instructions say the side; where they name several, the first one counts.
    let first =
        |text: &str, phrases: &[&str]| phrases.iter().filter_map(|phrase| words::places(text, phrase).next()).min();
    let side = |text: &str| {
        let found = SIDES.iter().filter_map(|side| Some((first(text, side.1)?, side)));
        found.min_by_key(|(place, _)| *place).map(|(_, side)| side)
    };
    let (heading, _, questions) = side(material.system).or_else(|| side(&material.text)).unwrap_or(&SIDES[2]);
    let mut text = format!("**{heading}**\n\n{question}\n\n");
    for one in material.given() {
        let _ = writeln!(text, "- Given: {one}");
    }
    let terms = words::key_terms(&question, 5);
    if !terms.is_empty() {
        let _ = writeln!(text, "- It turns on: {}.", terms.join(", "));
    }
    for one in questions {
        let _ = writeln!(text, "- To find out: {one}");
    }
    text
}

/// Several notes as one: the main points of each, none of them twice.
fn merged(material: &Material<'_>) -> String {
    let mut text = String::new();
    let subject = material.subject();
    if !subject.is_empty() {
        let _ = writeln!(text, "{subject}\n");
    }
    let mut said: Vec<String> = vec![subject];
    for (label, body) in material.blocks() {
        let body = body.replace(SIGNED, "").replace("**", "");
        let all = words::sentences(&body);
        let fresh: Vec<&str> = all.into_iter().filter(|one| !said.iter().any(|old| old == one)).take(6).collect();
        said.extend(fresh.iter().map(|one| (*one).to_owned()));
        if !fresh.is_empty() {
            let _ = writeln!(text, "**{label}**\n");
            list(&mut text, &fresh);
            text.push('\n');
        }
    }
    text
}

/// A checked address.
struct Check {
    url: String,
    status: Option<i64>,
    is_slow: bool,
    is_good: bool,
    words: String,
}

/// The checked addresses of the input as a report: how many answer well, then those that do not.
fn checks(material: &Material<'_>) -> Option<String> {
    let mut checks = checks_in_json(material);
    if checks.is_empty() {
        checks = material.text.lines().filter_map(check_in_line).collect();
    }
    if checks.is_empty() {
        return None;
    }
    let good = checks.iter().filter(|one| one.is_good).count();
    let mut text = format!("{good} of {} addresses answer well.\n", checks.len());
    let bad: Vec<&Check> = checks.iter().filter(|one| !one.is_good && !one.is_slow).collect();
    if !bad.is_empty() {
        text.push_str("\nThese do not:\n");
        for one in bad {
            let _ = writeln!(text, "- {}: {}. Likely cause: {}.", one.url, one.words, cause(one.status));
        }
    }
    let slow: Vec<&str> = checks.iter().filter(|one| one.is_slow).map(|one| one.url.as_str()).collect();
    if !slow.is_empty() {
        let _ = writeln!(text, "\nSlow: {}.", slow.join(", "));
    }
    Some(text)
}

fn checks_in_json(material: &Material<'_>) -> Vec<Check> {
    let of = |item: &Value| {
        let url = plain(item.get("url")?);
        let status = item.get("status").and_then(Value::as_i64);
        let verdict =
            item.get("verdict").or_else(|| item.get("state")).and_then(Value::as_str).unwrap_or_default().to_owned();
        if status.is_none() && verdict.is_empty() && item.get("ok").is_none() {
            return None;
        }
        let is_slow = verdict == "slow";
        let answers = status.is_some_and(|status| (200..400).contains(&status));
        let is_good = item.get("ok").and_then(Value::as_bool).unwrap_or(answers) && !is_slow;
        let words = status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
        Some(Check { url, status, is_slow, is_good, words })
    };
    material
        .lists()
        .into_iter()
        .map(|list| list.iter().filter_map(of).collect::<Vec<_>>())
        .find(|one| !one.is_empty())
        .unwrap_or_default()
}

/// `https://example.com: broken, status 404, 80 ms`.
fn check_in_line(line: &str) -> Option<Check> {
    let url = words::urls(line).into_iter().next()?;
    let words = line[line.find(&url)? + url.len()..].trim_start_matches([':', ' ', '-', '–']).trim().to_owned();
    let verdicts = ["status", "works", "broken", "unreachable", "slow", "failed", "ok", "down"];
    if !verdicts.iter().any(|word| words::has(&words, word)) {
        return None;
    }
    let after = words::places(&words, "status").next().map(|place| &words[place + "status".len()..]);
    let status = after.and_then(|text| text.trim_start_matches([':', ' ']).get(..3)?.parse().ok());
    let is_slow = words::has(&words, "slow");
    let is_bad = ["broken", "unreachable", "failed", "down"].iter().any(|word| words::has(&words, word))
        || status.is_some_and(|status: i64| status >= 400);
    Some(Check { url, status, is_slow, is_good: !is_bad && !is_slow, words })
}

/// What a status tells of its cause, and no more.
fn cause(status: Option<i64>) -> &'static str {
    match status {
        Some(404 | 410) => "there is no such page",
        Some(401 | 403) => "the page asks for rights",
        Some(429) => "too many calls",
        Some(500..) => "a fault of that server",
        _ => "not known",
    }
}

/// The title of a page, from its HTML.
pub(super) fn title_of(body: Option<&Value>) -> Option<String> {
    let text = body?.as_str()?;
    let low = text.to_ascii_lowercase();
    let start = low.find("<title")?;
    let start = start + low[start..].find('>')? + 1;
    let end = start + low[start..].find("</title")?;
    let title = words::short_line(text[start..end].trim(), 120);
    (!title.is_empty()).then_some(title)
}
