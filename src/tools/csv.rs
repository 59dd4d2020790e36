//! The tools csv_parse and csv_format.

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use serde_json::{Map, Value, json};

use super::{
    deed::{aside, bad, deeds, flag, number, output, text},
    registry::ToolContext,
};
use crate::engine::{port::Answer, state::StepError};

/// The most bytes of a table that is written.
const MAX_BYTES: usize = 2 << 20;
/// The most cells of a table that is read.
const MAX_CELLS: usize = 200_000;

deeds! {
    CsvParse = "csv_parse" => parse;
    CsvFormat = "csv_format" => format;
}

fn delimiter(arguments: &Value) -> u8 {
    text(arguments, "delimiter").bytes().next().unwrap_or(b',')
}

async fn parse(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    let (delimiter, has_header) = (delimiter(arguments), flag(arguments, "header", true));
    let limit = number(arguments, "limit", 1_000);
    let whole = text(arguments, "text").trim_start_matches('\u{feff}').to_owned();
    aside(move || read(&whole, delimiter, has_header, limit)).await.map(output)
}

fn read(whole: &str, delimiter: u8, has_header: bool, limit: usize) -> Result<Value, StepError> {
    let wrong = |error: csv::Error| bad("csv.unreadable", format!("This is not CSV: {error}."));
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).has_headers(has_header).flexible(true).from_reader(whole.as_bytes());
    let columns = if has_header { names(reader.headers().map_err(wrong)?) } else { Vec::new() };
    let (mut rows, mut cells, mut truncated) = (Vec::new(), 0, false);
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        cells += record.len().max(columns.len());
        if rows.len() == limit || cells > MAX_CELLS {
            truncated = true;
            break;
        }
        rows.push(if has_header { by_column(&columns, &record) } else { json!(record.iter().collect::<Vec<_>>()) });
    }
    Ok(json!({ "columns": columns, "count": rows.len(), "rows": rows, "truncated": truncated }))
}

/// The names of columns, each once: what has none, or one that is taken, gets its number.
fn names(header: &StringRecord) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (place, name) in header.iter().enumerate() {
        let name = name.trim();
        let is_free = !name.is_empty() && !names.iter().any(|taken| taken == name);
        names.push(if is_free { name.to_owned() } else { format!("{name}_{}", place + 1) });
    }
    names
}

fn by_column(columns: &[String], record: &StringRecord) -> Value {
    let named = columns.iter().cloned().zip(record.iter());
    let beyond = record.iter().enumerate().skip(columns.len()).map(|(place, cell)| (format!("_{}", place + 1), cell));
    let cells: Map<String, Value> = named.chain(beyond).map(|(name, cell)| (name, json!(cell))).collect();
    Value::Object(cells)
}

async fn format(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    let delimiter = delimiter(arguments);
    let rows = arguments.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let columns: Option<Vec<String>> = arguments
        .get("columns")
        .and_then(Value::as_array)
        .map(|columns| columns.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    aside(move || write(&rows, columns, delimiter)).await.map(output)
}

fn write(rows: &[Value], columns: Option<Vec<String>>, delimiter: u8) -> Result<Value, StepError> {
    let wrong = || bad("csv.unwritable", "The table cannot be written.");
    let columns = columns.unwrap_or_else(|| {
        let mut names: Vec<String> = Vec::new();
        for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    });
    if columns.len() > 500 {
        return Err(bad("csv.columns", "The rows have more than 500 columns together. Name those that are wanted."));
    }
    let mut writer = WriterBuilder::new().delimiter(delimiter).flexible(true).from_writer(Vec::new());
    if !columns.is_empty() {
        writer.write_record(&columns).map_err(|_| wrong())?;
    }
    let mut bytes = 0;
    for row in rows {
        let cells: Vec<String> = match row {
            Value::Object(fields) => {
                columns.iter().map(|name| fields.get(name).map_or_else(String::new, cell)).collect()
            }
            Value::Array(cells) => cells.iter().map(cell).collect(),
            _ => return Err(wrong()),
        };
        bytes += cells.iter().map(|cell| cell.len() + 1).sum::<usize>();
        if bytes > MAX_BYTES {
            return Err(bad("csv.too_large", format!("A table has at most {} MiB.", MAX_BYTES >> 20)));
        }
        writer.write_record(&cells).map_err(|_| wrong())?;
    }
    let text = writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    Ok(json!({ "text": text, "rows": rows.len() }))
}

/// A text as it is, nothing as nothing, anything else as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_is_read_by_its_columns() {
        let table = "name;price\n\"Ada; B\";1,5\nEve\nX;2;more\n";
        assert_eq!(
            read(table, b';', true, 10).unwrap(),
            json!({
                "columns": ["name", "price"],
                "rows": [
                    { "name": "Ada; B", "price": "1,5" }, { "name": "Eve" }, { "name": "X", "price": "2", "_3": "more" }
                ],
                "count": 3, "truncated": false
            })
        );
        assert_eq!(read("a,,a\n1,2,3\n", b',', true, 10).unwrap()["columns"], json!(["a", "_2", "a_3"]));
        let some = read("1,2\n3,4\n5,6\n", b',', false, 2).unwrap();
        assert_eq!((&some["rows"], &some["truncated"]), (&json!([["1", "2"], ["3", "4"]]), &json!(true)));
        assert_eq!(read("", b',', true, 10).unwrap()["count"], 0);
        // A header alone must not make a few bytes a row into megabytes.
        let wide = format!("{}\n{}", vec!["c"; 50_000].join(","), "1\n".repeat(100));
        assert_eq!(read(&wide, b',', true, 1_000).unwrap()["count"], 4);
    }

    #[test]
    fn rows_of_objects_are_written_by_column() {
        let rows = [json!({ "b": 1, "a": "x,y" }), json!({ "a": null, "c": [1, "\"q\""] }), json!(["1", 2])];
        let columns = ["a", "b", "c"].map(str::to_owned).to_vec();
        let written = write(&rows, Some(columns), b',').unwrap();
        assert_eq!(written["text"], "a,b,c\n\"x,y\",1,\n,,\"[1,\"\"\\\"\"q\\\"\"\"\"]\"\n1,2\n".replace("\\\\", "\\"));
        let some = write(&rows[..1], Some(vec!["b".to_owned()]), b'\t').unwrap();
        assert_eq!(some["text"], "b\n1\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(rows in prop::collection::vec(prop::collection::vec("[^\u{feff}\r]{0,12}", 2..4), 1..8)) {
            // A row of one empty cell is written with quotes; with two cells there is always a delimiter.
            let values: Vec<Value> = rows.iter().map(|row| json!(row)).collect();
            let written = write(&values, None, b',').unwrap();
            let again = read(written["text"].as_str().unwrap(), b',', false, 100).unwrap();
            prop_assert_eq!(&again["rows"], &json!(rows));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", header: bool) {
            let _ = read(&text, b',', header, 50);
        }
    }
}
