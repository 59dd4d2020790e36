//! Filling an output schema out of the input: values that the input names, else the best that rules can tell.

use serde_json::{Map, Value, json};

use super::{
    material::{Material, plain},
    verdict, words, write,
};

/// How deep a schema is filled.
const MAX_DEPTH: usize = 8;
/// Entries of a list where the schema sets no bound.
const USUAL_ITEMS: usize = 5;

/// A value for a schema.
pub(super) fn value(schema: &Value, material: &Material<'_>) -> Value {
    fill("", schema, material, MAX_DEPTH)
}

fn fill(name: &str, schema: &Value, material: &Material<'_>, levels: usize) -> Value {
    if levels == 0 {
        return Value::Null;
    }
    for fixed in ["const", "default"] {
        if fixed == "const"
            && let Some(value) = schema.get(fixed)
        {
            return value.clone();
        }
    }
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        return option(name, schema, options, material);
    }
    for either in ["anyOf", "oneOf"] {
        if let Some(forms) = schema.get(either).and_then(Value::as_array) {
            let real = forms.iter().find(|form| form.get("type") != Some(&json!("null"))).or(forms.first());
            return real.map_or(Value::Null, |form| fill(name, form, material, levels - 1));
        }
    }
    match type_of(schema) {
        "object" => object(schema, material, levels),
        "array" => list(name, schema, material, levels),
        "string" => Value::String(text(name, schema, material)),
        "integer" => number(name, schema, material, true),
        "number" => number(name, schema, material, false),
        "boolean" => boolean(name, schema, material),
        _ => schema.get("default").cloned().unwrap_or(Value::Null),
    }
}

/// The first type that is not null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn describes(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn object(schema: &Value, material: &Material<'_>, levels: usize) -> Value {
    let mut out = Map::new();
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        for (name, field) in fields {
            out.insert(name.clone(), fill(name, field, material, levels - 1));
        }
    }
    Value::Object(out)
}

fn option(name: &str, schema: &Value, options: &[Value], material: &Material<'_>) -> Value {
    if let Some(found) = material.lookup(name)
        && let Some(same) = options.iter().find(|option| plain(option).eq_ignore_ascii_case(plain(&found).trim()))
    {
        return same.clone();
    }
    let words: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
    let text = format!("{}\n{}", material.subject(), material.core());
    let hint = format!("{name} {}", describes(schema));
    match verdict::choose(&words, &hint, &text) {
        Some((word, _)) => Value::String(word.to_owned()),
        None => options.first().cloned().unwrap_or(Value::Null),
    }
}

fn boolean(name: &str, schema: &Value, material: &Material<'_>) -> Value {
    match material.lookup(name) {
        Some(Value::Bool(yes)) => return Value::Bool(yes),
        Some(Value::String(word)) if ["yes", "true", "no", "false"].contains(&word.to_lowercase().as_str()) => {
            return Value::Bool(["yes", "true"].contains(&word.to_lowercase().as_str()));
        }
        _ => {}
    }
    Value::Bool(verdict::yes(name, describes(schema), &material.core()))
}

fn number(name: &str, schema: &Value, material: &Material<'_>, whole: bool) -> Value {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    let found = match material.lookup(name) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => words::numbers(&text).first().map(|one| one.value),
        _ => None,
    };
    let mut value = found.unwrap_or_else(|| guess(name, least, most, material));
    value = value.max(least.unwrap_or(f64::MIN)).min(most.unwrap_or(f64::MAX));
    if whole {
        json!(value.round() as i64)
    } else {
        // Whole amounts without a fraction, as people write them.
        serde_json::Number::from_f64(value).map_or(json!(0), Value::Number)
    }
}

