//! The pages of the documentation that are made from the code: the tools and the providers. Each must be what the code says;
//! `UPDATE_DOCS=1` writes them anew.

use std::{fmt::Write as _, fs, path::Path};

use agentflow::{
    engine::plan::ToolEffect,
    models::settings,
    tools::{self, ToolInfo},
};
use serde_json::Value;

#[test]
fn the_tools_are_documented_as_they_are() {
    let mut page = heading(
        "Built-in tools",
        "What workflows and agents can do besides thinking. Arguments are checked before anything happens, results before \
         anyone reads them. A call that fails has a class, which decides whether it is tried again, and a code. A result has \
         at most 4 MiB.",
    );
    page.push_str("| tool | | effect |\n| --- | --- | --- |\n");
    for tool in tools::catalog() {
        let _ = writeln!(page, "| [`{0}`](#{0}) | {1} | {2} |", tool.name, tool.title, effect(tool));
    }
    for tool in tools::catalog() {
        write_tool(&mut page, tool);
    }
    compare("tools.md", &page);
}

fn effect(tool: &ToolInfo) -> &'static str {
    match tool.effect {
        ToolEffect::Read => "reads",
        ToolEffect::Write => "writes",
        ToolEffect::Destructive => "destroys",
    }
}

fn write_tool(page: &mut String, tool: &ToolInfo) {
    let _ = write!(page, "\n## {}\n\n**{}.** {}\n\n", tool.name, tool.title, tool.description);
    if let Some(how) = &tool.set_up {
        let _ = write!(page, "Not set up by itself. {how}\n\n");
    }
    let mut facts = vec![effect(tool).to_owned(), format!("at most {} s", tool.timeout_s)];
    let flow = tool.flow;
    for (is_so, words) in [
        (tool.repeatable, "its answer may be remembered"),
        (flow.untrusted, "its result may hold what strangers wrote"),
        (flow.private, "its result may hold what is private"),
        (flow.outbound, "its arguments leave the house"),
    ] {
        if is_so {
            facts.push(words.to_owned());
        }
    }
    let _ = write!(page, "{}.\n\n", capital(&facts.join("; ")));
    fields(page, "argument", &tool.parameters);
    fields(page, "result", &tool.output);
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The fields of a schema, those that are needed in bold.
fn fields(page: &mut String, what: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        let _ = write!(page, "The {what} is {}.\n\n", kind(schema));
        return;
    };
    if properties.is_empty() {
        let _ = write!(page, "It takes no {what}s.\n\n");
        return;
    }
    let _ = write!(page, "| {what} | | |\n| --- | --- | --- |\n");
    for (name, field) in properties {
        let needed = schema["required"].as_array().is_some_and(|names| names.iter().any(|needed| needed == name));
        let name = if needed && what == "argument" { format!("**`{name}`**") } else { format!("`{name}`") };
        let words = field["description"].as_str().unwrap_or_default();
        let _ = writeln!(page, "| {name} | {} | {} |", cell(&kind(field)), cell(words));
    }
    page.push('\n');
}

/// What a value is, with its limits.
fn kind(field: &Value) -> String {
    let number = |name: &str| field[name].as_i64();
    let mut out = if let Some(options) = field["enum"].as_array() {
        let words: Vec<String> = options.iter().map(|option| format!("`{option}`")).collect();
        words.join(", ")
    } else if let Some(several) = field["anyOf"].as_array() {
        several.iter().map(kind).collect::<Vec<_>>().join(", or ")
    } else {
        match &field["type"] {
            Value::String(one) => word(one).to_owned(),
            Value::Array(several) => {
                several.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" or ")
            }
            _ => "any value".to_owned(),
        }
    };
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => drop(write!(out, " from {least} to {most}")),
        (Some(least), None) => drop(write!(out, " from {least}")),
        (None, Some(most)) => drop(write!(out, " up to {most}")),
        (None, None) => {}
    }
    for (limit, of) in [("maxLength", "characters"), ("maxItems", "entries"), ("maxProperties", "entries")] {
        if let Some(most) = number(limit) {
            let _ = write!(out, ", at most {most} {of}");
        }
    }
    if let Some(usual) = field.get("default") {
        let _ = write!(out, "; without it `{usual}`");
    }
    out
}

