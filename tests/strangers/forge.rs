//! Makes components by hand, of text: what no compiler would let a guest do is a line of it.
//!
//! A [`Forged`] exports every decision of the contract, and the handover, and behaves, but for what its parts say. It
//! does its deed in one call, and in most of them only when the request has a field `x-do`, or when the TCP
//! connection comes from [`ASKING`].
//! Memory: what its `data` says is at 4096; results of imports go to 2048, its own to
//! 1024; from 65536 on is what the host asks to have room for.

use std::path::Path;
use std::sync::LazyLock;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The call in which a component does its deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Start,
    Configure,
    Update,
    Changed,
    Route,
    Pick,
    Chosen,
    Connected,
    Failed,
    Finished,
    OnRequest,
    OnResponse,
    Begin,
    Transform,
    Finish,
    Abandon,
    Save,
    Restore,
    Accepted,
    Decide,
    /// A stream router's `failed`.
    Undone,
}

/// Whoever connects from here asks a stream router for its deed: there is nothing else that all of its calls
/// can see.
pub(super) const ASKING: [u8; 4] = [127, 0, 0, 2];

impl Call {
    /// Whether it tells of a choice that was made before.
    pub(super) fn is_outcome(self) -> bool {
        matches!(self, Self::Chosen | Self::Connected | Self::Failed | Self::Finished)
    }

    /// Whether it is about a TCP connection.
    pub(super) fn is_of_stream(self) -> bool {
        matches!(self, Self::Accepted | Self::Decide | Self::Undone)
    }
}

/// The parts of a component, in WebAssembly's text format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forged {
    /// The call in which it does its deed.
    pub(super) at: Call,
    /// Instructions. They may return, or go on to what the call does otherwise.
    pub(super) deed: &'static str,
    /// What is at 4096.
    pub(super) data: &'static str,
    /// Instructions of `cabi_realloc`, done once `$evil` is not 0.
    pub(super) room: &'static str,
    /// Instructions of `configure`, besides the deed.
    pub(super) birth: &'static str,
    /// Further fields of the module.
    pub(super) more: &'static str,
}

/// The exports, and what WIT's tools want to know of them.
pub(super) const WORLD: &str = "
package linkspan:test;

world stranger {
  include linkspan:plugin/router-plugin@0.1.0;
  include linkspan:plugin/observing-balancer-plugin@0.1.0;
  include linkspan:plugin/body-rewriter-plugin@0.1.0;
  include linkspan:plugin/stream-router-plugin@0.1.0;
  export linkspan:plugin/handover@0.1.0;
  import wasi:cli/exit@0.2.12;
  import wasi:cli/stdout@0.2.12;
  import wasi:io/poll@0.2.12;
  import wasi:io/streams@0.2.12;
  import wasi:clocks/monotonic-clock@0.2.12;
  import wasi:random/random@0.2.12;
}
";

/// What can be imported: under which name, from where, and its type. Used if the name is.
const IMPORTS: [(&str, &str, &str, &str); 34] = [
    ("$header", "linkspan:plugin/request@0.1.0", "header", "(param i32 i32 i32)"),
    ("$path", "linkspan:plugin/request@0.1.0", "path", "(param i32)"),
    ("$authority", "linkspan:plugin/request@0.1.0", "authority", "(param i32)"),
    ("$answered", "linkspan:plugin/response@0.1.0", "status", "(result i32)"),
    ("$served", "linkspan:plugin/served@0.1.0", "host", "(param i32)"),
    ("$now", "linkspan:plugin/clock@0.1.0", "monotonic", "(result i64)"),
    ("$secret", "linkspan:plugin/random@0.1.0", "secret", "(param i32 i32)"),
    ("$log", "linkspan:plugin/log@0.1.0", "write", "(param i32 i32 i32)"),
    ("$count", "linkspan:plugin/metrics@0.1.0", "count", "(param i32 i32 i64)"),
    ("$gauge", "linkspan:plugin/metrics@0.1.0", "gauge", "(param i32 i32 f64)"),
    ("$cell", "linkspan:plugin/cells@0.1.0", "get", "(param i32) (result i64)"),
    ("$add", "linkspan:plugin/cells@0.1.0", "add", "(param i32 i64) (result i64)"),
    ("$exists", "linkspan:plugin/clusters@0.1.0", "exists", "(param i32 i32) (result i32)"),
    ("$crc", "linkspan:plugin/hashing@0.1.0", "crc32", "(param i32 i32 i32 i32)"),
    ("$skip", "linkspan:plugin/phases@0.1.0", "skip", "(param i32)"),
    ("$give-up", "linkspan:plugin/giving-up@0.1.0", "body", "(param i32 i32)"),
    ("$load", "linkspan:plugin/endpoints@0.1.0", "in-flight", "(param i32) (result i32)"),
    ("$tried", "linkspan:plugin/attempts@0.1.0", "tried", "(param i32)"),
    ("$open", STORES, "open", "(param i32 i32 i32)"),
    ("$get", STORES, "[method]bucket.get", "(param i32 i32 i32 i32)"),
    ("$increment", STORES, "[method]bucket.increment", "(param i32 i32 i32 i64 i32)"),
    ("$set", STORES, "[method]bucket.set", "(param i32 i32 i32 i32 i32 i32 i64 i32)"),
    ("$close", STORES, "[resource-drop]bucket", "(param i32)"),
    ("$exit", "wasi:cli/exit@0.2.12", "exit", "(param i32)"),
    ("$stdout", "wasi:cli/stdout@0.2.12", "get-stdout", "(result i32)"),
    ("$print", STREAMS, "[method]output-stream.write", "(param i32 i32 i32 i32)"),
    ("$drop-stream", STREAMS, "[resource-drop]output-stream", "(param i32)"),
    ("$after", CLOCK, "subscribe-duration", "(param i64) (result i32)"),
    ("$block", "wasi:io/poll@0.2.12", "[method]pollable.block", "(param i32)"),
    ("$poll", "wasi:io/poll@0.2.12", "poll", "(param i32 i32 i32)"),
    ("$resolution", CLOCK, "resolution", "(result i64)"),
    ("$bytes", "wasi:random/random@0.2.12", "get-random-bytes", "(param i64 i32)"),
    ("$values", "linkspan:plugin/request@0.1.0", "header-values", "(param i32 i32 i32)"),
    ("$client", "linkspan:plugin/connection@0.1.0", "client-address", "(param i32)"),
];

