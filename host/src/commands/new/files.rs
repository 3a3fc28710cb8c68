//! The files of the projects, each by its path in the project.

use crate::cli::{Language, NewKind};

/// Paths and texts.
type Files = &'static [(&'static str, &'static str)];

/// The contract.
const CONTRACT: Files = include!(concat!(env!("OUT_DIR"), "/contract.rs"));

/// Files of a folder of the source, which is named in two parts.
macro_rules! files {
    ($root:literal $folder:literal: $($name:literal)+) => {
        &[$((
            $name,
            include_str!(concat!("../../../../", $root, "/", $folder, "/", $name)),
        )),+]
    };
}

/// The source of a kind, below a folder; that in Go has packages.
macro_rules! source {
    ($language:expr, $root:literal, $($go:literal)+) => {
        match $language {
            Language::Rust => files!($root "rust": "src/lib.rs"),
            Language::C => files!($root "c": "plugin.c"),
            Language::Js => files!($root "js": "plugin.js"),
            Language::Python => files!($root "python": "plugin.py"),
            Language::Go => files!($root "go": $($go)+),
        }
    };
}

/// All files of a project.
pub(super) fn project(
    kind: NewKind,
    language: Language,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let parts = [around(language), of_kind(kind), source(kind, language), CONTRACT];
    let harness: Files = files!("examples/languages" "common": "proxy.py");
    parts.into_iter().chain([harness]).flatten().copied()
}

/// What a language's projects have in common: how they are built, and of what.
fn around(language: Language) -> Files {
    match language {
        Language::Rust => files!(
            "examples/languages" "rust": ".gitignore" "Cargo.lock" "Cargo.toml" "Makefile"
        ),
        Language::C => files!(
            "examples/languages" "c": ".gitignore" "Makefile" "requirements.txt"
        ),
        Language::Js => files!(
            "examples/languages" "js": ".gitignore" "Makefile" "package-lock.json" "package.json"
        ),
        Language::Python => files!(
            "examples/languages" "python": ".gitignore" "Makefile" "requirements.txt"
        ),
        Language::Go => files!(
            "examples/languages" "go": ".gitignore" "Makefile" "lifecycle/plugin.go"
        ),
    }
}

/// What the projects of a kind have in common: what they import and export, and their test.
fn of_kind(kind: NewKind) -> Files {
    match kind {
        NewKind::Balancer => files!("examples/languages" "common": "test.py" "wit/plugin.wit"),
        NewKind::Router => files!("host/templates/router" "common": "test.py" "wit/plugin.wit"),
        NewKind::Rewriter => files!("host/templates/rewriter" "common": "test.py" "wit/plugin.wit"),
        NewKind::StreamRouter => {
            files!("host/templates/stream-router" "common": "test.py" "wit/plugin.wit")
        }
    }
}

/// Where a project decides.
pub(super) fn source(kind: NewKind, language: Language) -> Files {
    match kind {
        NewKind::Balancer => source!(language, "examples/languages", "balancer/plugin.go"),
        NewKind::Router => source!(language, "host/templates/router", "router/plugin.go"),
        NewKind::Rewriter => source!(
            language,
            "host/templates/rewriter",
            "request_rewriter/plugin.go" "response_rewriter/plugin.go"
        ),
        NewKind::StreamRouter => {
            source!(language, "host/templates/stream-router", "stream_router/plugin.go")
        }
    }
}