fn guess(name: &str, least: Option<f64>, most: Option<f64>, material: &Material<'_>) -> f64 {
    let words = words::name_words(name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let core = material.core();
    if any(&["confidence", "certainty", "probability", "score", "rating", "relevance"]) {
        let (least, most) = (least.unwrap_or(0.0), most.unwrap_or(1.0));
        // Rules that found words are fairly, never fully, sure.
        return least + (most - least) * 0.7;
    }
    if any(&["urgency", "priority", "severity"]) {
        let (least, most) = (least.unwrap_or(1.0), most.unwrap_or(5.0));
        return (least + (most - least) * verdict::urgency(&core) as f64 / 3.0).round();
    }
    if any(&["count", "total", "items", "checked"])
        && !any(&["amount", "price", "cost", "sum"])
        && let Some(list) = material.lists().first()
    {
        return list.len() as f64;
    }
    if any(&["words", "length"]) {
        return core.split_whitespace().count() as f64;
    }
    let numbers = words::numbers(&core);
    let money = numbers.iter().filter(|one| one.is_money).map(|one| one.value).fold(f64::NAN, f64::max);
    if any(&["amount", "total", "price", "cost", "sum", "value", "budget", "invoice"]) && money.is_finite() {
        return money;
    }
    let fits = |value: f64| least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most);
    numbers.iter().map(|one| one.value).find(|value| fits(*value)).or(least).unwrap_or(0.0)
}

fn text(name: &str, schema: &Value, material: &Material<'_>) -> String {
    let raw = match schema.get("format").and_then(Value::as_str) {
        Some("email") => words::emails(&material.text).into_iter().next().map(|(_, address)| address),
        Some("uri" | "url") => words::urls(&material.text).into_iter().next(),
        Some("date") => words::date(&material.text),
        _ => None,
    };
    let mut text = raw.unwrap_or_else(|| named_text(name, schema, material));
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if text.chars().count() > most {
            text = text.chars().take(most.saturating_sub(1)).chain(['…']).take(most).collect();
        }
    }
    text
}

fn named_text(name: &str, schema: &Value, material: &Material<'_>) -> String {
    let words = words::name_words(name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let writes =
        any(&["reply", "draft", "response", "letter"]) || (any(&["body", "answer"]) && verdict_wants_reply(material));
    if writes {
        return write::reply(material);
    }
    if any(&["summary", "abstract", "gist", "overview", "conclusion", "synopsis", "report", "findings"]) {
        return write::summary(material, 2);
    }
    if any(&["reason", "rationale", "why", "explanation", "reasoning", "justification"]) {
        return reason(material);
    }
    if let Some(found) = material.lookup(name).filter(|found| !found.is_object() && !found.is_array()) {
        return plain(&found);
    }
    if any(&["subject", "title", "headline"]) {
        let subject = material.subject();
        return if any(&["reply"]) { format!("Re: {subject}") } else { subject };
    }
    if any(&["email", "recipient", "to"]) {
        return words::emails(&material.text).into_iter().next().map(|(_, address)| address).unwrap_or_default();
    }
    if any(&["url", "link", "website"]) {
        return words::urls(&material.text).into_iter().next().unwrap_or_default();
    }
    if any(&["name", "customer", "person", "author", "sender"]) {
        return material.person().unwrap_or_default();
    }
    if any(&["date", "due", "deadline"]) {
        return words::date(&material.text).unwrap_or_default();
    }
    if any(&["currency"]) {
        return currency(&material.text).to_owned();
    }
    if any(&["language"]) {
        return "en".to_owned();
    }
    if any(&["question"]) {
        let core = material.core();
        return words::sentences(&core).into_iter().find(|one| one.ends_with('?')).unwrap_or_default().to_owned();
    }
    if any(&["category", "topic", "label", "tag", "keyword"]) {
        return words::key_terms(&material.core(), 1).into_iter().next().unwrap_or_default().to_lowercase();
    }
    let described = describes(schema).to_lowercase();
    if ["repl", "letter", "draft"].iter().any(|word| described.contains(word)) {
        return write::reply(material);
    }
    write::summary(material, 1)
}

fn verdict_wants_reply(material: &Material<'_>) -> bool {
    let told = format!("{}\n{}", material.system, material.text);
    ["reply", "draft", "respond"].iter().any(|word| words::has(&told, word))
}

fn reason(material: &Material<'_>) -> String {
    let terms = words::key_terms(&material.core(), 4);
    if terms.is_empty() {
        return "Sandbox model: the input has no words to go by.".to_owned();
    }
    format!(
        "Sandbox model: chosen by the words {}.",
        terms.iter().map(|term| format!("“{term}”")).collect::<Vec<_>>().join(", ")
    )
}

fn currency(text: &str) -> &'static str {
    let found = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if found(&["€", "EUR", "euro", "Euro"]) {
        "EUR"
    } else if found(&["£", "GBP"]) {
        "GBP"
    } else if found(&["CHF"]) {
        "CHF"
    } else {
        "USD"
    }
}