fn word(json_type: &str) -> &'static str {
    match json_type {
        "string" => "text",
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const CLASSES: &str = "
## Classes of tasks

A class (`class/complex_reasoning`, `class/creative`, `class/routine`, `class/safety_critical`, `class/research`) stands for a \
list of models, asked in their order; an organization can name its own. Where a budget has no room for a call, the class is \
lowered to `class/routine`, never that of safety-critical tasks ([Budgets](budgets.md#a-cheaper-class)).
";

const PRICES: &str = "\
What a call costs is reckoned with these. A call that reads more tokens than a line says costs as that line has it, all of \
it. A model of one of these providers that is not in the table counts like the dearest of its provider; one on a server of \
your own (`compatible`) costs nothing.

`AGENTFLOW_PRICES_FILE` names a file of the same form as `src/models/prices.json` that is laid over the table when the server \
starts: what you have agreed with a provider, a model that is newer than the table, or what your own server costs. A model in \
it takes the place of the table's as a whole. Dollars per million tokens:

```json
{ \"models\": [
  { \"id\": \"openai/gpt-5\", \"input\": 1, \"cached\": 0.1, \"output\": 8 },
  { \"id\": \"compatible/llama\", \"input\": 0.1, \"output\": 0.1, \"tiers\": [{ \"above\": 100000, \"input\": 0.2, \"output\": 0.2 }] }
] }
```
";

#[test]
fn the_providers_are_documented_as_they_are() {
    let prices: Value = serde_json::from_str(include_str!("../../../src/models/prices.json")).expect("prices");
    let mut page = heading(
        "Providers of models",
        "A provider is on offer where its key is set. Each address can be set, for a gateway or a stand-in; the models to \
         offer are those of the price table, unless they are named. Without any key there is the sandbox model, which works \
         by rules and costs nothing.",
    );
    page.push_str("| provider | name in model ids | key | address | models |\n| --- | --- | --- | --- | --- |\n");
    for provider in settings::known() {
        let keys: Vec<String> = provider.keys.iter().map(|key| format!("`{key}`")).collect();
        let _ = writeln!(
            page,
            "| {} | `{}` | {} | `{}` | `{}` |",
            provider.label,
            provider.name,
            keys.join(" or "),
            provider.base_url,
            provider.models
        );
    }
    let text = |name: &str| prices[name].as_str().expect("prices");
    page.push_str(CLASSES);
    let _ = write!(page, "\n## Prices\n\nAs of {}: {}.\n\n{PRICES}\n", text("as_of"), text("source"));
    page.push_str(
        "| model | id | read | read from the cache | written | context |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for model in prices["models"].as_array().expect("models") {
        let dollars =
            |of: &Value, name: &str| of[name].as_f64().map_or_else(|| "–".to_owned(), |price| format!("${price}"));
        let line = |label: &str, of: &Value, context: &str| {
            let [input, cached, output] = ["input", "cached", "output"].map(|name| dollars(of, name));
            let id = model["id"].as_str().expect("id");
            format!("| {label} | `{id}` | {input} | {cached} | {output} | {context} |\n")
        };
        let label = model["label"].as_str().expect("label");
        let context = model["context"].as_u64().map_or_else(|| "–".to_owned(), |tokens| tokens.to_string());
        page.push_str(&line(label, model, &context));
        for tier in model["tiers"].as_array().into_iter().flatten() {
            let above = format!("{label}, above {} tokens read", tier["above"]);
            page.push_str(&line(&above, tier, &context));
        }
    }
    compare("providers.md", &page);
}

fn heading(title: &str, about: &str) -> String {
    format!(
        "# {title}\n\n<!-- Made from the code by server/tests/it/catalogue.rs; UPDATE_DOCS=1 writes it anew. -->\n\n{about}\n\n"
    )
}

fn compare(name: &str, page: &str) {
    let page = format!("{}\n", page.trim_end());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    #[expect(clippy::disallowed_methods, reason = "the wish to have the pages written is said in the environment")]
    let update = std::env::var("UPDATE_DOCS").is_ok();
    if update {
        fs::write(&path, &page).expect("the page can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/{name} is not what the code says: run this test with UPDATE_DOCS=1, and read the change"
    );
}
