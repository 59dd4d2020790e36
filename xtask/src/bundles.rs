//! Chunks in bundles. The split of the module makes a file for each set of chunks that share something, some hundred and
//! forty of them: too many to ask for one by one, and too small to be packed well. A page loads two files instead: what
//! most chunks share, and all else that its chunk needs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    fs,
    path::Path,
};

use crate::Result;

/// What so many chunks share is loaded once. Fewer share so little that each carries it: who opens one page alone loads
/// less, and who opens all of them a tenth more.
const COMMON: usize = 5;
/// The bundle of what most chunks share.
const SHARED: &str = "common";
/// The glue, with the names of what the entry gives to its chunks to be put in.
const GLUE: &str = include_str!("split.js");

/// Puts the modules in a folder into bundles, beside the glue that loads them, and gives each chunk's bundles. `needs`: the
/// modules of each chunk, by name.
///
/// # Errors
/// When a file cannot be read or written, or the glue of the split has another form.
pub fn bundle(folder: &Path, needs: &HashMap<String, Vec<String>>) -> Result<BTreeMap<String, Vec<String>>> {
    let mut shares: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    for (chunk, modules) in needs {
        for number in modules.iter().filter_map(|module| number(module)) {
            shares.entry(number).or_default().insert(chunk);
        }
    }
    let of = |takes: &dyn Fn(&BTreeSet<&str>) -> bool| -> Vec<u32> {
        shares.iter().filter(|(_, chunks)| takes(chunks)).map(|(number, _)| *number).collect()
    };
    write_bundle(folder, SHARED, &of(&|chunks| chunks.len() >= COMMON), None)?;
    let glue_of_split = fs::read_to_string(folder.join("split.js"))?;
    let (names, props) =
        (given(&glue_of_split, "const {", "} = initSync(")?, given(&glue_of_split, "__wasm_split: {", "} }")?);
    let mut glue = String::new();
    for line in GLUE.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")) {
        let _ = writeln!(glue, "{}", line.trim_start().replace("NAMES", &names).replace("PROPS", &props));
    }
    let chunks: BTreeSet<&str> = needs.keys().map(String::as_str).collect();
    if chunks.contains(SHARED) {
        return Err(format!("a chunk is called {SHARED}, as the bundle of what chunks share").into());
    }
    for chunk in &chunks {
        let modules = of(&|chunks| chunks.len() < COMMON && chunks.contains(chunk));
        write_bundle(folder, chunk, &modules, Some(&format!("split_{chunk}")))?;
        let _ = writeln!(glue, "export const __wasm_split_load_{chunk} = told(\"{chunk}\");");
    }
    fs::write(folder.join("split.js"), glue)?;
    let shared = shares.keys().map(|number| format!("chunk_{number}"));
    for module in shared.chain(chunks.iter().map(|chunk| format!("split_{chunk}"))) {
        fs::remove_file(folder.join(format!("{module}.wasm")))?;
    }
    Ok(chunks.into_iter().map(|chunk| (chunk.to_owned(), vec![SHARED.to_owned(), chunk.to_owned()])).collect())
}

/// The number of a module that chunks share; none of a chunk's own.
fn number(module: &str) -> Option<u32> {
    module.strip_prefix("chunk_")?.parse().ok()
}

fn write_bundle(folder: &Path, name: &str, shared: &[u32], own: Option<&str>) -> Result {
    let shared = shared.iter().map(|number| (number + 1, format!("chunk_{number}")));
    let modules = shared.chain(own.map(|own| (0, own.to_owned())));
    let (mut head, mut bodies) = (Vec::new(), Vec::new());
    for (number, module) in modules {
        let body = fs::read(folder.join(format!("{module}.wasm"))).map_err(|error| format!("{module}: {error}"))?;
        head.extend([number, u32::try_from(body.len())?]);
        bodies.extend(body);
    }
    let count = u32::try_from(head.len() / 2)?;
    let mut bytes: Vec<u8> = std::iter::once(count).chain(head).flat_map(u32::to_le_bytes).collect();
    bytes.extend(bodies);
    Ok(fs::write(folder.join(format!("{name}.bin")), bytes)?)
}

/// What the split's own glue has between two marks: of what the entry gives to its chunks the names, as in
/// `const { a, b, } = initSync(…)`, and what it adds to them, as in `__wasm_split: { c: 1, }`. It ends with a comma, or is
/// nothing.
fn given(glue: &str, from: &str, to: &str) -> Result<String> {
    let inside = glue.split_once(from).and_then(|(_, rest)| rest.split_once(to));
    let (inside, _) = inside.ok_or("the split into chunks: its glue has another form")?;
    let inside = inside.trim().trim_end_matches(',');
    Ok(if inside.is_empty() { String::new() } else { format!("{inside},") })
}

#[cfg(test)]
mod tests {
    use super::given;

    #[test]
    fn the_split_s_own_glue_is_read_in_both_of_its_forms() {
        for (props, wanted) in [("  ", ""), (" __canary_a1: ~0xdead,  ", "__canary_a1: ~0xdead,")] {
            let glue =
                format!("s = {{ __wasm_split: {{{props}}} }};\nconst {{ memory, table,  }} = initSync(undefined);");
            assert_eq!(given(&glue, "const {", "} = initSync(").unwrap(), "memory, table,");
            assert_eq!(given(&glue, "__wasm_split: {", "} }").unwrap(), wanted);
        }
        assert!(given("something else", "const {", "} = initSync(").is_err());
    }
}