fn list(name: &str, schema: &Value, material: &Material<'_>, levels: usize) -> Value {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    let most = bound("maxItems").unwrap_or(USUAL_ITEMS);
    let item = schema.get("items").cloned().unwrap_or_else(|| json!({ "type": "string" }));
    let mut items: Vec<Value> = match (type_of(&item), material.lookup(name)) {
        ("object", _) => objects(&item, material, levels, bound("maxItems").unwrap_or(100)),
        (_, Some(Value::Array(found))) => found,
        (_, _) if item.get("enum").is_some() => several_options(&item, material),
        ("string", _) => texts(name, material, most).into_iter().map(Value::String).collect(),
        ("number" | "integer", _) => words::numbers(&material.core()).into_iter().map(|one| json!(one.value)).collect(),
        _ => Vec::new(),
    };
    let keep = if type_of(&item) == "object" { bound("maxItems").unwrap_or(100) } else { most };
    items.truncate(keep);
    while items.len() < bound("minItems").unwrap_or(0).min(20) {
        items.push(fill(name, &item, material, levels - 1));
    }
    Value::Array(items)
}

fn several_options(item: &Value, material: &Material<'_>) -> Vec<Value> {
    let text = material.core();
    let options = item.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
    let named: Vec<Value> = options.iter().filter(|option| words::has(&text, &plain(option))).cloned().collect();
    if named.is_empty() { vec![option("", item, &options, material)] } else { named }
}

fn objects(item: &Value, material: &Material<'_>, levels: usize, most: usize) -> Vec<Value> {
    let entries: Vec<Value> = match material.lists().first() {
        Some(list) => list.iter().take(most).cloned().collect(),
        None => {
            let core = material.core();
            let lines: Vec<&str> =
                core.lines().map(str::trim).filter(|line| line.starts_with(['-', '*', '•'])).collect();
            let lines = if lines.is_empty() { words::gist(&core, USUAL_ITEMS) } else { lines };
            lines.into_iter().map(|line| json!(line.trim_start_matches(['-', '*', '•', ' ']))).collect()
        }
    };
    entries.iter().map(|entry| fill("", item, &material.of_entry(entry), levels - 1)).collect()
}

fn texts(name: &str, material: &Material<'_>, most: usize) -> Vec<String> {
    let words = words::name_words(name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.trim_end_matches('s')));
    let core = material.core();
    let own = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect();
    if any(&["tag", "keyword", "topic", "label", "term", "entitie", "entity"]) {
        return words::key_terms(&core, most).into_iter().map(|term| term.to_lowercase()).collect();
    }
    if any(&["url", "link", "source", "address"]) {
        return words::urls(&material.text);
    }
    if any(&["email", "recipient"]) {
        return words::emails(&material.text).into_iter().map(|(_, address)| address).collect();
    }
    if any(&["question"]) {
        return own(words::sentences(&core).into_iter().filter(|one| one.ends_with('?')).take(most).collect());
    }
    let lines: Vec<&str> = core
        .lines()
        .map(str::trim)
        .filter(|line| {
            line.starts_with(['-', '*', '•'])
                || line.split_once(['.', ')']).is_some_and(|(n, _)| n.parse::<u8>().is_ok())
        })
        .map(|line| line.trim_start_matches(|letter: char| "-*•.) ".contains(letter) || letter.is_ascii_digit()))
        .filter(|line| !line.is_empty())
        .collect();
    own(if lines.is_empty() { words::gist(&core, most.min(3)) } else { lines })
}
