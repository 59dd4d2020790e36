//! Reading text by rules: sentences, labels, numbers, addresses, key words. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// A name without its spelling: `Due date`, `dueDate` and `due_date` are the same.
pub(super) fn key(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words of a name: `customerName` and `customer_name` have two.
pub(super) fn name_words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            spaced.push(' ');
        }
        spaced.push(letter);
    }
    spaced
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Whether two names nearly say the same: all words of the shorter one are in the longer one, and it is not a lone
/// common word.
pub(super) fn is_near(one: &str, other: &str) -> bool {
    let (a, b) = (name_words(one), name_words(other));
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    let telling = |word: &String| !["id", "name", "type", "the", "of", "is", "a", "number"].contains(&word.as_str());
    !short.is_empty()
        && long.len() - short.len() <= 1
        && short.iter().any(telling)
        && short.iter().all(|word| long.contains(word))
}

/// The sentences of a text, trimmed. A line end ends a sentence as well.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let letters: Vec<(usize, char)> = line.char_indices().collect();
        for (index, (place, letter)) in letters.iter().enumerate() {
            let next = letters.get(index + 1).map(|(_, next)| *next);
            let ends = matches!(letter, '.' | '!' | '?' | '。' | '！' | '？') && next.is_none_or(char::is_whitespace);
            if ends && !is_abbreviation(&line[start..*place]) {
                out.push(&line[start..place + letter.len_utf8()]);
                start = place + letter.len_utf8();
            }
        }
        out.push(&line[start..]);
    }
    out.into_iter()
        .map(|one| one.trim().trim_start_matches(['-', '*', '•', '#', '>']).trim())
        .filter(|one| one.chars().filter(|letter| letter.is_alphanumeric()).count() > 1)
        .collect()
}

/// A text whose lines were broken to fit a width, with each paragraph's lines as one again.
pub(super) fn unwrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        let goes_on = !line.trim().is_empty()
            && !line.trim_end().ends_with(['.', '!', '?', ':', ',', ';', '}', ']'])
            && lines.peek().is_some_and(|next| next.starts_with(char::is_lowercase) && !next.starts_with("http"));
        if lines.peek().is_some() {
            out.push(if goes_on { ' ' } else { '\n' });
        }
    }
    out
}

fn is_abbreviation(before: &str) -> bool {
    let last = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    ["mr", "mrs", "ms", "dr", "e.g", "i.e", "no", "st", "inc", "ltd", "approx", "vs", "etc"]
        .contains(&last.to_lowercase().as_str())
        || (last.len() == 1 && last.chars().all(char::is_uppercase))
}

const COMMANDS: [&str; 38] = [
    "triage",
    "classify",
    "draft",
    "write",
    "research",
    "summarise",
    "summarize",
    "read",
    "decide",
    "answer",
    "review",
    "check",
    "compare",
    "merge",
    "extract",
    "look",
    "find",
    "list",
    "describe",
    "explain",
    "analyse",
    "analyze",
    "you",
    "please",
    "reply",
    "respond",
    "combine",
    "bring",
    "report",
    "assess",
    "examine",
    "collect",
    "prepare",
    "use",
    "your",
    "based",
    "given",
    "here",
];

/// Whether a paragraph tells the model what to do rather than what it is about: one or two sentences that begin so.
pub(super) fn is_instruction(paragraph: &str) -> bool {
    let first = paragraph.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    COMMANDS.contains(&first.as_str()) && !paragraph.contains('?') && sentences(paragraph).len() <= 4
}

/// A sentence without "Research the question:" and the like before it.
pub(super) fn without_command(sentence: &str) -> &str {
    match sentence.split_once(": ") {
        Some((before, after)) if is_instruction(before) && !after.trim().is_empty() => after.trim(),
        _ => sentence,
    }
}

/// `Label: value` of a line.
fn label_of(line: &str) -> Option<(&str, &str)> {
    let line = line.trim().trim_start_matches(['-', '*', '•', '#']).trim();
    let (label, value) = line.split_once(':')?;
    let label = label.trim().trim_matches('*');
    let fits = !label.is_empty()
        && label.len() <= 48
        && label.split_whitespace().count() <= 5
        && label.chars().next().is_some_and(char::is_alphabetic)
        && label.chars().all(|letter| letter.is_alphanumeric() || " _-'/()".contains(letter))
        && !value.starts_with("//");
    fits.then_some((label, value.trim().trim_matches('*').trim()))
}

/// All `Label: value` lines, and blocks below a line that is only a label (or a heading), up to the next of these. List
/// items inside of a block belong to it, whatever they begin with.
pub(super) fn labelled(text: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let heading = line.trim().strip_prefix('#').map(|rest| (rest.trim_start_matches('#').trim(), ""));
        let is_item = line.trim_start().starts_with(['-', '*', '•']);
        let found =
            heading.filter(|(title, _)| !title.is_empty()).or_else(|| label_of(line)).filter(|_| !(open && is_item));
        match found {
            Some((label, value)) => {
                out.push((label.to_owned(), value.to_owned()));
                open = value.is_empty();
            }
            None if open => {
                if let Some((_, value)) = out.last_mut() {
                    value.push_str(line);
                    value.push('\n');
                }
            }
            None => {}
        }
    }
    for (_, value) in &mut out {
        *value = value.trim().to_owned();
    }
    out
}

