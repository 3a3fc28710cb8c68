//! Bytes in, a component out that fits the contract: compiled, its imports resolved, its kinds
//! known.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::plugin::engine::Machine;
use crate::plugin::error::Refusal;
use crate::plugin::guest::Guest;
use crate::plugin::imports::{CLUSTERS, OFFERED, PACKAGE, SERVED, VERSION, WAITING};
use crate::plugin::wasi;

/// What a component can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Where a request goes.
    Router,
    /// Which endpoint serves it.
    Balancer,
    /// How heads are edited.
    Rewriter,
    /// Where a TCP connection goes.
    StreamRouter,
}

impl Kind {
    /// Its name, as users see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Balancer => "balancer",
            Self::Rewriter => "rewriter",
            Self::StreamRouter => "stream-router",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The functions that a component exports.
#[derive(Clone, Copy, Default)]
pub(super) struct Exports {
    pub(super) configure: Option<ComponentExportIndex>,
    pub(super) route: Option<ComponentExportIndex>,
    pub(super) update: Option<ComponentExportIndex>,
    pub(super) changed: Option<ComponentExportIndex>,
    pub(super) pick: Option<ComponentExportIndex>,
    pub(super) on_request: Option<ComponentExportIndex>,
    pub(super) on_response: Option<ComponentExportIndex>,
    pub(super) accepted: Option<ComponentExportIndex>,
    pub(super) decide: Option<ComponentExportIndex>,
    pub(super) undone: Option<ComponentExportIndex>,
    pub(super) begin: Option<ComponentExportIndex>,
    pub(super) transform: Option<ComponentExportIndex>,
    pub(super) finish: Option<ComponentExportIndex>,
    pub(super) abandon: Option<ComponentExportIndex>,
    pub(super) save: Option<ComponentExportIndex>,
    pub(super) restore: Option<ComponentExportIndex>,
    pub(super) chosen: Option<ComponentExportIndex>,
    pub(super) connected: Option<ComponentExportIndex>,
    pub(super) failed: Option<ComponentExportIndex>,
    pub(super) finished: Option<ComponentExportIndex>,
}

impl Exports {
    /// Looks up the functions of an interface. Whether that is one that is served.
    fn take(
        &mut self,
        interface: &str,
        function: impl Fn(&str) -> Option<ComponentExportIndex>,
    ) -> bool {
        match interface {
            "lifecycle" => self.configure = function("configure"),
            "router" => self.route = function("route"),
            "balancer" => {
                self.update = function("update");
                self.changed = function("changed");
                self.pick = function("pick");
            }
            "request-rewriter" => self.on_request = function("on-request"),
            "response-rewriter" => self.on_response = function("on-response"),
            "body" => {
                self.begin = function("begin");
                self.transform = function("transform");
                self.finish = function("finish");
                self.abandon = function("abandon");
            }
            "handover" => {
                self.save = function("save");
                self.restore = function("restore");
            }
            "outcomes" => {
                self.chosen = function("chosen");
                self.connected = function("connected");
                self.failed = function("failed");
                self.finished = function("finished");
            }
            "stream-router" => {
                self.accepted = function("accepted");
                self.decide = function("decide");
                self.undone = function("failed");
            }
            _ => return false,
        }
        true
    }

    /// Whether it is to be told what becomes of its choices.
    pub(super) fn asks_outcomes(&self) -> bool {
        let Self { chosen, connected, failed, finished, .. } = self;
        [chosen, connected, failed, finished].iter().any(|export| export.is_some())
    }
}

/// A component that fits the contract.
pub struct Component {
    /// The SHA-256 of its bytes, as hexadecimal digits.
    pub digest: Arc<str>,
    /// The length of its bytes.
    pub size: usize,
    /// What it can decide; at least one.
    pub kinds: BTreeSet<Kind>,
    /// The interfaces that it imports, WASI's included, in order.
    pub imports: Vec<String>,
    /// Whether its calls may wait for a store.
    pub waits: bool,
    /// Whether it asks which clusters there are.
    pub asks_clusters: bool,
    /// Whether it asks for the table of the endpoint that answered.
    pub asks_who_served: bool,
    /// Its exports that are never called: interfaces of the contract that this version does not
    /// serve, and what is of other packages, by its whole name.
    pub uncalled: Vec<String>,
    pub(super) exports: Exports,
    pub(super) prepared: InstancePre<Guest>,
}

impl fmt::Debug for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Component");
        debug.field("digest", &self.digest).field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// What kind of bytes a file holds, judged by its first eight.
pub(super) fn check_preamble(bytes: &[u8]) -> Result<(), Refusal> {
    let said = match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "it is a core module; build it for wasm32-wasip2, or turn it into a component with \
             `wasm-tools component new`"
        }
        [b'\0', b'a', b's', b'm', ..] => "its binary version is not one that is known",
        [] => "the file is empty",
        [0x7f, b'E', b'L', b'F', ..] => "it is native code, which is never loaded",
        _ => "it does not begin as WebAssembly does",
    };
    Err(Refusal::NotComponent(said.to_owned()))
}

