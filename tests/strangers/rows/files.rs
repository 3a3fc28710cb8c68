//! Files that are dropped into the plugin directory, and never get as far as a call.

use sha2::{Digest, Sha256};

use super::{Call, Forged};
use crate::loading::caching::{long, section};
use crate::strangers::forge::{WORLD, component};
use crate::support::plugin;

/// A file that is refused.
#[derive(Debug, Clone, Copy)]
pub(in crate::strangers) struct Dropped {
    pub(in crate::strangers) name: &'static str,
    pub(in crate::strangers) mechanism: &'static str,
    /// What puts an end to it.
    pub(in crate::strangers) stopped: &'static str,
    pub(in crate::strangers) bytes: fn() -> Vec<u8>,
    /// A part of what is said of it.
    pub(in crate::strangers) reason: &'static str,
    /// What serves before it, and afterwards.
    pub(in crate::strangers) before: fn() -> Vec<u8>,
    /// What its predecessor does wrong, as a cause of failures.
    pub(in crate::strangers) failure: Option<&'static str>,
}

impl Dropped {
    /// The metric that rises, and whether no other does.
    pub(in crate::strangers) fn rises(&self) -> (String, bool) {
        match self.failure {
            Some(cause) => (format!("failures {cause}"), false),
            None => ("candidates refused".to_owned(), true),
        }
    }
}

/// Those that are no components, then those that cannot be compiled, do not fit, or cannot begin.
pub(super) fn all() -> Vec<Dropped> {
    rows([bytes(), compiling(), contracts(), births(), beginnings()].concat())
}

/// Each with a component before it that behaves.
pub(super) fn rows(rows: Vec<Row>) -> Vec<Dropped> {
    let row = |(name, mechanism, stopped, bytes, reason)| Dropped {
        name,
        mechanism,
        stopped,
        bytes,
        reason,
        before: || Forged::TAME.bytes(),
        failure: None,
    };
    rows.into_iter().map(row).collect()
}

pub(super) type Row = (&'static str, &'static str, &'static str, fn() -> Vec<u8>, &'static str);

const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
const FIRST_BYTES: &str = "the look at its first bytes";
const COMPILER: &str = "the compiler, in its process";
const BIRTH: &str = "the first instance";

/// Machine code, made by an engine like ours.
fn image() -> Vec<u8> {
    wasmtime::Engine::default().precompile_component(PREAMBLE).unwrap()
}

fn bytes() -> Vec<Row> {
    let ours = || {
        let image = image();
        [b"linkspan image 1", &Sha256::digest(&image)[..], &image].concat()
    };
    vec![
        ("zeros", "is 200 MB of zeros", "the size", || vec![0; 200 << 20], "larger than"),
        ("image", "is an image of machine code", FIRST_BYTES, image, "native code"),
        ("image-of-ours", "is a file of the cache, digest and all", FIRST_BYTES, ours, "begin"),
        ("script", "is a script", FIRST_BYTES, || b"#!/bin/sh\nreboot\n".to_vec(), "begin"),
        ("module", "is a core module", FIRST_BYTES, || b"\0asm\x01\0\0\0".to_vec(), "core module"),
        (
            "image-inside",
            "is an image that begins as a component does",
            COMPILER,
            || [PREAMBLE, &image()].concat(),
            "cannot be compiled",
        ),
        (
            "half",
            "is half a component",
            COMPILER,
            || {
                let whole = Forged::TAME.bytes();
                whole.split_at(whole.len() / 2).0.to_vec()
            },
            "cannot be compiled",
        ),
    ]
}

/// A component with these fields of text.
fn text(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {fields})")).unwrap()
}

fn compiling() -> Vec<Row> {
    let nested = || {
        // From the inside to the outside, and back to front, so that nothing is moved.
        let mut reversed: Vec<u8> = PREAMBLE.iter().rev().copied().collect();
        for _ in 0..20_000 {
            let head = section(4, vec![0; reversed.len()]);
            let (head, _) = head.split_at(head.len() - reversed.len());
            reversed.extend(head.iter().rev().chain(PREAMBLE.iter().rev()));
        }
        reversed.into_iter().rev().collect()
    };
    let types = || {
        let double = |n: u32| format!("(type $t{} (tuple $t{n} $t{n}))", n + 1);
        text(&format!("(type $t0 (tuple u64 u64)) {}", (0..60).map(double).collect::<String>()))
    };
    let names = || text(&format!("(core module (func (export \"{}\")))", "x".repeat(200_000)));
    let functions = || text(&format!("(core module {})", "(func)".repeat(1_000_001)));
    vec![
        ("compile-bomb", "takes minutes to compile", "the time to compile", || long(150), "took"),
        ("nested", "is 20,000 components, each in another", COMPILER, nested, "cannot be compiled"),
        ("types", "has a type of 2^60 parts", COMPILER, types, "cannot be compiled"),
        ("names", "has a name of 200,000 bytes", COMPILER, names, "cannot be compiled"),
        ("functions", "has 1,000,001 functions", COMPILER, functions, "cannot be compiled"),
        (
            "threads",
            "wants memory that threads share",
            COMPILER,
            || text("(core module (memory 1 2 shared))"),
            "threads",
        ),
        (
            "memory64",
            "wants memory beyond 4 GiB",
            COMPILER,
            || text("(core module (memory i64 1))"),
            "cannot be compiled",
        ),
        (
            "locals",
            "has a function of 60,000 locals",
            COMPILER,
            || text(&format!("(core module (func (local {})))", "i64 ".repeat(60_000))),
            "too many locals",
        ),
    ]
}