const STORES: &str = "linkspan:plugin/keyvalue@0.1.0";
const STREAMS: &str = "wasi:io/streams@0.2.12";
const CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// The module, with a place for each part.
const MODULE: &str = include_str!("stranger.wat");

/// The contract and WASI.
pub(super) static CONTRACT: LazyLock<Resolve> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut resolve = Resolve::default();
    for name in ["io", "clocks", "random", "filesystem", "sockets", "cli", "http"] {
        let path = root.join(format!("tests/strangers/wasi/{name}.wit"));
        let text = std::fs::read_to_string(&path).unwrap();
        resolve.push_str(&path, &text).unwrap();
    }
    resolve.push_dir(root.join("wit")).unwrap();
    resolve
});

/// A component of a core module in text, which is made for a world.
#[track_caller]
pub(super) fn component(text: &str, world: &str) -> Vec<u8> {
    let mut resolve = CONTRACT.clone();
    let package = resolve.push_str("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().validate(false).module(&module).unwrap();
    { encoder }.encode().unwrap()
}

impl Forged {
    /// One that behaves.
    pub(super) const TAME: Self =
        Self { at: Call::Route, deed: "", data: "", room: "", birth: "", more: "" };

    /// Its core module.
    pub(super) fn module(&self) -> String {
        let Self { at, deed, data, room, birth, more } = *self;
        let mut text = MODULE.replace(";;ROOM", room).replace(";;BIRTH", birth);
        if !more.is_empty() {
            // Else the place is left to others.
            text = text.replace(";;MORE", more);
        }
        // With the line's end, as one's name can be the beginning of another's.
        let place = format!(";;{at:?}\n");
        assert!(text.contains(&place), "no {place}");
        // Where nobody can be asked, it is always done.
        let unasked = matches!(
            at,
            Call::Start
                | Call::Configure
                | Call::Update
                | Call::Changed
                | Call::Save
                | Call::Restore
        );
        let deed = if unasked {
            deed.to_owned()
        } else if at.is_outcome() {
            // Who asks is known when it picks, and cannot be looked at afterwards.
            text = text.replace(";;Pick", "(global.set $evil (call $asked))");
            format!("(if (global.get $evil) (then {deed}))")
        } else if at.is_of_stream() {
            if at == Call::Undone {
                // There has to be trouble to be told of.
                let dead =
                    "(if (call $connected) (then (return (call $forwarded (i32.const 540)))))";
                text = text.replace(";;Decide\n", &format!("{dead}\n"));
            }
            format!("(if (call $connected) (then {deed}))")
        } else {
            format!("(if (call $asked) (then {deed}))")
        };
        text = text.replace(&place, &format!("{deed}\n")).replace(";;DATA", data);
        let used = |name: &str| text.contains(&format!("(call {name}"));
        let imports: String = IMPORTS
            .iter()
            .filter(|(name, ..)| used(&format!("{name} ")) || used(&format!("{name})")))
            .map(|(name, module, item, ty)| {
                format!("(import \"{module}\" \"{item}\" (func {name} {ty}))\n")
            })
            .collect();
        text.replace(";;IMPORTS", &imports)
    }

    /// Its bytes.
    #[track_caller]
    pub(super) fn bytes(&self) -> Vec<u8> {
        component(&self.module(), WORLD)
    }
}