/// Whether a paragraph is nothing but labelled lines.
pub(super) fn is_labels_only(paragraph: &str) -> bool {
    paragraph.lines().all(|line| label_of(line).is_some())
}

/// The JSON objects and lists that stand in a text.
pub(super) fn json_in(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(place) = text[from..].find(['{', '[']) {
        let start = from + place;
        let mut reader = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match reader.next() {
            Some(Ok(value)) if !matches!(&value, Value::Array(items) if items.is_empty()) => {
                from = start + reader.byte_offset();
                found.push(value);
            }
            _ => from = start + 1,
        }
        if found.len() >= 20 {
            break;
        }
    }
    found
}

/// The first line of a text, at most this long, cut at a word.
pub(super) fn short_line(text: &str, most: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let cut: String = line.chars().take(most).collect();
    format!("{}…", cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole))
}

/// The web addresses in a text, without the punctuation after them.
pub(super) fn urls(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split(|letter: char| letter.is_whitespace() || "<>\"'`|,".contains(letter)) {
        let start = word.find("https://").or_else(|| word.find("http://"));
        if let Some(start) = start {
            let url = word[start..].trim_end_matches(['.', ';', ':', '!', '?', ')', ']', '}', '*', '…']).to_owned();
            if url.len() > "https://".len() && !out.contains(&url) {
                out.push(url);
            }
        }
    }
    out
}

/// The e-mail addresses in a text with the places where they begin.
pub(super) fn emails(text: &str) -> Vec<(usize, String)> {
    let part = |letter: char| letter.is_ascii_alphanumeric() || "._%+-@".contains(letter);
    let mut out = Vec::new();
    let mut start = None;
    for (place, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, part(letter)) {
            (None, true) => start = Some(place),
            (Some(from), false) => {
                start = None;
                let word = text[from..place].trim_end_matches(['.', '-']);
                if let Some((name, host)) = word.split_once('@')
                    && !name.is_empty()
                    && !host.contains('@')
                    && host.contains('.')
                    && !host.starts_with('.')
                {
                    out.push((from, word.to_owned()));
                }
            }
            _ => {}
        }
    }
    out
}

/// A number in a text: its value, whether money stands beside it, and the word before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    pub value: f64,
    pub is_money: bool,
}

/// The numbers of a text, thousands separators and both decimal signs read; not those inside of dates, times and words.
pub(super) fn numbers(text: &str) -> Vec<Number> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_matches(|letter: char| "()[]{}\"'!?;:*".contains(letter)).trim_end_matches(['.', ',']);
        let digits = word.trim_start_matches(|letter: char| !letter.is_ascii_digit() && letter != '-');
        let digits = digits.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        if digits.is_empty() || digits.chars().any(|letter| !(letter.is_ascii_digit() || ".,-'".contains(letter))) {
            continue;
        }
        let around = word.replace(digits, "");
        let is_money =
            ["$", "€", "£", "¥", "eur", "usd", "gbp", "chf"].iter().any(|sign| around.to_lowercase().contains(sign));
        let is_plain = around.chars().all(|letter| "%+~#".contains(letter));
        if let Some(value) = number(digits).filter(|_| is_money || is_plain) {
            out.push(Number { value, is_money: is_money || money_word_beside(text, word) });
        }
    }
    out
}

fn money_word_beside(text: &str, word: &str) -> bool {
    let Some(place) = text.find(word) else { return false };
    let after = text[place + word.len()..].trim_start().to_lowercase();
    let before = text[..place].trim_end().to_lowercase();
    ["eur", "usd", "gbp", "chf", "euro", "dollar", "€", "$", "£"]
        .iter()
        .any(|sign| after.starts_with(sign) || before.ends_with(sign))
}

/// Reads `1,240.50`, `1.240,50`, `1'240` and `-3`.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace('\'', "");
    if text[1.min(text.len())..].contains('-') {
        return None;
    }
    let (dot, comma) = (text.rfind('.'), text.rfind(','));
    let decimal = match (dot, comma) {
        (Some(dot), Some(comma)) => Some(dot.max(comma)),
        (Some(one), None) | (None, Some(one)) => {
            let (sign, after) = (text.as_bytes()[one], text.len() - one - 1);
            let several = text.matches(sign as char).count() > 1;
            // 1,240 is a thousand and 1.5 is a fraction; 1.240 stays a fraction as in English.
            let groups_thousands = sign == b',' && after == 3;
            (!several && !groups_thousands).then_some(one)
        }
        (None, None) => None,
    };
    let clean: String = text
        .char_indices()
        .filter_map(|(place, letter)| match letter {
            '.' | ',' if Some(place) == decimal => Some('.'),
            '.' | ',' => None,
            other => Some(other),
        })
        .collect();
    clean.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A date as `2026-11-20` somewhere in a text.
