//! Faults of a service, under the names that a form's entries have.

use agentflow::kernel::Error;

/// The fields of an error as a form with entries `form[…]` calls them: `limits.max_turns` is `form[max_turns]`,
/// `tools.email_send` is `form[tools][email_send]`.
#[must_use]
pub fn in_form(mut error: Error) -> Error {
    for entry in &mut error.fields {
        if entry.field != "base" {
            entry.field = entry_name(&entry.field);
        }
    }
    error
}

fn entry_name(field: &str) -> String {
    let groups = ["limits.", "options.", "guardrails.", "capabilities."];
    let field = groups.iter().find_map(|group| field.strip_prefix(group)).unwrap_or(field);
    let mut parts = field.split('.');
    let mut name = format!("form[{}]", parts.next().unwrap_or_default());
    for part in parts {
        name.push('[');
        name.push_str(part);
        name.push(']');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::entry_name;

    #[test]
    fn a_fields_path_becomes_the_entrys_name() {
        assert_eq!(entry_name("name"), "form[name]");
        assert_eq!(entry_name("limits.max_turns"), "form[max_turns]");
        assert_eq!(entry_name("guardrails.allowed_domains"), "form[allowed_domains]");
        assert_eq!(entry_name("tools.email_send"), "form[tools][email_send]");
    }
}
