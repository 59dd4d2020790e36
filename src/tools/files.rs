//! The tools file_write, file_read, file_list and file_delete.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    deed::{bad, classed, deeds, flag, number, output, text},
    registry::ToolContext,
};
use crate::{
    engine::{port::Answer, state::StepError},
    run_files::{
        FilePath, RunFile,
        service::{self, Write},
    },
};

deeds! {
    FileWrite = "file_write" => write;
    FileRead = "file_read" => read;
    FileList = "file_list" => list;
    FileDelete = "file_delete" => delete;
}

fn path(arguments: &Value) -> Result<FilePath, StepError> {
    FilePath::parse(text(arguments, "path")).map_err(|message| bad("files.path", message))
}

async fn write(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let content = text(arguments, "content");
    let content = match text(arguments, "encoding") {
        "base64" => BASE64_STANDARD
            .decode(content)
            .map_err(|_| bad("files.encoding", "The content is not base64, in its usual form with padding."))?,
        _ => content.as_bytes().to_vec(),
    };
    let scope = context.scope;
    let write =
        Write { path: path(arguments)?, content, append: flag(arguments, "append", false), step: scope.step.as_str() };
    let (file, repeated) = service::write(context.db, scope.org, scope.run, write).await.map_err(classed)?;
    let RunFile { path, size, media_type, .. } = file;
    Ok(output(json!({ "path": path, "size": size, "media_type": media_type, "repeated": repeated })))
}

async fn read(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let scope = context.scope;
    let (file, content) = service::read(context.db, scope.org, scope.run, &path(arguments)?).await.map_err(classed)?;
    let part = part(&content, number(arguments, "offset", 0), number(arguments, "limit", 65_536));
    let RunFile { path, size, media_type, .. } = file;
    Ok(output(json!({
        "path": path,
        "size": size,
        "media_type": media_type,
        "content": part.content,
        "encoding": part.encoding,
        "next_offset": part.next,
    })))
}

struct Part {
    content: String,
    encoding: &'static str,
    next: Option<usize>,
}

/// A part of a file: text as long as the whole file is text, and then no letter is cut in two.
fn part(content: &[u8], offset: usize, limit: usize) -> Part {
    let Ok(whole) = std::str::from_utf8(content) else {
        let start = offset.min(content.len());
        let end = start.saturating_add(limit).min(content.len());
        let encoded = BASE64_STANDARD.encode(&content[start..end]);
        return Part { content: encoded, encoding: "base64", next: (end < content.len()).then_some(end) };
    };
    let start = whole.floor_char_boundary(offset);
    let end = whole.floor_char_boundary(start.saturating_add(limit));
    Part { content: whole[start..end].to_owned(), encoding: "utf-8", next: (end < whole.len()).then_some(end) }
}

async fn list(_: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let files = service::list(context.db, context.scope.org, context.scope.run).await.map_err(classed)?;
    let bytes: usize = files.iter().map(|file| file.size).sum();
    Ok(output(json!({ "files": files, "bytes": bytes })))
}

async fn delete(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let scope = context.scope;
    let deleted = service::delete(context.db, scope.org, scope.run, &path(arguments)?).await.map_err(classed)?;
    Ok(output(json!({ "deleted": deleted })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_letter_is_cut_in_two() {
        let text = "aä€😀".as_bytes();
        let first = part(text, 0, 4);
        assert_eq!((first.content.as_str(), first.next), ("aä", Some(3)));
        assert_eq!(part(text, 4, 100).content, "€😀");
        assert_eq!(part(text, 100, 4).next, None);
        let binary = part(&[0xff, 1, 2], 1, 1);
        assert_eq!((binary.content.as_str(), binary.encoding, binary.next), ("AQ==", "base64", Some(2)));
    }

    proptest! {
        #[test]
        fn a_file_that_is_read_part_by_part_is_read_whole(text in "[aä€😀]{0,80}", limit in 4_usize..20) {
            let (mut whole, mut next) = (String::new(), Some(0));
            while let Some(offset) = next {
                let part = part(text.as_bytes(), offset, limit);
                whole.push_str(&part.content);
                next = part.next;
            }
            prop_assert_eq!(whole, text);
        }
    }
}