pub(super) fn date(text: &str) -> Option<String> {
    text.split(|letter: char| !(letter.is_ascii_digit() || letter == '-'))
        .find(|word| chrono::NaiveDate::parse_from_str(word, "%Y-%m-%d").is_ok())
        .map(str::to_owned)
}

/// Whether a text could be a person's name: up to three words that begin with capitals.
fn is_name(text: &str) -> bool {
    (1..=3).contains(&text.split_whitespace().count())
        && text.chars().all(|letter| letter.is_alphabetic() || " .-'".contains(letter))
        && text.split_whitespace().all(|word| word.starts_with(char::is_uppercase))
}

/// The name at the end of a letter: alone in the last line, below a greeting or an empty line.
pub(super) fn signature(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    let last = lines.last()?.trim_start_matches(['-', '–', '—', ' ']);
    let before = lines.len().checked_sub(2).map(|place| lines[place].to_lowercase())?;
    let ends = ["regards", "thanks", "thank you", "best", "cheers", "sincerely", "yours", "greetings", "wishes"];
    let greets = before.is_empty() || ends.iter().any(|word| before.trim_end_matches([',', '!', '.']).ends_with(word));
    let is_greeting = ends.iter().any(|word| last.to_lowercase().contains(word));
    (greets && is_name(last) && !is_greeting).then(|| last.to_owned())
}

/// Whose message a text says it is: `this message of Ana Marković`.
pub(super) fn author(text: &str) -> Option<String> {
    ["message of", "message from", "letter of", "letter from", "mail of", "mail from"].into_iter().find_map(|phrase| {
        let place = places(text, phrase).next()?;
        let name = text[place + phrase.len()..].split(['.', ',', ':', ';', '\n', '(']).next()?.trim();
        is_name(name).then(|| name.to_owned())
    })
}

const COMMON: &str = " a about above after again all also am an and any are as at be because been before being below \
    between both but by can cannot could did do does doing down during each few for from further get got had has have \
    having he her here hers him his how i if in into is it its just know let like made make many may me might more most \
    much must my need no nor not now of off on once one only or other our out over own please really said same say see she \
    should since so some still such sure take than thank thanks that the their them then there these they thing things this \
    those through to today too under until up us use very want was way we well were what when where which while who whom \
    why will with would yes you your yours question message text note notes write reply answer research customer \
    hello hi dear regards best ";

/// The words that say most of what a text is about, the most frequent first, each with its first spelling.
pub(super) fn key_terms(text: &str, most: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, (usize, usize, String)> = BTreeMap::new();
    let words = text.split(|letter: char| !(letter.is_alphanumeric() || letter == '-' || letter == '\''));
    for (place, word) in words.map(|word| word.trim_matches(['-', '\''])).enumerate() {
        let low = word.to_lowercase();
        let telling =
            word.chars().count() > 3 && word.chars().any(char::is_alphabetic) && !COMMON.contains(&format!(" {low} "));
        if telling {
            counts.entry(low).or_insert((0, place, word.to_owned())).0 += 1;
        }
    }
    let mut ranked: Vec<_> = counts.into_values().collect();
    ranked.sort_by_key(|(count, place, _)| (std::cmp::Reverse(*count), *place));
    ranked.into_iter().take(most).map(|(_, _, word)| word).collect()
}

/// The sentences that carry most of a text, in the text's order.
pub(super) fn gist(text: &str, most: usize) -> Vec<&str> {
    let all = sentences(text);
    if all.len() <= most {
        return all;
    }
    let terms: Vec<String> = key_terms(text, 12).into_iter().map(|term| term.to_lowercase()).collect();
    let mut ranked: Vec<(usize, usize)> = all
        .iter()
        .enumerate()
        .map(|(place, sentence)| {
            let low = sentence.to_lowercase();
            let score = terms
                .iter()
                .enumerate()
                .filter(|(_, term)| low.contains(*term))
                .map(|(rank, _)| 12 - rank)
                .sum::<usize>();
            // The first sentence and questions say more than others of the same words.
            let bonus = if place == 0 { 8 } else { 0 } + if sentence.ends_with('?') { 6 } else { 0 };
            (place, score + bonus)
        })
        .collect();
    ranked.sort_by_key(|(place, score)| (std::cmp::Reverse(*score), *place));
    let mut kept: Vec<usize> = ranked.into_iter().take(most).map(|(place, _)| place).collect();
    kept.sort_unstable();
    kept.into_iter().map(|place| all[place]).collect()
}

/// Whether a text has a word or phrase, as whole words.
pub(super) fn has(text: &str, phrase: &str) -> bool {
    places(text, phrase).next().is_some()
}

/// Where a phrase stands in a text as whole words, without regard to case of ASCII letters.
pub(super) fn places<'t>(text: &'t str, phrase: &'t str) -> impl Iterator<Item = usize> + 't {
    let low = text.to_ascii_lowercase();
    let phrase = phrase.to_ascii_lowercase();
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(place) = low[from..].find(&phrase) {
            let start = from + place;
            let end = start + phrase.len();
            from = end;
            let free = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
            if free(low[..start].chars().next_back()) && free(low[end..].chars().next()) {
                return Some(start);
            }
        }
        None
    })
}
