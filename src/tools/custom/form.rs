//! A REST tool as a form: texts as they are typed. The server turns them into a configuration and back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A line of a table: its fields as they are typed. An empty line is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParameterRow {
    /// What templates call it: `input.NAME`.
    pub name: String,
    /// `string`, `number`, `integer`, `boolean`, `array`, `object`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is, for the model.
    pub description: String,
    /// `true`, or nothing.
    pub required: String,
}

/// A name and a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EntryRow {
    /// The name.
    pub name: String,
    /// The template.
    pub value: String,
}

/// What is typed into a tool's form. Lines are numbered from `00`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolForm {
    /// What graphs and models call it; only of a new one.
    pub name: String,
    /// What people read.
    pub title: String,
    /// What it does.
    pub description: String,
    /// `read`, `write`, `destructive`.
    pub effect: String,
    /// What it takes, a line for each.
    pub parameters: BTreeMap<String, ParameterRow>,
    /// What it takes as a JSON Schema, in place of the lines.
    pub parameters_schema: String,
    /// The method.
    pub method: String,
    /// The address.
    pub url: String,
    /// What is added to the query.
    pub query: BTreeMap<String, EntryRow>,
    /// The headers.
    pub headers: BTreeMap<String, EntryRow>,
    /// The body.
    pub body: String,
    /// The credential's id, or nothing.
    pub credential: String,
    /// The mapping.
    pub result: String,
    /// JSON Schema of the result, or nothing.
    pub output: String,
    /// Seconds.
    pub timeout_s: String,
    /// Statuses that are answers, by commas.
    pub statuses: String,
    /// Dollars, or nothing.
    pub cost: String,
    /// The arguments of a test, as JSON.
    pub arguments: String,
}

/// The types of parameters that the lines of a form offer.
pub const TYPES: [(&str, &str); 6] = [
    ("string", "Text"),
    ("number", "Number"),
    ("integer", "Whole number"),
    ("boolean", "Yes or no"),
    ("array", "List"),
    ("object", "Object"),
];

