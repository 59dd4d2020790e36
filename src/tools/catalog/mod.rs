//! The tools that are built in. Data only: a description here, by subject, and the deed in the file of the tool.

mod context;
mod data;
mod database;
mod files;
mod mail;
mod people;
mod shell;
mod small;
mod web;

use std::sync::LazyLock;

use serde_json::Value;

use super::ToolInfo;
use crate::{
    engine::plan::{Flow, ToolEffect},
    kernel::Money,
};

static CATALOG: LazyLock<Vec<ToolInfo>> = LazyLock::new(|| {
    vec![
        small::calculator(),
        small::current_time(),
        data::json_query(),
        data::text_extract(),
        data::csv_parse(),
        data::csv_format(),
        data::html_to_text(),
        web::http_request(),
        web::web_search(),
        mail::email_send(),
        database::database_query(),
        files::file_write(),
        files::file_read(),
        files::file_list(),
        files::file_delete(),
        shell::shell(),
        context::context_get(),
        context::context_set(),
        people::ask_human(),
        people::message_send(),
        people::message_ask(),
        people::message_reply(),
        people::messages_read(),
    ]
});

/// All tools that are built in.
#[must_use]
pub fn catalog() -> &'static [ToolInfo] {
    &CATALOG
}

/// The tool of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ToolInfo> {
    CATALOG.iter().find(|tool| tool.name == name)
}

fn tool(name: &str, title: &str, effect: ToolEffect, timeout_s: u64, description: &str) -> ToolInfo {
    ToolInfo {
        name: name.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        effect,
        flow: Flow::default(),
        parameters: Value::Null,
        output: Value::Null,
        timeout_s,
        repeatable: false,
        cost: Money::ZERO,
        set_up: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{catalog, find};

    #[test]
    fn every_tool_says_what_it_takes_and_refuses_what_it_does_not_know() {
        for tool in catalog() {
            assert_eq!(tool.parameters["additionalProperties"], false, "{}", tool.name);
            assert!(tool.output["type"].is_string(), "{}", tool.name);
            assert!(tool.description.len() > 30 && !tool.title.is_empty(), "{}", tool.name);
            assert!(tool.timeout_s > 0 && tool.timeout_s <= 60);
            assert_eq!(find(&tool.name), Some(tool));
        }
        let names: BTreeSet<_> = catalog().iter().map(|tool| &tool.name).collect();
        assert_eq!(names.len(), catalog().len(), "a name is one tool's");
        assert_eq!(find("nonsense"), None);
    }
}
