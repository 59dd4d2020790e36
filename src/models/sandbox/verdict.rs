//! Choosing by words: one of several options, yes or no, how urgent. Pure.

use super::words::{has, name_words, places};

/// Words that speak for an option besides its own name.
const SIGNS: [(&[&str], &[&str]); 17] = [
    (
        &["billing", "payment", "invoice", "finance"],
        &[
            "invoice",
            "charged",
            "charge",
            "payment",
            "paid",
            "bill",
            "subscription",
            "card",
            "receipt",
            "refund",
            "twice",
        ],
    ),
    (&["refund"], &["refund", "money back", "refunded", "reimburse"]),
    (
        &["technical", "bug", "support", "error", "incident", "outage"],
        &[
            "error",
            "crash",
            "crashes",
            "bug",
            "broken",
            "not working",
            "doesn't work",
            "does not work",
            "fails",
            "failed",
            "slow",
            "down",
            "install",
            "update",
            "freezes",
            "export",
            "page",
        ],
    ),
    (
        &["account", "access", "login"],
        &["account", "login", "log in", "password", "sign in", "profile", "locked", "two-factor", "email address"],
    ),
    (
        &["shipping", "delivery", "order", "logistics"],
        &["delivery", "delivered", "shipping", "shipped", "package", "parcel", "arrived", "tracking", "order"],
    ),
    (
        &["sales", "pricing", "quote"],
        &["price", "pricing", "quote", "buy", "purchase", "plan", "demo", "upgrade", "discount", "seats"],
    ),
    (
        &["complaint", "escalation"],
        &["disappointed", "angry", "unacceptable", "complaint", "terrible", "worst", "frustrated", "lawyer"],
    ),
    (
        &["feature", "suggestion", "feedback", "request"],
        &["would be nice", "suggestion", "feature", "could you add", "wish", "idea"],
    ),
    (&["cancellation", "cancel", "churn"], &["cancel", "cancellation", "terminate", "close my account", "unsubscribe"]),
    (
        &["question", "inquiry", "enquiry", "information", "how"],
        &["how do i", "how can i", "where can i", "is it possible", "question"],
    ),
    (
        &["positive", "happy", "praise", "good"],
        &["great", "love", "happy", "excellent", "perfect", "wonderful", "thanks a lot", "delighted"],
    ),
    (
        &["negative", "angry", "unhappy", "bad"],
        &[
            "angry",
            "disappointed",
            "terrible",
            "bad",
            "broken",
            "unacceptable",
            "frustrated",
            "worst",
            "still",
            "again",
            "not working",
            "charged twice",
            "wrong",
            "annoyed",
            "never",
        ],
    ),
    (&["spam", "phishing"], &["winner", "lottery", "click here", "prize", "crypto", "act now", "free money"]),
    (&["legal"], &["lawyer", "legal", "court", "gdpr", "contract", "liability"]),
    (&["security"], &["security", "hacked", "breach", "phishing", "stolen", "vulnerability"]),
    (&["approve", "approved", "accept", "pass"], &["approve", "looks good", "matches", "correct", "complete"]),
    (&["reject", "rejected", "deny", "fail"], &["reject", "duplicate", "wrong", "mismatch", "fraud", "expired"]),
];

const URGENT: [&str; 22] = [
    "urgent",
    "urgently",
    "asap",
    "immediately",
    "critical",
    "outage",
    "emergency",
    "as soon as possible",
    "right away",
    "down",
    "lost data",
    "data loss",
    "blocked",
    "cannot work",
    "can't work",
    "deadline",
    "lawyer",
    "legal action",
    "production",
    "all users",
    "security",
    "today",
];
const PRESSING: [&str; 12] = [
    "charged twice",
    "still",
    "again",
    "refund",
    "cannot",
    "can't",
    "not working",
    "broken",
    "wrong",
    "disappointed",
    "angry",
    "failed",
];
const CALM: [&str; 8] =
    ["no hurry", "no rush", "whenever", "just wondering", "curious", "minor", "when you have time", "suggestion"];

/// How urgent a text is, 0 to 3.
pub(super) fn urgency(text: &str) -> usize {
    let count = |words: &[&str]| words.iter().filter(|word| has(text, word)).count();
    let (urgent, pressing) = (count(&URGENT), count(&PRESSING));
    if count(&CALM) > 0 && urgent == 0 {
        return 0;
    }
    match (urgent, pressing) {
        (2.., _) => 3,
        (1, _) => 2,
        (0, 2..) => 2,
        (0, 1) => 1,
        (0, 0) => usize::from(text.contains('?')),
    }
}

