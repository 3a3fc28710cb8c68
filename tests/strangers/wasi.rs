//! All functions of WASI 0.2, each called from inside a guest: nothing is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use linkspan::plugin::Refusal;
use wit_parser::abi::{AbiVariant, FlatTypes, WasmType};
use wit_parser::{Function, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId};

use super::forge::{CONTRACT, component};
use super::yard::Yard;

/// What does more than say that there is nothing: time, random numbers, and output that goes to the
/// log.
const ANSWERED: [&str; 13] = [
    "wasi:clocks/monotonic-clock#now",
    "wasi:clocks/monotonic-clock#resolution",
    "wasi:clocks/wall-clock#now",
    "wasi:clocks/wall-clock#resolution",
    "wasi:io/poll#[method]pollable.ready",
    "wasi:io/streams#[method]output-stream.blocking-flush",
    "wasi:io/streams#[method]output-stream.blocking-write-and-flush",
    "wasi:io/streams#[method]output-stream.check-write",
    "wasi:io/streams#[method]output-stream.flush",
    "wasi:io/streams#[method]output-stream.write",
    "wasi:random/insecure#get-insecure-random-u64",
    "wasi:random/insecure-seed#insecure-seed",
    "wasi:random/random#get-random-u64",
];

/// Where results go, and how many bytes of them are looked at.
const RESULT: usize = 2048;
const LOOKED_AT: usize = 64;

/// One function of an interface.
pub(super) struct Item<'r> {
    pub(super) resolve: &'r Resolve,
    /// With its package and version.
    pub(super) interface: String,
    pub(super) function: &'r Function,
}

/// What a call came to.
enum Outcome {
    /// These bytes of a result.
    Gave(Vec<u8>),
    /// The guest was trapped.
    Trapped(String),
}

/// All functions of the packages of a namespace.
pub(super) fn items<'r>(resolve: &'r Resolve, namespace: &str) -> Vec<Item<'r>> {
    let mut items = Vec::new();
    for (_, package) in &resolve.packages {
        if package.name.namespace != namespace {
            continue;
        }
        for id in package.interfaces.values() {
            let functions = resolve.interfaces.get(*id).unwrap().functions.values();
            let interface = name(resolve, *id);
            items.extend(functions.map(|function| Item {
                resolve,
                interface: interface.clone(),
                function,
            }));
        }
    }
    items
}

fn name(resolve: &Resolve, id: InterfaceId) -> String {
    resolve.id_of(id).unwrap()
}

pub(super) fn kind(resolve: &Resolve, id: TypeId) -> &TypeDefKind {
    &resolve.types.get(id).unwrap().kind
}

/// A type, behind the names that it may have.
pub(super) fn behind(resolve: &Resolve, ty: &Type) -> Result<TypeId, Type> {
    let Type::Id(id) = ty else { return Err(*ty) };
    match kind(resolve, *id) {
        TypeDefKind::Type(inner) => behind(resolve, inner).or(Ok(*id)),
        _ => Ok(*id),
    }
}

/// The resource that a handle is of, with whether it is handed over.
pub(super) fn handle(resolve: &Resolve, ty: &Type) -> Option<(TypeId, bool)> {
    let TypeDefKind::Handle(handle) = kind(resolve, behind(resolve, ty).ok()?) else {
        return None;
    };
    let (id, owned) = match handle {
        Handle::Own(id) => (*id, true),
        Handle::Borrow(id) => (*id, false),
    };
    // One that another interface uses is that interface's.
    Some((behind(resolve, &Type::Id(id)).unwrap(), owned))
}

impl Item<'_> {
    /// As `wasi:io/poll#poll`.
    fn label(&self) -> String {
        let interface = self.interface.split('@').next().unwrap_or_default();
        format!("{interface}#{}", self.function.name)
    }

    /// The resource that it gives a handle of, whatever it is asked.
    pub(super) fn gives(&self) -> Option<TypeId> {
        handle(self.resolve, self.function.result.as_ref()?).map(|(id, _)| id)
    }

    pub(super) fn import(&self, number: usize) -> String {
        let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, self.function);
        let types =
            |list: &[WasmType]| list.iter().map(|it| core(*it)).collect::<Vec<_>>().join(" ");
        let (interface, function) = (&self.interface, &self.function.name);
        let (params, results) = (types(&signature.params), types(&signature.results));
        format!(
            "(import \"{interface}\" \"{function}\"
               (func $f{number} (param {params}) (result {results})))\n"
        )
    }

    /// A call, with a text, zeros, and handles that others give; its result is at [`RESULT`].
    fn call(&self, number: usize, givers: &BTreeMap<TypeId, String>) -> String {
        let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, self.function);
        let mut call = format!("(call $f{number}");
        if signature.indirect_params {
            call.push_str(" (i32.const 8192)");
        } else {
            for param in &self.function.params {
                self.argument(&param.ty, givers, &mut call);
            }
        }
        if signature.retptr {
            let _ = write!(call, " (i32.const {RESULT})");
        }
        call.push(')');
        match signature.results.first() {
            Some(ty) => format!("({}.store (i32.const {RESULT}) {call})", core(*ty)),
            None => call,
        }
    }

    fn argument(&self, ty: &Type, givers: &BTreeMap<TypeId, String>, call: &mut String) {
        if let Some((id, _)) = handle(self.resolve, ty) {
            // A handle that nothing gives is made up.
            call.push_str(givers.get(&id).map_or(" (i32.const 1)", String::as_str));
            return;
        }
        if behind(self.resolve, ty) == Err(Type::String) {
            call.push_str(" (i32.const 512) (i32.const 11)");
            return;
        }
        let mut room = [WasmType::I32; 16];
        let mut flat = FlatTypes::new(&mut room);
        self.resolve.push_flat(ty, &mut flat);
        for ty in flat.to_vec() {
            let _ = write!(call, " ({}.const 0)", core(ty));
        }
    }

    /// Whether a result says that there is nothing.
    fn denies(&self, bytes: &[u8]) -> bool {
        let Some(ty) = &self.function.result else { return true };
        // The length of a list or text comes after its place.
        let empty = bytes.get(4..8) == Some(&[0; 4]);
        let zero = || bytes.iter().all(|byte| *byte == 0);
        match behind(self.resolve, ty) {
            Ok(id) => match kind(self.resolve, id) {
                TypeDefKind::Result(_) => bytes.first() == Some(&1),
                TypeDefKind::Option(_) => bytes.first() == Some(&0),
                TypeDefKind::List(_) => empty,
                TypeDefKind::Handle(_) | TypeDefKind::Enum(_) => true,
                _ => zero(),
            },
            Err(Type::String) => empty,
            Err(_) => zero(),
        }
    }
}