#[cfg(feature = "ssr")]
mod convert {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value, json};

    use super::{EntryRow, ParameterRow, TYPES, ToolForm};
    use crate::{
        engine::plan::ToolEffect,
        kernel::{Error, FieldError, Money, Result},
        tools::custom::{CustomToolConfig, Entry, Method, no_parameters},
    };

    impl ToolForm {
        /// The form of a configuration.
        #[must_use]
        pub fn of(config: &CustomToolConfig) -> Self {
            let rows = rows_of(&config.parameters);
            let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
            let effect = match config.effect {
                ToolEffect::Read => "read",
                ToolEffect::Write => "write",
                ToolEffect::Destructive => "destructive",
            };
            Self {
                name: String::new(),
                title: config.title.clone(),
                description: config.description.clone(),
                effect: effect.to_owned(),
                parameters_schema: if rows.is_some() { String::new() } else { pretty(&config.parameters) },
                parameters: numbered(rows.unwrap_or_default()),
                method: config.method.as_str().to_owned(),
                url: config.url.clone(),
                query: entries(&config.query),
                headers: entries(&config.headers),
                body: config.body.clone(),
                credential: config.credential.map(|id| id.to_string()).unwrap_or_default(),
                result: config.result.clone(),
                output: if config.output.is_null() { String::new() } else { pretty(&config.output) },
                timeout_s: config.timeout_s.to_string(),
                statuses: config.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
                cost: if config.cost.is_zero() { String::new() } else { config.cost.typed() },
                arguments: String::new(),
            }
        }

        /// The configuration of a form. Whether it makes sense as a whole is said when it is saved.
        ///
        /// # Errors
        /// `invalid`, with the form's fields at fault.
        pub fn config(&self) -> Result<CustomToolConfig> {
            let mut faults = Vec::new();
            let mut fault = |field: &str, message: &str| {
                faults.push(FieldError { field: field.to_owned(), message: message.to_owned() });
            };
            let effect = match self.effect.as_str() {
                "read" => ToolEffect::Read,
                "destructive" => ToolEffect::Destructive,
                _ => ToolEffect::Write,
            };
            let method = Method::parse(&self.method).unwrap_or_else(|| {
                fault("method", "Choose a method.");
                Method::Get
            });
            let mut json = |field: &str, text: &str| match text.trim() {
                "" => Value::Null,
                text => serde_json::from_str(text).unwrap_or_else(|error| {
                    let place = format!("line {}, column {}", error.line(), error.column());
                    fault(field, &format!("This is not valid JSON ({place})."));
                    Value::Null
                }),
            };
            let output = json("output", &self.output);
            let schema = json("parameters_schema", &self.parameters_schema);
            let parameters = if self.parameters_schema.trim().is_empty() {
                schema_of(&self.parameters).unwrap_or_else(|problems| {
                    for (field, message) in problems {
                        fault(&field, message);
                    }
                    no_parameters()
                })
            } else if schema.is_null() {
                no_parameters()
            } else {
                schema
            };
            let timeout_s = self.timeout_s.trim().parse().unwrap_or_else(|_| {
                fault("timeout_s", "Enter a whole number of seconds.");
                30
            });
            let words = self.statuses.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
            let statuses = words.map(str::parse).collect::<Result<Vec<u16>, _>>().unwrap_or_else(|_| {
                fault("statuses", "Enter statuses such as 404, with commas between them.");
                Vec::new()
            });
            let cost = match self.cost.trim() {
                "" => Money::ZERO,
                text => Money::parse(text).unwrap_or_else(|| {
                    fault("cost", "Enter an amount in dollars, such as 0.005.");
                    Money::ZERO
                }),
            };
            let credential = match self.credential.trim() {
                "" => None,
                text => text.parse().ok().or_else(|| {
                    fault("credential", "There is no such credential.");
                    None
                }),
            };
            if let Some(error) = Error::invalid_fields(faults) {
                return Err(error);
            }
            let normal = |text: &str| text.replace("\r\n", "\n");
            Ok(CustomToolConfig {
                title: self.title.clone(),
                description: normal(&self.description),
                effect,
                parameters,
                method,
                url: self.url.clone(),
                query: filled(&self.query),
                headers: filled(&self.headers),
                body: normal(&self.body),
                credential,
                result: normal(&self.result),
                output,
                timeout_s,
                statuses,
                cost,
            })
        }

        /// The arguments of a test.
        ///
        /// # Errors
        /// `invalid` at `arguments`.
        pub fn test_arguments(&self) -> Result<Value> {
            match self.arguments.trim() {
                "" => Ok(json!({})),
                text => serde_json::from_str(text)
                    .map_err(|_| Error::invalid("arguments", "Enter the arguments as JSON, such as {\"id\": 7}.")),
            }
        }
    }

    fn numbered<T>(rows: Vec<T>) -> BTreeMap<String, T> {
        rows.into_iter().enumerate().map(|(place, row)| (format!("{place:02}"), row)).collect()
    }

    fn entries(entries: &[Entry]) -> BTreeMap<String, EntryRow> {
        let row = |entry: &Entry| EntryRow { name: entry.name.clone(), value: entry.value.clone() };
        numbered(entries.iter().map(row).collect())
    }

    fn filled(rows: &BTreeMap<String, EntryRow>) -> Vec<Entry> {
        let rows = rows.values().filter(|row| !row.name.trim().is_empty() || !row.value.trim().is_empty());
        rows.map(|row| Entry { name: row.name.trim().to_owned(), value: row.value.trim().to_owned() }).collect()
    }

    /// The lines of a schema that is no more than lines.
    fn rows_of(schema: &Value) -> Option<Vec<ParameterRow>> {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object()?;
        let rows: Option<Vec<ParameterRow>> = properties
            .iter()
            .map(|(name, property)| {
                let kind = property["type"].as_str().filter(|kind| TYPES.iter().any(|(known, _)| known == kind))?;
                Some(ParameterRow {
                    name: name.clone(),
                    kind: kind.to_owned(),
                    description: property["description"].as_str().unwrap_or_default().to_owned(),
                    required: if required.contains(&name.as_str()) { "true".to_owned() } else { String::new() },
                })
            })
            .collect();
        let mut rows = rows?;
        // The database keeps no order of fields: what is needed comes first, as it was typed.
        let place = |row: &ParameterRow| required.iter().position(|name| *name == row.name).unwrap_or(usize::MAX);
        rows.sort_by_key(place);
        // Anything that lines do not say keeps the schema a schema.
        let again = schema_of(&numbered(rows.clone())).ok()?;
        (again == *schema).then_some(rows)
    }

    /// The schema of lines; what is wrong with them, at their fields.
    fn schema_of(rows: &BTreeMap<String, ParameterRow>) -> Result<Value, Vec<(String, &'static str)>> {
        let (mut properties, mut required, mut problems) = (Map::new(), Vec::new(), Vec::new());
        for (place, row) in rows {
            let name = row.name.trim();
            if name.is_empty() {
                if !row.description.trim().is_empty() {
                    problems.push((format!("parameters.{place}.name"), "Name this parameter, or clear the line."));
                }
                continue;
            }
            let is_name = name.len() <= 64
                && name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name {
                problems.push((format!("parameters.{place}.name"), "Use letters, digits and underscores."));
            }
            if properties.contains_key(name) {
                problems.push((format!("parameters.{place}.name"), "Another parameter has this name."));
            }
            let kind = if row.kind.is_empty() { "string" } else { row.kind.as_str() };
            if !TYPES.iter().any(|(known, _)| *known == kind) {
                problems.push((format!("parameters.{place}.type"), "Choose a type."));
            }
            let mut property = Map::from_iter([("type".to_owned(), json!(kind))]);
            let description = row.description.trim();
            if !description.is_empty() {
                property.insert("description".to_owned(), json!(description));
            }
            properties.insert(name.to_owned(), Value::Object(property));
            if row.required == "true" {
                required.push(name);
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (properties, required) = (Value::Object(properties), json!(required));
        Ok(json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false }))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_form_and_its_configuration_are_the_same_there_and_back() {
            let config = CustomToolConfig {
                title: "Look up".into(),
                description: "Looks a customer up.".into(),
                parameters: json!({
                    "type": "object",
                    "properties": { "id": { "type": "integer", "description": "The number." }, "q": { "type": "string" } },
                    "required": ["id"],
                    "additionalProperties": false
                }),
                url: "https://api.example.com/{{ input.id }}".into(),
                query: vec![Entry { name: "q".into(), value: "{{ input.q }}".into() }],
                statuses: vec![404, 410],
                cost: Money(5_000),
                ..CustomToolConfig::default()
            };
            let form = ToolForm::of(&config);
            assert_eq!(form.parameters.len(), 2);
            assert_eq!(form.config(), Ok(config.clone()));
            // What lines cannot say stays a schema.
            let mut deeper = config;
            deeper.parameters["properties"]["q"]["enum"] = json!(["a", "b"]);
            let form = ToolForm::of(&deeper);
            assert!(form.parameters.is_empty() && form.parameters_schema.contains("enum"));
            assert_eq!(form.config(), Ok(deeper));
        }

        #[test]
        fn what_is_wrong_with_a_form_is_said_at_its_fields() {
            let row = |name: &str| ParameterRow { name: name.into(), ..ParameterRow::default() };
            let form = ToolForm {
                method: "TRACE".into(),
                parameters: [("00".to_owned(), row("a b")), ("01".to_owned(), row("x")), ("02".to_owned(), row("x"))]
                    .into(),
                output: "{".into(),
                timeout_s: "soon".into(),
                statuses: "none".into(),
                cost: "a lot".into(),
                credential: "cred_x".into(),
                ..ToolForm::default()
            };
            let fields: Vec<String> = form.config().unwrap_err().fields.into_iter().map(|fault| fault.field).collect();
            assert_eq!(
                fields,
                [
                    "method",
                    "output",
                    "parameters.00.name",
                    "parameters.02.name",
                    "timeout_s",
                    "statuses",
                    "cost",
                    "credential"
                ]
            );
        }
    }
}
