//! What the browser gets: bindings for the module, optimised and named by their content; styles in one file; public
//! files as they are; each pre-compressed. The server carries the folder and reads names from its `manifest.json`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use lightningcss::{
    bundler::{Bundler, FileProvider},
    stylesheet::{MinifyOptions, ParserOptions, PrinterOptions},
};
use serde::{Deserialize, Serialize};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    Result,
    build::{Mode, write},
    bundles, places, shell,
    stamp::{self, Stamp},
};

/// What rustc's default target has, and nothing more: browsers refuse a module that asks for what they do not know.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Puts the folder together, if the module, the styles or the public files have changed.
///
/// # Errors
/// When a step fails.
pub fn assemble(wasm: &Path, site: &Path, mode: Mode) -> Result {
    let module = fs::read(wasm)?;
    let css = styles()?;
    let mut public = Vec::new();
    shell::files(&places::root().join("public"), &mut public);
    let optimiser = optimiser(mode);
    let mut state = vec![module.clone(), css.clone().into_bytes(), optimiser.is_some().to_string().into_bytes()];
    // How it is put together counts as well.
    state.extend([include_str!("assets.rs"), include_str!("bundles.rs"), include_str!("split.js")].map(Into::into));
    for file in &public {
        state.push(file.to_string_lossy().into_owned().into_bytes());
        state.push(fs::read(file)?);
    }
    let state = stamp::of_bytes(&state.iter().map(Vec::as_slice).collect::<Vec<_>>());
    // Beside the folder, not in it: it is not for the browser.
    let stamp = Stamp::at(&site.with_extension("stamp"));
    if stamp.says(&state) && site.join("manifest.json").is_file() {
        return Ok(());
    }
    stamp.clear();
    let draft = site.with_extension("new");
    drop(fs::remove_dir_all(&draft));
    let code = bind(&module, &draft, optimiser.as_deref())?;
    let css_name = named(&draft, "css", css.as_bytes())?;
    for file in public {
        write(&draft.join(file.strip_prefix(places::root().join("public"))?), fs::read(&file)?)?;
    }
    compress(&draft, mode)?;
    let manifest = Manifest { css: format!("/{css_name}"), code };
    write(&draft.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
    drop(fs::remove_dir_all(site));
    fs::rename(&draft, site)?;
    stamp.set(&state)
}

/// The addresses of what a page begins with, as the server reads them.
#[derive(Serialize, Deserialize)]
pub struct Manifest {
    pub css: String,
    #[serde(flatten)]
    pub code: Code,
}

/// The addresses of what makes up the browser's half.
#[derive(Serialize, Deserialize)]
pub struct Code {
    /// The glue of the entry.
    pub js: String,
    /// The entry.
    pub wasm: String,
    /// The glue that loads chunks.
    pub split: String,
    /// The files of each chunk.
    pub chunks: BTreeMap<String, Vec<String>>,
}

/// Splits the module into its entry and the chunks that are loaded later, and makes the glue between them and the page.
/// The files name each other, so it is their folder that is named by their content.
fn bind(module: &[u8], site: &Path, optimiser: Option<&Path>) -> Result<Code> {
    let work = site.with_extension("bindgen");
    drop(fs::remove_dir_all(&work));
    let entry = site.with_extension("entry.wasm");
    let mut options = wasm_split_cli_support::Options::new(module);
    options.output_dir = &work;
    options.main_out_path = &entry;
    options.link_name = "./split.js";
    options.main_module = "./agentflow.js";
    let split =
        wasm_split_cli_support::transform(options).map_err(|error| format!("the split into chunks: {error}"))?;
    Bindgen::new()
        .input_bytes("agentflow", fs::read(&entry)?)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        // The chunks import by these names.
        .keep_lld_exports(true)
        .demangle(false)
        .remove_name_section(optimiser.is_some())
        .remove_producers_section(optimiser.is_some())
        .generate(&work)?;
    fs::remove_file(&entry)?;
    let mut files = Vec::new();
    shell::files(&work, &mut files);
    files.sort();
    if let Some(optimiser) = optimiser {
        shell::step("making the modules small");
        for file in &files {
            if file.extension().is_some_and(|extension| extension == "wasm") {
                optimise(optimiser, file)?;
            } else {
                fs::write(file, terse(&fs::read_to_string(file)?))?;
            }
        }
    }
    let chunks = bundles::bundle(&work, &split.prefetch_map)?;
    let mut files = Vec::new();
    shell::files(&work, &mut files);
    files.sort();
    let contents = files.iter().map(fs::read).collect::<std::io::Result<Vec<_>>>()?;
    let folder = format!("pkg/{}", stamp::of_bytes(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    for (file, content) in files.iter().zip(contents) {
        write(&site.join(&folder).join(file.strip_prefix(&work)?), content)?;
    }
    fs::remove_dir_all(&work)?;
    let address = |name: &str| format!("/{folder}/{name}");
    let chunks = chunks
        .into_iter()
        .map(|(chunk, bundles)| (chunk, bundles.iter().map(|bundle| address(&format!("{bundle}.bin"))).collect()));
    Ok(Code {
        js: address("agentflow.js"),
        wasm: address("agentflow_bg.wasm"),
        split: address("split.js"),
        chunks: chunks.collect(),
    })
}

/// The glue without its comments and its indentation. No text in it goes over several lines.
fn terse(glue: &str) -> String {
    let (mut short, mut in_comment) = (String::with_capacity(glue.len()), false);
    for line in glue.lines().map(str::trim).filter(|line| !line.is_empty()) {
        in_comment |= line.starts_with("/**");
        if !in_comment {
            short.push_str(line);
            short.push('\n');
        }
        in_comment &= !line.ends_with("*/");
    }
    short
}

/// How a module is made small: again and again, since each time finds what the one before has made possible. Rust's code reads and
/// writes nothing that is not there, so it stops on purpose or not at all; and the first bytes of the memory are the end of
/// the stack, where no value of its own has an address.
const SMALL: [&str; 4] = ["-Oz", "-Oz", "--low-memory-unused", "--ignore-implicit-traps"];

/// Makes a module small.
fn optimise(optimiser: &Path, file: &Path) -> Result {
    let small = file.with_extension("small");
    let is_entry = file.file_name().is_some_and(|name| name == "agentflow_bg.wasm");
    for is_last in [false, true] {
        shell::run(Command::new(optimiser).args(SMALL).args(WASM_FEATURES).arg(file).arg("-o").arg(&small))?;
        let mut bytes = tables_as_exported(fs::read(&small)?)?;
        if is_entry && !is_last {
            // Written anew in between, its functions stand by their size, which packs better.
            let mut module = walrus::Module::from_buffer(&bytes).map_err(|error| format!("wasm-opt: {error}"))?;
            bytes = module.emit_wasm();
        }
        fs::write(file, bytes)?;
    }
    Ok(fs::remove_file(&small)?)
}

/// wasm-opt 108, which Debian 12 and Ubuntu 24.04 have, writes every exported table as the first one: the glue's table of
/// JavaScript values becomes that of functions. Here the export names its own table again, and nothing else changes.
fn tables_as_exported(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    const NAME: &[u8] = b"\x15__wbindgen_externrefs\x01";
    let module = walrus::Module::from_buffer(&bytes).map_err(|error| format!("wasm-opt: {error}"))?;
    let values = module.tables.iter().position(|table| table.element_ty == walrus::RefType::EXTERNREF);
    // An export is a name with its length before it, that it is a table, and which one: a byte as long as they are few.
    let export = bytes.windows(NAME.len()).position(|some| some == NAME).map(|at| at + NAME.len());
    // A chunk has neither.
    if let (Some(values), Some(index)) = (values, export.and_then(|at| bytes.get_mut(at))) {
        *index = u8::try_from(values).ok().filter(|values| *values < 0x80).ok_or("wasm-opt: too many tables")?;
    }
    Ok(bytes)
}

/// Where wasm-opt is, on release. Without one the module is larger, and everything works.
fn optimiser(mode: Mode) -> Option<PathBuf> {
    if mode == Mode::Dev {
        return None;
    }
    let found = shell::which("wasm-opt");
    if found.is_none() {
        eprintln!("wasm-opt is not installed (package binaryen): going on with a larger module");
    }
    found
}

/// Writes a file under a name with its content's hash: it may be kept for ever.
fn named(site: &Path, extension: &str, content: &[u8]) -> Result<String> {
    let name = format!("pkg/agentflow.{}.{extension}", stamp::of_bytes(&[content]));
    write(&site.join(&name), content)?;
    Ok(name)
}

/// The styles in one file, minified.
fn styles() -> Result<String> {
    let provider = FileProvider::new();
    let mut bundler = Bundler::new(&provider, None, ParserOptions::default());
    let main = places::root().join("style/main.css");
    let mut sheet = bundler.bundle(&main).map_err(|error| format!("style: {error}"))?;
    sheet.minify(MinifyOptions::default()).map_err(|error| format!("style: {error}"))?;
    let options = PrinterOptions { minify: true, ..PrinterOptions::default() };
    Ok(sheet.to_css(options).map_err(|error| format!("style: {error}"))?.code)
}

/// Puts a brotli and a gzip file beside each file that gets smaller by it.
fn compress(site: &Path, mode: Mode) -> Result {
    let mut found = Vec::new();
    shell::files(site, &mut found);
    let quality = if mode == Mode::Release { 11 } else { 1 };
    for file in found {
        let content = fs::read(&file)?;
        let mut brotli = Vec::new();
        let mut parameters = brotli::enc::BrotliEncoderParams { quality, ..Default::default() };
        parameters.size_hint = content.len();
        brotli::BrotliCompress(&mut content.as_slice(), &mut brotli, &parameters)?;
        let level = if mode == Mode::Release { flate2::Compression::best() } else { flate2::Compression::fast() };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(&content)?;
        for (extension, packed) in [("br", brotli), ("gz", gzip.finish()?)] {
            if packed.len() < content.len() {
                let mut name = file.clone().into_os_string();
                name.push(format!(".{extension}"));
                fs::write(name, packed)?;
            }
        }
    }
    Ok(())
}
