//! WASI 0.2 for components that were promised nothing: every interface links, and answers that
//! nothing is there or that access is denied.
//!
//! Toolchains make components import WASI whether they use it or not: one reachable panic of a
//! Rust guest brings a dozen interfaces in. Their functions are defined from the component's own
//! import types, so that all versions of WASI 0.2 link, every call returns at once, and no
//! component is made asynchronous by it. Real are only the clocks, random numbers, and standard
//! output, which goes to the log.

use std::time::SystemTime;

use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{
    Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Val,
};
use wasmtime::{Result, StoreContextMut};

use crate::plugin::bindings::log::Level;
use crate::plugin::guest::Guest;
use crate::plugin::imports::secret;
use crate::plugin::time;

/// Where every resource of WASI leads.
struct Nothing;

/// The number of handles to standard streams, to tell them from others.
const STREAM: u32 = 1;

/// Bytes that a guest may write to a standard stream at once.
const WRITABLE: u64 = 4096;

/// Whether an import is WASI's, of a version that is served: 0.2, any patch.
pub(super) fn serves(import: &str) -> bool {
    import.starts_with("wasi:")
        && import.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// Defines all of WASI that a component imports.
pub(super) fn link(linker: &mut Linker<Guest>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        if !serves(import) {
            continue;
        }
        let mut instance = linker.instance(import)?;
        let (name, _) = import.split_once('@').unwrap_or((import, ""));
        for (item, external) in interface.exports(&engine) {
            match external.ty {
                ComponentItem::Resource(_) => {
                    instance.resource(item, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => define(&mut instance, name, item)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// What a function does; no value stands for the one that its type makes a [`denial`].
type Behaviour = fn(&mut StoreContextMut<'_, Guest>, &[Val]) -> Result<Option<Val>>;

/// Defines one function.
fn define(instance: &mut LinkerInstance<'_, Guest>, interface: &str, function: &str) -> Result<()> {
    let behaviour = behaviour(interface, function);
    instance.func_new(function, move |mut store, ty, params, results| {
        let answer = behaviour(&mut store, params)?;
        for param in params {
            release(&mut store, param)?;
        }
        for (slot, ty) in results.iter_mut().zip(ty.results()) {
            *slot = match &answer {
                Some(answer) => answer.clone(),
                None => denial(&mut store, &ty)?,
            };
        }
        Ok(())
    })
}

/// The few functions that do something, by name.
fn behaviour(interface: &str, function: &str) -> Behaviour {
    match (interface, function) {
        ("wasi:cli/exit", _) => |_, _| Err(wasmtime::Error::msg("the guest called exit")),
        ("wasi:cli/stdout", _) | ("wasi:cli/stderr", _) => {
            |store, _| Ok(Some(Val::Resource(handle(store, STREAM)?)))
        }
        ("wasi:clocks/monotonic-clock", "now") => |_, _| {
            let now = time::since_start().as_nanos();
            Ok(Some(Val::U64(u64::try_from(now).unwrap_or(u64::MAX))))
        },
        ("wasi:clocks/monotonic-clock", "resolution") => |_, _| Ok(Some(Val::U64(1_000))),
        ("wasi:clocks/wall-clock", "now") => |_, _| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now = now.unwrap_or_default();
            Ok(Some(datetime(now.as_secs(), now.subsec_nanos())))
        },
        ("wasi:clocks/wall-clock", "resolution") => |_, _| Ok(Some(datetime(0, 1_000))),
        ("wasi:random/random" | "wasi:random/insecure", name) if name.contains("bytes") => {
            |_, params| {
                let length = match params {
                    [Val::U64(length)] => u32::try_from(*length).unwrap_or(u32::MAX),
                    _ => 0,
                };
                Ok(Some(Val::List(secret(length)?.into_iter().map(Val::U8).collect())))
            }
        }
        ("wasi:random/random" | "wasi:random/insecure", _) => {
            |store, _| Ok(Some(Val::U64(store.data_mut().random.next())))
        }
        ("wasi:random/insecure-seed", _) => |store, _| {
            let random = &mut store.data_mut().random;
            Ok(Some(Val::Tuple(vec![Val::U64(random.next()), Val::U64(random.next())])))
        },
        ("wasi:io/poll", "poll") => |_, params| {
            // Everything is always ready: nothing here ever waits.
            let count = match params {
                [Val::List(pollables)] => u32::try_from(pollables.len())?,
                _ => 0,
            };
            Ok(Some(Val::List((0..count).map(Val::U32).collect())))
        },
        ("wasi:io/poll", "[method]pollable.ready") => |_, _| Ok(Some(Val::Bool(true))),
        ("wasi:io/streams", "[method]output-stream.check-write") => {
            |_, _| Ok(Some(Val::Result(Ok(Some(Box::new(Val::U64(WRITABLE)))))))
        }
        (
            "wasi:io/streams",
            "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush",
        ) => |store, params| {
            if let [_, Val::List(bytes)] = params {
                print(store.data_mut(), bytes);
            }
            Ok(Some(Val::Result(Ok(None))))
        },
        (
            "wasi:io/streams",
            "[method]output-stream.flush" | "[method]output-stream.blocking-flush",
        ) => |_, _| Ok(Some(Val::Result(Ok(None)))),
        _ => |_, _| Ok(None),
    }
}

fn handle(store: &mut StoreContextMut<'_, Guest>, number: u32) -> Result<ResourceAny> {
    Resource::<Nothing>::new_own(number).try_into_resource_any(store)
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64(seconds)),
        ("nanoseconds".to_owned(), Val::U32(nanoseconds)),
    ])
}

/// Lines that a guest prints are messages of the plugin.
fn print(guest: &mut Guest, bytes: &[Val]) {
    let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
    let text: Vec<u8> = bytes.iter().filter_map(byte).collect();
    for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.trim().is_empty()) {
        guest.say(Level::Info, line);
    }
}

/// Gives back the handles among a call's arguments.
fn release(store: &mut StoreContextMut<'_, Guest>, value: &Val) -> Result<()> {
    match value {
        // Not `resource_drop`, which is a call into the store, and no synchronous one may be made
        // within an asynchronous one. Nothing here has anything to clean up.
        Val::Resource(resource) => {
            Resource::<Nothing>::try_from_resource_any(*resource, store).map(drop)
        }
        Val::List(values) | Val::Tuple(values) => {
            values.iter().try_for_each(|value| release(store, value))
        }
        Val::Option(Some(value)) => release(store, value),
        Val::Record(fields) => fields.iter().try_for_each(|(_, value)| release(store, value)),
        _ => Ok(()),
    }
}

/// How errors say no, best first.
const DENIALS: [&str; 6] =
    ["access-denied", "access", "not-supported", "unsupported", "closed", "invalid-argument"];

/// The value of a type that says most clearly that there is nothing.
fn denial(store: &mut StoreContextMut<'_, Guest>, ty: &Type) -> Result<Val> {
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char(' '),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Record(record) => {
            let mut fields = Vec::new();
            for field in record.fields() {
                fields.push((field.name.to_owned(), denial(store, &field.ty)?));
            }
            Val::Record(fields)
        }
        Type::Tuple(tuple) => {
            let values = tuple.types().map(|ty| denial(store, &ty)).collect::<Result<_>>()?;
            Val::Tuple(values)
        }
        Type::Result(result) => Val::Result(Err(match result.err() {
            Some(ty) => Some(Box::new(denial(store, &ty)?)),
            None => None,
        })),
        Type::Enum(cases) => {
            let denial = DENIALS.iter().find(|name| cases.names().any(|case| case == **name));
            let name = denial.copied().or_else(|| cases.names().next()).unwrap_or_default();
            Val::Enum(name.to_owned())
        }
        Type::Variant(variant) => {
            let plain = |name: &str| variant.cases().any(|c| c.name == name && c.ty.is_none());
            let denied = DENIALS.iter().find(|name| plain(name)).map(|name| (*name).to_owned());
            match (denied, variant.cases().next()) {
                (Some(name), _) => Val::Variant(name, None),
                (None, Some(case)) => {
                    let payload = case.ty.map(|ty| denial(store, &ty)).transpose()?;
                    Val::Variant(case.name.to_owned(), payload.map(Box::new))
                }
                (None, None) => return Err(wasmtime::Error::msg("a variant without cases")),
            }
        }
        Type::Own(_) => Val::Resource(handle(store, 0)?),
        _ => return Err(wasmtime::Error::msg("a type that WASI 0.2 does not return")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wasi_0_2_is_served() {
        assert!(serves("wasi:cli/environment@0.2.3"));
        assert!(!serves("wasi:cli/environment@0.3.0"));
        assert!(!serves("wasi:cli/environment"));
        assert!(!serves("other:cli/environment@0.2.3"));
    }
}