pub(super) fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

/// A router that calls the function whose number is its configuration, in three digits, and refuses
/// that with the result in hexadecimal digits.
fn prober(items: &[Item<'_>]) -> Vec<u8> {
    let mut givers = BTreeMap::new();
    // Those that need a handle to give one come after those that give that.
    for _ in 0..3 {
        for (number, item) in items.iter().enumerate() {
            let handles = item.function.params.iter().filter_map(|it| handle(item.resolve, &it.ty));
            let known = handles.into_iter().all(|(id, _)| givers.contains_key(&id));
            if let Some(id) = item.gives().filter(|id| known && !givers.contains_key(id)) {
                let call = item.call(number, &givers);
                let call = call.strip_prefix(&format!("(i32.store (i32.const {RESULT}) "));
                let call = call.and_then(|call| call.strip_suffix(')')).unwrap();
                givers.insert(id, format!(" {call}"));
            }
        }
    }
    let imports: String = items.iter().enumerate().map(|(n, item)| item.import(n)).collect();
    let calls: String = items
        .iter()
        .enumerate()
        .map(|(number, item)| {
            let call = item.call(number, &givers);
            format!("(if (i32.eq (local.get 2) (i32.const {number})) (then {call}))\n")
        })
        .collect();
    let text = include_str!("prober.wat").replace(";;IMPORTS", &imports).replace(";;CALLS", &calls);
    let interfaces: BTreeSet<_> = items.iter().map(|item| &item.interface).collect();
    let imports: String = interfaces.iter().map(|name| format!("  import {name};\n")).collect();
    let world = format!(
        "package linkspan:test;\n\nworld prober {{\n{imports}\
         export linkspan:plugin/lifecycle@0.1.0;\nexport linkspan:plugin/router@0.1.0;\n}}\n"
    );
    component(&text, &world)
}

fn probe(yard: &Yard, bytes: &[u8], number: usize) -> Outcome {
    match yard.birth(&yard.define(bytes, &format!("{number:03}"))) {
        Err(Refusal::Configuration(text)) => {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            Outcome::Gave((0..LOOKED_AT).map(|byte| digit(2 * byte)).collect())
        }
        Err(Refusal::Start { cause, .. }) => Outcome::Trapped(format!("{cause:#}")),
        Err(refusal) => panic!("{refusal:?}"),
        Ok(_) => panic!("it says nothing"),
    }
}

#[test]
fn nothing_is_there_whichever_function_of_wasi_is_called() {
    let items = items(&CONTRACT, "wasi");
    assert!(items.len() > 150, "only {} functions", items.len());
    let (yard, bytes) = (Yard::new(), prober(&items));
    let (mut answered, mut denied, mut trapped) = (BTreeSet::new(), 0, 0);
    for (number, item) in items.iter().enumerate() {
        let label = item.label();
        match probe(&yard, &bytes, number) {
            Outcome::Gave(bytes) if item.denies(&bytes) => denied += 1,
            Outcome::Gave(_) => drop(answered.insert(label)),
            Outcome::Trapped(cause) => {
                // Nothing gives the handles that it wants, or it is the end of the guest.
                let wanted = if item.interface.starts_with("wasi:cli/exit@") {
                    "the guest called exit"
                } else {
                    "handle index 1"
                };
                assert!(cause.contains(wanted), "{label}: {cause}");
                trapped += 1;
            }
        }
    }
    let (all, few) = (items.len(), answered.len());
    println!("{all} functions of WASI: {few} answer, {denied} deny, {trapped} trap");
    assert!(denied > 50, "{denied} of {all} deny");
    assert_eq!(answered, ANSWERED.iter().map(|label| (*label).to_owned()).collect());
}
