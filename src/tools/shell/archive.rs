//! Files as the sandbox takes and gives them: tar, over a socket. What comes back was written by a stranger.

use std::{
    collections::BTreeMap,
    io::{Read as _, Result},
};

use tar::{Archive, Builder, EntryType, Header};

use crate::run_files::{FilePath, MAX_FILE};

/// Files for the sandbox: those of the run below `work/`, and what the command reads at `run/stdin`.
pub(super) fn pack(files: &BTreeMap<FilePath, Vec<u8>>, stdin: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    append(&mut archive, "run/stdin", stdin)?;
    for (path, content) in files {
        append(&mut archive, &format!("work/{path}"), content)?;
    }
    archive.into_inner()
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content)
}

/// What came back.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Unpacked {
    /// The files.
    pub files: BTreeMap<FilePath, Vec<u8>>,
    /// What cannot be a file of the run: too large, badly called, no plain file. The first few, for people.
    pub left_out: Vec<String>,
}

/// Reads plain files, and nothing else: links, devices and folders are none.
pub(super) fn unpack(bytes: &[u8]) -> Result<Unpacked> {
    let mut found = Unpacked::default();
    let mut archive = Archive::new(bytes);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            continue;
        }
        let path = FilePath::parse(&name).ok().filter(|_| {
            kind == EntryType::Regular
                && entry.size() <= MAX_FILE as u64
                && std::str::from_utf8(&entry.path_bytes()).is_ok()
        });
        let Some(path) = path else {
            if found.left_out.len() < 20 {
                let name: String = name.chars().filter(|letter| !letter.is_control()).take(100).collect();
                found.left_out.push(name);
            }
            continue;
        };
        let mut content = Vec::new();
        entry.by_ref().take(MAX_FILE as u64).read_to_end(&mut content)?;
        found.files.insert(path, content);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> FilePath {
        FilePath::parse(text).unwrap()
    }

    #[test]
    fn only_plain_files_inside_of_the_folder_come_back() {
        let mut archive = Builder::new(Vec::new());
        append(&mut archive, "./a/b.txt", b"x").unwrap();
        let long = "n".repeat(150);
        append(&mut archive, &long, b"y").unwrap();
        for (kind, name) in [(EntryType::Symlink, "link"), (EntryType::Link, "hard"), (EntryType::Char, "device")] {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o644);
            archive.append_link(&mut header, name, "/etc/passwd").unwrap();
        }
        let mut header = Header::new_gnu();
        header.set_size(1);
        let evil = b"../../evil";
        header.as_old_mut().name[..evil.len()].copy_from_slice(evil);
        header.set_cksum();
        archive.append(&header, b"z".as_slice()).unwrap();
        append(&mut archive, "large", &vec![0; MAX_FILE + 1]).unwrap();
        let found = unpack(&archive.into_inner().unwrap()).unwrap();
        assert_eq!(found.files, [(path("a/b.txt"), b"x".to_vec()), (path(&long), b"y".to_vec())].into());
        assert_eq!(found.left_out, ["link", "hard", "device", "../../evil", "large"]);
    }

    #[test]
    fn what_is_packed_is_below_its_folder() {
        let packed = pack(&[(path("a.txt"), b"x".to_vec())].into(), b"in").unwrap();
        let found = unpack(&packed).unwrap().files;
        assert_eq!(found, [(path("run/stdin"), b"in".to_vec()), (path("work/a.txt"), b"x".to_vec())].into());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = unpack(&bytes);
        }
    }
}