impl Component {
    /// Judges a compiled component, and resolves its imports.
    pub(super) fn new(
        machine: &Machine,
        compiled: &wasmtime::component::Component,
        digest: Arc<str>,
        size: usize,
    ) -> Result<Self, Refusal> {
        let engine = &machine.engine;
        let ty = compiled.component_type();
        let imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        check_imports(&imports)?;
        let Found { exports, kinds, uncalled } = find_exports(engine, compiled)?;
        let asks = |interface| imports.iter().any(|import| import == interface);
        let (waits, asks_clusters, asks_who_served) = (asks(WAITING), asks(CLUSTERS), asks(SERVED));
        let mut linker = if waits { machine.waiting.clone() } else { machine.direct.clone() };
        let unfit = |error: wasmtime::Error| Refusal::Unfit(format!("{error:#}"));
        wasi::link(&mut linker, compiled).map_err(unfit)?;
        let prepared = linker.instantiate_pre(compiled).map_err(unfit)?;
        Ok(Self {
            digest,
            size,
            kinds,
            imports,
            waits,
            asks_clusters,
            asks_who_served,
            uncalled,
            exports,
            prepared,
        })
    }

    /// Whether it can transform bodies.
    #[must_use]
    pub fn transforms(&self) -> bool {
        self.exports.begin.is_some()
    }

    /// Whether its instances can give their state to a successor's, and take one.
    #[must_use]
    pub fn hands_over(&self) -> bool {
        self.exports.save.is_some() && self.exports.restore.is_some()
    }

    /// The grants that it cannot do without, as they are called in `grants`.
    #[must_use]
    pub fn needs(&self) -> Vec<&'static str> {
        if self.waits { vec!["stores"] } else { Vec::new() }
    }
}

/// Splits `package/interface@version`.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    Some((package, interface, version))
}

fn wrong_version(name: &str, version: &str) -> Refusal {
    Refusal::Unfit(format!(
        "it was made for version {version} of the contract ({name}), and this host serves \
         {PACKAGE}@{VERSION}"
    ))
}

fn check_imports(imports: &[String]) -> Result<(), Refusal> {
    for import in imports {
        if wasi::serves(import) {
            continue;
        }
        match split(import) {
            Some((PACKAGE, _, version)) if version != VERSION => {
                return Err(wrong_version(import, version));
            }
            Some((PACKAGE, interface, _)) if OFFERED.contains(&interface) => {}
            _ => {
                return Err(Refusal::Unfit(format!(
                    "it imports {import}, which nobody offers or can grant"
                )));
            }
        }
    }
    Ok(())
}

/// What a component exports.
#[derive(Default)]
struct Found {
    exports: Exports,
    kinds: BTreeSet<Kind>,
    uncalled: Vec<String>,
}

/// Looks up what of the contract is exported; other exports are ignored and never called.
fn find_exports(
    engine: &Engine,
    component: &wasmtime::component::Component,
) -> Result<Found, Refusal> {
    let Found { mut exports, mut kinds, mut uncalled } = Found::default();
    let ty = component.component_type();
    for (name, item) in ty.exports(engine) {
        let Some((PACKAGE, interface, version)) = split(name) else {
            uncalled.push(name.to_owned());
            continue;
        };
        if version != VERSION {
            return Err(wrong_version(name, version));
        }
        if !matches!(item.ty, ComponentItem::ComponentInstance(_)) {
            continue;
        }
        let parent = component.get_export_index(None, name);
        let function = |function: &str| component.get_export_index(parent.as_ref(), function);
        if !exports.take(interface, function) {
            uncalled.push(interface.to_owned());
        }
    }
    if exports.asks_outcomes() && exports.pick.is_none() {
        uncalled.push("outcomes".to_owned());
    }
    if exports.route.is_some() {
        kinds.insert(Kind::Router);
    }
    if exports.pick.is_some() {
        kinds.insert(Kind::Balancer);
    }
    if exports.on_request.is_some() || exports.on_response.is_some() {
        kinds.insert(Kind::Rewriter);
    }
    if exports.decide.is_some() {
        kinds.insert(Kind::StreamRouter);
    }
    if kinds.is_empty() {
        return Err(Refusal::Unfit(format!(
            "it is of no known kind: it exports none of router, balancer, request-rewriter, \
             response-rewriter and stream-router of {PACKAGE}@{VERSION}"
        )));
    }
    if exports.configure.is_none() {
        return Err(Refusal::Unfit(format!("it does not export {PACKAGE}/lifecycle@{VERSION}")));
    }
    Ok(Found { exports, kinds, uncalled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_components_are_told_apart() {
        let said = |bytes: &[u8]| check_preamble(bytes).unwrap_err().to_string();
        assert!(said(b"").contains("empty"));
        assert!(said(b"\x7fELF\x02\x01\x01\0").contains("native code"));
        assert!(said(b"\0asm\x01\0\0\0").contains("core module"));
        assert!(said(b"hello, world").contains("does not begin"));
        assert!(check_preamble(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn imports_of_other_contracts_are_named_with_both_versions() {
        let said = |import: &str| check_imports(&[import.to_owned()]).unwrap_err().to_string();
        let text = said("linkspan:plugin/log@0.9.0");
        assert!(text.contains("0.9.0") && text.contains("0.1.0"), "{text}");
        assert!(said("stranger:thing/api@1.0.0").contains("stranger:thing/api@1.0.0"));
        assert!(said("linkspan:plugin/nonsense@0.1.0").contains("nonsense"));
        assert!(check_imports(&["linkspan:plugin/log@0.1.0".to_owned()]).is_ok());
    }
}