/// A router by hand, whose `route` gives a number.
const NUMBER: &str = r#"
  (core module $m
    (memory (export "m") 1)
    (func (export "route") (result i32) (i32.const 7))
    (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
    (func (export "room") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $i (instantiate $m))
  (func $route (result u32) (canon lift (core func $i "route")))
  (instance $router (export "route" (func $route)))
  (export "linkspan:plugin/router@0.1.0" (instance $router))"#;

/// What it takes to configure that.
const LIFECYCLE: &str = r#"
  (func $configure (param "config" string) (result (result (error string)))
    (canon lift (core func $i "configure") (memory $i "m") (realloc (func $i "room"))))
  (instance $lifecycle (export "configure" (func $configure)))
  (export "linkspan:plugin/lifecycle@0.1.0" (instance $lifecycle))"#;

fn contracts() -> Vec<Row> {
    const CONTRACT: &str = "the contract";
    vec![
        ("no-kind", "decides nothing", CONTRACT, || plugin("no-kind").to_vec(), "no known kind"),
        (
            "future",
            "is made for another contract",
            CONTRACT,
            || plugin("future-contract").to_vec(),
            "0.9.0",
        ),
        ("unborn", "cannot be configured", CONTRACT, || text(NUMBER), "lifecycle"),
        (
            "odd-export",
            "decides by a number",
            BIRTH,
            || text(&format!("{NUMBER}{LIFECYCLE}")),
            "expected",
        ),
        (
            "odd-import",
            "imports the log as it is not",
            "the linker",
            || {
                let log = r#"(import "linkspan:plugin/log@0.1.0"
                               (instance (export "write" (func (param "message" u64)))))"#;
                text(&format!("{log}{NUMBER}{LIFECYCLE}"))
            },
            "linkspan:plugin/log",
        ),
        (
            "wasi-of-tomorrow",
            "imports files as a later WASI has them",
            "the imports on offer",
            || {
                let files = r#"(import "wasi:filesystem/preopens@0.3.0" (instance))"#;
                text(&format!("{files}{NUMBER}{LIFECYCLE}"))
            },
            "nobody offers",
        ),
        (
            "native-import",
            "imports a module of the host's",
            "the imports on offer",
            || text(&format!(r#"(import "libc" (core module)){NUMBER}{LIFECYCLE}"#)),
            "nobody offers",
        ),
    ]
}

/// A component that does this in a call.
pub(super) fn forged(at: Call, deed: &'static str) -> Vec<u8> {
    Forged { at, deed, ..Forged::TAME }.bytes()
}

pub(super) const LOOP: &str = "(loop (br 0))";

/// Asks about a request.
pub(super) const OUTSIDE: &str = "(call $path (i32.const 2048))";

/// An error of 400,000 bytes.
pub(super) const TEXT: &str = "(i32.store8 (i32.const 1024) (i32.const 1))
                               (i32.store (i32.const 1028) (i32.const 100000))
                               (i32.store (i32.const 1032) (i32.const 400000))";

/// Takes 4 GiB.
pub(super) const MEMORY: &str =
    "(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))";

fn births() -> Vec<Row> {
    vec![
        (
            "start-loops",
            "loops while it is instantiated",
            "the deadline of births",
            || forged(Call::Start, LOOP),
            "deadline",
        ),
        (
            "configure-loops",
            "loops in configure",
            "the deadline of births",
            || forged(Call::Configure, LOOP),
            "deadline",
        ),
        (
            "update-loops",
            "loops in update",
            "the deadline of births",
            || forged(Call::Update, LOOP),
            "deadline",
        ),
        (
            "start-traps",
            "traps while it is instantiated",
            BIRTH,
            || forged(Call::Start, "unreachable"),
            "instantiation failed",
        ),
        (
            "configure-asks",
            "asks about a request in configure",
            BIRTH,
            || forged(Call::Configure, OUTSIDE),
            "configure failed",
        ),
        (
            "configure-talks",
            "refuses its configuration in 400,000 bytes",
            BIRTH,
            || forged(Call::Configure, TEXT),
            "its configuration is refused",
        ),
        (
            "configure-eats",
            "takes 4 GiB in configure",
            "the limit of memory",
            || forged(Call::Configure, MEMORY),
            "memory",
        ),
    ]
}

/// What modules want to begin with.
fn beginnings() -> Vec<Row> {
    let memories = || {
        let more = "(memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0)
             (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0)
             (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0)";
        Forged { more, ..Forged::TAME }.bytes()
    };
    let tables = || Forged { more: "(table 9000000 funcref)", ..Forged::TAME }.bytes();
    let first = || {
        let text = Forged::TAME.module().replace("8) ;;FIRST", "65000)");
        component(&text, WORLD)
    };
    vec![
        ("first-memory", "begins with 4 GiB", "the limit of memory", first, "instantiation failed"),
        (
            "first-table",
            "begins with a table of 9,000,000 places",
            "the limit of tables",
            tables,
            "instantiation failed",
        ),
        ("memories", "has 22 memories", "the limit of memories", memories, "instantiation failed"),
    ]
}
