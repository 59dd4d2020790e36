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
    let body = if !results.is_empty() {
        bullets(&results)
    } else if let Some(report) = checks(material) {
        report
    } else if material.blocks().len() >= 2
        && wants(&[
            "merge",
            "combine",
            "bring together",
            "synthesis",
            "synthesise",
            "synthesize",
            "summarise",
            "summarize",
            "report",
        ])
    {
        merged(material)
    } else if wants(&["draft", "reply", "respond to", "answer the customer", "letter", "e-mail to", "write back"]) {
        return reply(material);
    } else if wants(&[
        "research",
        "investigate",
        "analyst",
        "analyse",
        "analyze",
        "evidence",
        "arguments",
        "risks",
        "pros and cons",
    ]) {
        research(material, &told)
    } else {
        summary(material, 4)
    };
    format!("{}\n\n{SIGNED}", body.trim_end())
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

/// A research note: what is asked, what it turns on, and what to find out, as questions.
fn research(material: &Material<'_>, told: &str) -> String {
    let question = material.subject();
    let core = material.core();
    let terms = words::key_terms(&core, 5);
    let about = if terms.is_empty() { "this".to_owned() } else { terms[..terms.len().min(2)].join(" and ") };
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| words::has(told, phrase));
    let (angle, questions) =
        if has(&["critic", "sceptic", "skeptic", "risk", "risks", "against", "counterarguments", "doubt"]) {
            (
                "What speaks against it",
                [
                    format!("Which assumption about {about} would hurt most if it were wrong?"),
                    format!("Who has tried something like this and stopped, and why?"),
                    format!("What does {about} cost when it fails, and who pays for it?"),
                ],
            )
        } else if has(&[
            "practical",
            "practitioner",
            "cost",
            "costs",
            "implementation",
            "feasibility",
            "options",
            "compare",
        ]) {
            (
                "What it would take",
                [
                    format!("What has to be there before {about} can begin?"),
                    "How much time and money does the smallest useful version need?".to_owned(),
                    format!("By which figure would one see after a month that {about} works?"),
                ],
            )
        } else {
            (
                "What has to be known",
                [
                    format!("Which sources measure {about} rather than report opinions?"),
                    format!("How has {about} changed over the last years?"),
                    "On which points do good sources disagree?".to_owned(),
                ],
            )
        };
    let mut text = format!("## {angle}\n\nQuestion: {question}\n");
    if !terms.is_empty() {
        let _ = writeln!(text, "\nIt turns on: {}.", terms.join(", "));
    }
    let given: Vec<&str> =
        words::gist(&core, 3).into_iter().filter(|one| !question.contains(one.trim_end_matches('?'))).collect();
    if !given.is_empty() {
        text.push_str("\nGiven with the question:\n");
        list(&mut text, &given);
    }
    text.push_str("\nTo find out:\n");
    for (place, one) in questions.iter().enumerate() {
        let _ = writeln!(text, "{}. {one}", place + 1);
    }
    text
}

/// Several notes as one: each with its main points, then what they share.
fn merged(material: &Material<'_>) -> String {
    let blocks = material.blocks();
    let mut text = String::new();
    let subject = material.subject();
    if !subject.is_empty() {
        let _ = writeln!(text, "# {subject}\n");
    }
    for (label, body) in &blocks {
        let body = body.replace(SIGNED, "");
        let _ = writeln!(text, "## {label}");
        for sentence in words::gist(&body, 3) {
            let _ = writeln!(text, "- {sentence}");
        }
        text.push('\n');
    }
    let mut shared = words::key_terms(&material.text.replace(SIGNED, ""), 20);
    shared.retain(|term| blocks.iter().filter(|(_, body)| words::has(body, term)).count() > 1);
    if !shared.is_empty() {
        let _ = writeln!(text, "All of them touch on: {}.", shared[..shared.len().min(6)].join(", "));
    }
    text
}

/// A list of checked addresses as a report.
fn checks(material: &Material<'_>) -> Option<String> {
    let is_check =
        |item: &Value| item.get("url").is_some() && (item.get("status").is_some() || item.get("ok").is_some());
    let list = material.lists().into_iter().find(|list| list.iter().any(is_check))?;
    let good = |item: &&Value| match item.get("ok") {
        Some(Value::Bool(ok)) => *ok,
        _ => item.get("status").and_then(Value::as_i64).is_some_and(|status| (200..400).contains(&status)),
    };
    let well = list.iter().filter(good).count();
    let mut text = format!("{} of {} addresses answer well.\n", well, list.len());
    for item in list {
        let url = item.get("url").map_or_else(|| "?".to_owned(), plain);
        let status = ["status", "error", "message"].iter().find_map(|name| item.get(*name)).map(plain);
        let time = item.get("duration_ms").map(|ms| format!(", {} ms", plain(ms))).unwrap_or_default();
        let word = if good(&item) { "ok" } else { "NOT OK" };
        let _ = writeln!(text, "- {word}: {url} ({}{time})", status.unwrap_or_else(|| "no answer".to_owned()));
    }
    Some(text)
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
