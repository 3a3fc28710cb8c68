//! The sources keep to the architecture that the crate documentation draws.

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of a file.
const LINES: usize = 400;

fn host_sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in folders {
        files(&root.join(folder), &mut found);
    }
    assert!(found.len() > 40, "only {} sources found", found.len());
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The modules in the order of `lib.rs`, which is the order of dependence.
fn order() -> Vec<String> {
    let library = fs::read_to_string(host_sources().join("lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod "));
    let modules: Vec<_> = modules.map(|name| name.trim_end_matches(';').to_owned()).collect();
    assert!(modules.len() > 10, "{modules:?}");
    modules
}

/// The module that a file belongs to.
fn module(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(host_sources()).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

#[test]
fn modules_use_only_those_listed_before_them() {
    let order = order();
    let place = |name: &str| order.iter().position(|known| known == name);
    let mut checked = 0;
    let mut found = Vec::new();
    files(&host_sources(), &mut found);
    for path in found {
        let Some(own) = module(&path).and_then(|name| place(&name)) else { continue };
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for used in code.split("crate::").skip(1) {
                let name: String =
                    used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let at = format!("{}:{}", path.display(), number + 1);
                assert!(!name.is_empty(), "{at}: name one module per `use crate::`");
                let Some(other) = place(&name) else { continue };
                assert!(other <= own, "{at}: {} uses {name}, which stands above it", order[own]);
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "only {checked} uses found");
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources(&["host/src", "plugins", "tests", "fuzz"]) {
        assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
    }
}

#[test]
fn every_file_can_be_held_in_the_head() {
    for (path, text) in sources(&["host/src", "plugins", "tests", "fuzz"]) {
        let lines = text.lines().count();
        assert!(lines <= LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_interface_of_the_contract_is_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut items = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 150, "{} is too long", path.display());
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if !line.trim_start().starts_with("@since(") {
                continue;
            }
            items += 1;
            let before = number.checked_sub(1).and_then(|before| lines.get(before)).copied();
            let item = lines.get(number + 1).copied().unwrap_or_default().trim_start();
            let listed =
                ["import ", "export ", "include "].iter().any(|word| item.starts_with(word));
            let documented = before.is_some_and(|line| line.trim_start().starts_with("///"));
            assert!(documented || listed, "{}:{}: {item}", path.display(), number + 1);
        }
    }
    assert!(items > 50, "only {items} items found");
}
