//! Compiles guest packages to components; included by the build scripts of the crates that carry
//! components.
//!
//! A folder `FOLDER/NAME` that holds a manifest is the package `PREFIX-NAME`, and becomes the
//! component NAME. The inner cargo runs with the profile `plugin`, the workspace's lock file, an
//! environment cleaned of what the outer one set (else `cargo clippy` would check the guests
//! instead of compiling them, and coverage flags would reach wasm-ld), and a target directory of
//! its own, because the outer one is locked while we run.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// What a build script asks for. Paths are relative to the root of the workspace.
pub(crate) struct Guests<'a> {
    /// The folders whose subfolders are guest packages.
    pub(crate) folders: &'a [&'a str],
    /// What the names of the packages begin with.
    pub(crate) prefix: &'a str,
    /// What else the guests are made from.
    pub(crate) sources: &'a [&'a str],
    /// How many folders below the root of the workspace the build script's crate lies.
    pub(crate) depth: usize,
}

impl Guests<'_> {
    /// Compiles all guests, and writes `components.rs` for the crate to include: a slice of names
    /// and bytes, sorted by name. What is wrong is said in one sentence, and fails the build.
    pub(crate) fn compile(&self) {
        if let Err(error) = self.try_compile() {
            tell_cargo(&format!("error={error}"));
        }
    }

    fn try_compile(&self) -> Result<(), String> {
        let workspace = variable("CARGO_MANIFEST_DIR")?;
        let workspace =
            workspace.ancestors().nth(self.depth).ok_or("the workspace is not where it was")?;
        for path in
            ["Cargo.toml", "Cargo.lock", "wit"].iter().chain(self.folders).chain(self.sources)
        {
            tell_cargo(&format!("rerun-if-changed={}", workspace.join(path).display()));
        }
        let packages = self.packages(workspace)?;
        check_target()?;
        let out = variable("OUT_DIR")?;
        let target = target_dir(&out);
        build(workspace, &target, packages.values())?;

        let mut list = String::from("&[\n");
        for (name, package) in &packages {
            let built = target
                .join(TARGET)
                .join(PROFILE)
                .join(format!("{}.wasm", package.replace('-', "_")));
            // Copied, so that another build that shares the target directory cannot change what
            // this one includes.
            fs::copy(&built, out.join(format!("{name}.wasm")))
                .map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
            let _ = writeln!(
                list,
                "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\"))),"
            );
        }
        list.push_str("]\n");
        fs::write(out.join("components.rs"), list)
            .map_err(|error| format!("cannot write components.rs: {error}"))
    }

    /// The packages to compile, by the name of their component.
    fn packages(&self, workspace: &Path) -> Result<BTreeMap<String, String>, String> {
        let mut packages = BTreeMap::new();
        for folder in self.folders {
            let folder = workspace.join(folder);
            let entries = fs::read_dir(&folder)
                .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
            for entry in entries {
                let path = entry
                    .map_err(|error| format!("cannot list {}: {error}", folder.display()))?
                    .path();
                let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
                if path.join("Cargo.toml").is_file()
                    && packages.insert(name.to_owned(), format!("{}-{name}", self.prefix)).is_some()
                {
                    return Err(format!(
                        "two plugins are called `{name}`; their components would be, too"
                    ));
                }
            }
        }
        if packages.is_empty() {
            return Err(format!(
                "there is no plugin to compile in {} below {}",
                self.folders.join(", "),
                workspace.display()
            ));
        }
        Ok(packages)
    }
}

/// Guests share a target directory whatever the outer profile is: what they are compiled to does
/// not depend on it. It lies in the outer target directory, where `cargo clean` finds it.
fn target_dir(out: &Path) -> PathBuf {
    let outer = out.ancestors().find(|ancestor| ancestor.join("CACHEDIR.TAG").is_file());
    outer.unwrap_or(out).join("guests")
}

fn check_target() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if fs::read_dir(&libdir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    Err(format!(
        "plugins are compiled for {TARGET}, which this Rust has no standard library for: \
         `rustup target add {TARGET}` adds it"
    ))
}

fn build<'a>(
    workspace: &Path,
    target: &Path,
    packages: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace);
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--lib",
            "--profile",
            PROFILE,
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target);
    for package in packages {
        cargo.args(["--package", package]);
    }
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_the_outer_build) {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        tell_cargo(&format!("error={line}"));
    }
    Err(format!("the plugins do not compile for {TARGET}"))
}

/// Whether a variable describes the outer build, and so must not reach the inner one. What says
/// where cargo keeps and gets its packages stays, and so does the jobserver: the inner build counts
/// against the outer one's `-j`.
fn is_of_the_outer_build(name: &str) -> bool {
    const KEPT: [&str; 6] = [
        "CARGO_HOME",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_MAKEFLAGS",
    ];
    const DROPPED: [&str; 5] = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CLIPPY_ARGS"];
    DROPPED.iter().any(|prefix| name.starts_with(prefix))
        && !KEPT.iter().any(|prefix| name.starts_with(prefix))
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{name} is not set: this is a build script"))
}

fn tell_cargo(instruction: &str) {
    println!("cargo::{instruction}");
}
