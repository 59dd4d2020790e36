//! What the browser gets: bindings for the module, optimised and named by their content; styles in one file; public
//! files as they are; each pre-compressed. The server carries the folder and reads names from its `manifest.json`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use lightningcss::{
    bundler::{Bundler, FileProvider},
    stylesheet::{MinifyOptions, ParserOptions, PrinterOptions},
};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    Result,
    build::{Mode, write},
    places, shell,
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
    let (js, wasm) = bind(&module, &draft, optimiser.as_deref())?;
    let css_name = named(&draft, "css", css.as_bytes())?;
    for file in public {
        write(&draft.join(file.strip_prefix(places::root().join("public"))?), fs::read(&file)?)?;
    }
    compress(&draft, mode)?;
    write(
        &draft.join("manifest.json"),
        format!("{{\n  \"css\": \"/{css_name}\",\n  \"js\": \"/{js}\",\n  \"wasm\": \"/{wasm}\"\n}}\n"),
    )?;
    drop(fs::remove_dir_all(site));
    fs::rename(&draft, site)?;
    stamp.set(&state)
}

/// Makes the glue between the page and the module. Gives the names of both.
fn bind(module: &[u8], site: &Path, optimiser: Option<&Path>) -> Result<(String, String)> {
    let work = site.with_extension("bindgen");
    drop(fs::remove_dir_all(&work));
    Bindgen::new()
        .input_bytes("agentflow", module.to_vec())
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(optimiser.is_some())
        .remove_producers_section(optimiser.is_some())
        .generate(&work)?;
    let plain = work.join("agentflow_bg.wasm");
    if let Some(optimiser) = optimiser {
        shell::step("making the module small");
        let small = work.join("small.wasm");
        let mut command = Command::new(optimiser);
        shell::run(command.arg("-Oz").args(WASM_FEATURES).arg(&plain).arg("-o").arg(&small))?;
        fs::rename(&small, &plain)?;
    }
    let js = named(site, "js", &fs::read(work.join("agentflow.js"))?)?;
    let wasm = named(site, "wasm", &fs::read(&plain)?)?;
    // Pieces of JavaScript that crates bring along; the glue imports them by these names.
    let mut snippets = Vec::new();
    shell::files(&work.join("snippets"), &mut snippets);
    for snippet in snippets {
        write(&site.join("pkg").join(snippet.strip_prefix(&work)?), fs::read(&snippet)?)?;
    }
    fs::remove_dir_all(&work)?;
    Ok((js, wasm))
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