/// The option that a text speaks for, the words that decided included.
pub(super) fn choose<'o>(options: &[&'o str], name: &str, text: &str) -> Option<(&'o str, Vec<String>)> {
    if let Some(option) = by_degree(options, name, text) {
        return Some((option, Vec::new()));
    }
    let scored = options.iter().map(|option| (*option, signs(option, text)));
    let best = scored.max_by_key(|(option, found)| {
        // The earlier option wins a draw.
        (found.len(), std::cmp::Reverse(options.iter().position(|one| one == option)))
    });
    match best {
        Some((option, found)) if !found.is_empty() => Some((option, found)),
        _ => {
            let neutral = [
                "other",
                "general",
                "unknown",
                "none",
                "neutral",
                "normal",
                "question",
                "needs_review",
                "review",
                "unclear",
                "medium",
            ];
            let fallback = neutral.iter().find_map(|word| options.iter().find(|option| option.to_lowercase() == *word));
            fallback.or(options.first()).map(|option| (*option, Vec::new()))
        }
    }
}

/// The words of a text that speak for an option.
fn signs(option: &str, text: &str) -> Vec<String> {
    let own = name_words(option);
    let mut found: Vec<String> = Vec::new();
    let phrase = own.join(" ");
    if !phrase.is_empty() && phrase.len() > 2 && stands(text, &phrase) {
        found.extend([phrase.clone(), phrase.clone()]);
    }
    for (names, words) in SIGNS {
        if own
            .iter()
            .any(|word| names.contains(&word.as_str()) || names.iter().any(|name| word.strip_suffix('s') == Some(name)))
        {
            found.extend(
                words.iter().filter(|word| **word != phrase && stands(text, word)).map(|word| (*word).to_owned()),
            );
        }
    }
    found
}

/// Low, medium, high and the like: by urgency where the name or the options speak of it.
fn by_degree<'o>(options: &[&'o str], name: &str, text: &str) -> Option<&'o str> {
    const DEGREES: [&[&str]; 4] = [
        &["low", "minor", "p4", "trivial", "none"],
        &["medium", "normal", "moderate", "p3", "standard"],
        &["high", "major", "p2", "important"],
        &["urgent", "critical", "p1", "highest", "blocker", "severe"],
    ];
    let degree = |option: &str| DEGREES.iter().position(|words| words.contains(&option.to_lowercase().as_str()));
    let degrees: Vec<_> = options.iter().filter_map(|option| degree(option).map(|degree| (degree, *option))).collect();
    if degrees.len() < 2 || degrees.len() * 3 < options.len() * 2 {
        return None;
    }
    let mut level = urgency(text);
    // A text that says the word itself about itself: "priority: high".
    for word in name_words(name) {
        for (found, option) in &degrees {
            if has(text, &format!("{word}: {option}")) || has(text, &format!("{option} {word}")) {
                level = *found;
            }
        }
    }
    degrees.into_iter().min_by_key(|(degree, _)| degree.abs_diff(level)).map(|(_, option)| option)
}

/// Whether a phrase stands in a text without a "not" before it.
fn stands(text: &str, phrase: &str) -> bool {
    places(text, phrase).any(|place| {
        let before: Vec<&str> = text[..place].split_whitespace().rev().take(3).collect();
        !before.iter().any(|word| {
            let word = word.to_lowercase();
            ["no", "not", "without", "never", "don't", "doesn't", "isn't"].contains(&word.as_str())
        })
    })
}

/// Yes or no, by the words of a field's name and description.
pub(super) fn yes(name: &str, description: &str, text: &str) -> bool {
    const EMPTY: [&str; 27] = [
        "is",
        "has",
        "needs",
        "need",
        "should",
        "be",
        "requires",
        "required",
        "contains",
        "requested",
        "can",
        "was",
        "does",
        "the",
        "a",
        "an",
        "of",
        "to",
        "whether",
        "customer",
        "message",
        "if",
        "for",
        "or",
        "any",
        "it",
        "this",
    ];
    let words = name_words(name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if any(&["urgent", "escalate", "escalation", "priority", "immediately"]) {
        return urgency(text) >= 2;
    }
    if any(&["human", "person", "manual", "review", "approval"]) {
        let asked = ["human", "person", "manager", "lawyer", "legal", "refund", "complaint", "supervisor"];
        return urgency(text) >= 2 || asked.iter().any(|word| stands(text, word));
    }
    if any(&["ok", "success", "valid", "complete", "healthy", "reachable", "correct"]) {
        return !["error", "failed", "invalid", "missing", "broken", "down", "wrong"]
            .iter()
            .any(|word| stands(text, word));
    }
    let telling = words
        .into_iter()
        .chain(name_words(description))
        .filter(|word| word.len() > 3 && !EMPTY.contains(&word.as_str()));
    telling.take(8).any(|word| !signs(&word, text).is_empty())
}
