//! Which tools fit a task: their names and descriptions against the task's words (BM25, as search engines rank texts).

use std::collections::HashMap;

use super::ToolSpec;

/// How fast a word's weight is satiated by repetition, and how much a long description counts against its words.
const SATIATION: f64 = 1.2;
const LENGTH: f64 = 0.75;
/// How often a word of the name counts, against one of the description.
const NAME: usize = 3;

/// Words that say nothing about a task.
const EMPTY: [&str; 24] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "is", "it", "of", "on", "or", "that", "the",
    "this", "to", "use", "what", "with", "you",
];

/// The tools in the order in which they fit the task, the best first; those that do not fit at all are left out.
#[must_use]
pub fn rank<'t>(tools: impl IntoIterator<Item = &'t ToolSpec>, task: &str) -> Vec<&'t ToolSpec> {
    let texts: Vec<(&ToolSpec, Vec<String>)> = tools.into_iter().map(|tool| (tool, words_of(tool))).collect();
    let average = texts.iter().map(|(_, words)| words.len()).sum::<usize>().max(1) as f64 / texts.len().max(1) as f64;
    let mut having: HashMap<&str, usize> = HashMap::new();
    for (_, words) in &texts {
        let mut once: Vec<&str> = words.iter().map(String::as_str).collect();
        once.sort_unstable();
        once.dedup();
        once.into_iter().for_each(|word| *having.entry(word).or_default() += 1);
    }
    let mut asked = words(task);
    asked.sort_unstable();
    asked.dedup();
    let weight = |word: &str| {
        let with = having.get(word).copied().unwrap_or(0) as f64;
        ((texts.len() as f64 - with + 0.5) / (with + 0.5)).ln_1p()
    };
    let mut scored: Vec<(f64, &ToolSpec)> = texts
        .iter()
        .map(|(tool, words)| {
            let length = 1.0 - LENGTH + LENGTH * words.len() as f64 / average;
            let score = |word: &String| {
                let count = words.iter().filter(|other| *other == word).count() as f64;
                weight(word) * count * (SATIATION + 1.0) / (count + SATIATION * length)
            };
            (asked.iter().map(score).sum(), *tool)
        })
        .filter(|(score, _)| *score > 0.0)
        .collect();
    scored.sort_by(|(one, first), (other, second)| other.total_cmp(one).then_with(|| first.name.cmp(&second.name)));
    scored.into_iter().map(|(_, tool)| tool).collect()
}

fn words_of(tool: &ToolSpec) -> Vec<String> {
    let mut all = words(&tool.description);
    let name = words(&tool.name);
    (0..NAME).for_each(|_| all.extend(name.iter().cloned()));
    all
}

/// The words of a text: lower case, apart at `_` and at capitals inside of a word, without the plural's s.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for letter in text.chars().chain([' ']) {
        if !word.is_empty() && (!letter.is_alphanumeric() || (was_lower && letter.is_uppercase())) {
            let plain = match word.strip_suffix('s').filter(|rest| rest.len() > 2 && !rest.ends_with('s')) {
                Some(rest) => rest.to_owned(),
                None => std::mem::take(&mut word),
            };
            word.clear();
            if !EMPTY.contains(&plain.as_str()) {
                found.push(plain);
            }
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str) -> ToolSpec {
        ToolSpec { name: name.to_owned(), description: description.to_owned(), ..ToolSpec::default() }
    }

    #[test]
    fn what_fits_comes_first_and_what_does_not_is_left_out() {
        let tools = [
            tool("crm_find_customer", "Finds a customer by name or e-mail address."),
            tool("invoice_create", "Makes an invoice for a customer and sends it."),
            tool("weather_today", "Tells the weather of a city."),
            tool("listInvoices", "Lists what a customer was billed."),
        ];
        let names = |task: &str| rank(&tools, task).iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names("List the invoices of Miller")[0], "listInvoices");
        assert_eq!(names("What is the weather in Paris")[..], ["weather_today"]);
        assert_eq!(names("Look up the e-mail of a customer")[0], "crm_find_customer");
        assert!(names("the of and").is_empty() && names("").is_empty());
    }

    #[test]
    fn words_are_taken_apart() {
        assert_eq!(words("listOpenInvoices, crm_find"), ["list", "open", "invoice", "crm", "find"]);
        assert_eq!(words("Grüße an ALLE"), ["grüße", "alle"]);
        assert_eq!(words("class passes"), ["class", "passe"]);
    }
}
