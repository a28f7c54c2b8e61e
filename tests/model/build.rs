// SPDX-License-Identifier: GPL-2.0

//! Makes a copy of the model, and of the project's files that it has, for each error of
//! `src/mutations.rs`, with that error in it. The files themselves stay as they are.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{
        Path,
        PathBuf, //
    },
    process::Command, //
};

#[path = "src/mutations.rs"]
mod mutations;

use mutations::{
    Mutation,
    MUTATIONS, //
};

/// The modules that can have an error, or have to know those that can.
const MODULES: [&str; 8] = [
    "watchers",
    "publication",
    "generation",
    "wait_queue",
    "library",
    "host",
    "counting",
    "publishing",
];

/// C, beside them.
const HEADER: &str = "sysgenid.h";

/// Where a file is.
fn path_of(file: &str) -> String {
    match file {
        "watchers" => "../../src/sysgenid/watchers.rs".into(),
        "publication" => "../../rust/sysgenid/publication.rs".into(),
        HEADER => "../../lib/sysgenid.h".into(),
        _ => format!("src/{file}.rs"),
    }
}

/// Without the indentation.
fn trimmed(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();

    lines.join("\n")
}

/// A file with an error, if that is in it. Without the indentation.
fn read(file: &str, mutation: &Mutation) -> Result<String, Box<dyn Error>> {
    let mut text = trimmed(&fs::read_to_string(path_of(file))?);

    for (_, right, wrong) in mutation.changes.iter().filter(|change| change.0 == file) {
        let right = trimmed(right);

        if text.matches(&right).count() != 1 {
            return Err(format!("{}: not once in {file}: {right}", mutation.what).into());
        }
        text = text.replace(&right, wrong);
    }
    Ok(text)
}

/// Compiles `library.c` with the header in a folder, under a name.
fn compile(folder: &Path, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let object = folder.join("library.o");
    let status = Command::new("cc")
        // Panics of the model pass through it.
        .args(["-O2", "-fPIC", "-fexceptions", "-Wall", "-Werror"])
        .arg(format!("-DCHECK={name}"))
        .arg("-I")
        .arg(folder)
        .args(["-I", "../../include/uapi", "-c", "src/library.c", "-o"])
        .arg(&object)
        .status()?;

    status
        .success()
        .then_some(object)
        .ok_or(format!("{name} does not compile").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let library = out.join("liblibrary.a");
    let mut objects = vec![compile(Path::new("../../lib"), "sysgenid_model_check")?];
    let mut modules = String::new();
    let mut all = String::new();

    for (number, mutation) in MUTATIONS.iter().enumerate() {
        let name = format!("mutation{number}");
        let folder = out.join(&name);
        let mut check = "sysgenid_model_check".to_owned();

        fs::create_dir_all(&folder)?;
        if mutation.changes.iter().any(|change| change.0 == HEADER) {
            check = format!("{check}_{name}");
            fs::write(folder.join(HEADER), read(HEADER, mutation)?)?;
            objects.push(compile(&folder, &check)?);
        }

        writeln!(modules, "mod {name} {{")?;
        writeln!(
            modules,
            "use crate::{{atomic, bindings, library_loads, run, Scenario}};"
        )?;
        for module in MODULES {
            let text = read(module, mutation)?
                .replace("crate::", &format!("crate::mutated::{name}::"))
                .replace("sysgenid_model_check", &check);
            let path = folder.join(module).with_extension("rs");

            fs::write(&path, text)?;
            writeln!(modules, "#[path = {path:?}] pub(crate) mod {module};")?;
        }
        writeln!(modules, "}}")?;
        writeln!(
            all,
            "crate::Mutation {{ what: {:?}, says: &{:?}, scenario: {name}::{} }},",
            mutation.what, mutation.says, mutation.scenario
        )?;
    }
    fs::write(
        out.join("mutated.rs"),
        format!("{modules}\npub(crate) const ALL: &[crate::Mutation] = &[\n{all}];\n"),
    )?;

    let _ = fs::remove_file(&library);
    if !Command::new("ar")
        .arg("crs")
        .arg(&library)
        .args(&objects)
        .status()?
        .success()
    {
        return Err("ar has failed".into());
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=library");
    for file in ["src", "../../include/uapi"].map(String::from) {
        println!("cargo:rerun-if-changed={file}");
    }
    for file in MODULES.into_iter().chain([HEADER]) {
        println!("cargo:rerun-if-changed={}", path_of(file));
    }
    Ok(())
}
