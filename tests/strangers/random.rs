//! A guest that turns random bytes into host calls and return values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::net::{Shutdown, SocketAddr};

use wit_parser::abi::{AbiVariant, FlatTypes, WasmType};
use wit_parser::{Resolve, Type, TypeDefKind};

use super::forge::{CONTRACT, component};
use super::wasi::{Item, behind, core, handle, items, kind};
use crate::loading::caching::section;
use crate::support::{Binary, Client, Origin, eventually};

/// How many calls of the host come back in all, and the most in one call of the guest about a request, and
/// about anything else.
const CALLS: u64 = 1_000_000;
const BATCH: usize = 400;
const FEW: usize = 50;

/// That nothing grows means: the memory that the process has in use is no more at the end than this above what
/// it was after a quarter of the calls. How many instances live at the moment of looking differs, as those that
/// trapped are made anew, each with a few hundred KiB that it has touched. It is 11 bytes for each of the calls
/// in between.
const GROWTH: usize = 8 << 20;

/// The most rounds that these may take, of which every use gets some requests.
const ROUNDS: usize = 500;
const REQUESTS: usize = 4;

/// Uses of the guest, each with a parking of its own: what a wild value ends is not to keep it from
/// the next.
const USES: usize = 64;

/// Interfaces about a request, and the one about a TCP connection: elsewhere, they trap. (`tls` answers about
/// either.)
const OF_REQUEST: [&str; 9] = [
    "request",
    "original",
    "hashing",
    "response",
    "served",
    "attempts",
    "phases",
    "giving-up",
    "tls",
];
const OF_STREAM: &str = "connection";

/// Functions that trap in most calls, so that they are asked for seldom.
const TRAPPING: [&str; 6] = ["response", "served", "attempts", "phases", "giving-up", "cells"];

/// What texts often are; each of 16 bytes, as a text of fewer is followed by blanks.
const TEXTS: [&str; 20] = [
    "main            ",
    "/path/of-16-byte",
    "/a?b=c&d=e&f=g&h",
    "http://127.0.0.1",
    "http://main:8080",
    "x-sixteen-letter",
    "content-language",
    "strict-transport",
    "text/plain; a=bc",
    "a_metric_of_name",
    "host.of.test:808",
    "0123456789abcdef",
    "session=abcdefgh",
    "content-encoding",
    "cookie: a=b; c=d",
    "a\\0d\\0aline: break  ",
    "no-such-cluster-",
    "a\\00b\\00c\\00d\\00e\\00f\\00g\\00h\\00",
    "9999999999999999",
    "~.%00%0d%2e%2e%2",
];

/// Pushes random values of a type, which mostly exist.
fn argument(resolve: &Resolve, ty: &Type, call: &mut String) {
    if handle(resolve, ty).is_some() {
        return call.push_str(" (call $handle)");
    }
    let mut room = [WasmType::I32; 16];
    let mut flat = FlatTypes::new(&mut room);
    resolve.push_flat(ty, &mut flat);
    let mut flat = flat.to_vec();
    let mut cases = |cases: usize| {
        let _ = write!(call, " (call $case (i32.const {cases}))");
        flat.remove(0);
    };
    match behind(resolve, ty).map(|id| kind(resolve, id)) {
        Ok(TypeDefKind::Variant(variant)) => cases(variant.cases.len()),
        Ok(TypeDefKind::Enum(variant)) => cases(variant.cases.len()),
        Ok(TypeDefKind::Option(_) | TypeDefKind::Result(_)) | Err(Type::Bool) => cases(2),
        _ => {}
    }
    if flat.len() == 2 && flat.iter().all(|ty| core(*ty) == "i32") {
        // What has two is a text, a list of bytes, or one of several.
        return call.push_str(" (call $at) (call $length)");
    }
    for ty in flat {
        call.push_str(match core(ty) {
            "i64" => " (call $wide)",
            "f64" => " (f64.reinterpret_i64 (call $wide))",
            "f32" => " (f32.reinterpret_i32 (call $any))",
            _ => " (call $number)",
        });
    }
}

/// Whether a function can be called over and over: it neither ends the guest nor gives handles.
fn is_wanted(item: &Item<'_>) -> bool {
    let gives = item.gives().is_some();
    let store = item.interface.contains("/keyvalue@") && item.function.name != "open";
    let handles = item.function.params.iter().any(|it| handle(item.resolve, &it.ty).is_some());
    let elsewhere = ["wasi:cli/exit@", "wasi:io/poll@", "wasi:http/", "wasi:sockets/"];
    let opens = item.function.name == "open";
    !gives
        && !opens
        && (store || !handles)
        && !elsewhere.iter().any(|it| item.interface.contains(it))
}

/// When a function can be called: about a request, at any time, or about a TCP connection.
fn place(item: &Item<'_>) -> u8 {
    let is = |name: &str| item.interface.starts_with(&format!("linkspan:plugin/{name}@"));
    if OF_REQUEST.into_iter().any(is) { 0 } else { 1 + u8::from(is(OF_STREAM)) }
}

/// The call of a function with random values, which is counted when it comes back.
fn call(number: usize, item: &Item<'_>) -> String {
    let signature = item.resolve.wasm_signature(AbiVariant::GuestImport, item.function);
    let mut call = format!("(call $f{number}");
    for param in &item.function.params {
        argument(item.resolve, &param.ty, &mut call);
    }
    call.push_str(if signature.retptr { " (i32.const 2048))" } else { ")" });
    if !signature.results.is_empty() {
        call = format!("(drop {call})");
    }
    call.push_str(" (call $counted)");
    if item.function.name.ends_with("-bytes") {
        // Thousands of values each: they are not to take the time of all others.
        call = format!("(if (call $rarely (i32.const 256)) (then {call}))");
    }
    if TRAPPING.iter().any(|name| item.interface.contains(&format!("/{name}@"))) {
        call = format!("(if (call $rarely (i32.const 16384)) (then {call}))");
    }
    call
}

/// A version of the guest. It exports all decisions, what is told of them, and the handover.
fn guest(version: u8) -> Vec<u8> {
    let mut items = items(&CONTRACT, "wasi");
    // With what they begin or end: `stream-router`, too.
    let exported = ["lifecycle", "router", "balancer", "rewriter", "body@", "outcomes", "handover"];
    let offered = super::wasi::items(&CONTRACT, "linkspan").into_iter();
    items.extend(offered.filter(|it| !exported.iter().any(|name| it.interface.contains(name))));
    items.retain(is_wanted);
    assert!(items.len() > 60, "only {} functions", items.len());
    items.sort_by_key(place);
    let [from, end] = [1, 2].map(|begun| items.partition_point(|item| place(item) < begun));
    let (mut imports, mut calls) = (String::new(), String::new());
    for (number, item) in items.iter().enumerate() {
        imports.push_str(&item.import(number));
        let call = call(number, item);
        let _ = writeln!(
            calls,
            "(if (i32.eq (local.get 0) (i32.const {number})) (then {call} (return)))"
        );
    }
    imports.push_str(
        "(import \"linkspan:plugin/keyvalue@0.1.0\" \"open\" (func $open (param i32 i32 i32)))
         (import \"linkspan:plugin/metrics@0.1.0\" \"count\" (func $count (param i32 i32 i64)))
         (import \"linkspan:plugin/request@0.1.0\" \"header\" (func $header (param i32 i32 i32)))",
    );
    let text = include_str!("random.wat")
        .replace(";;IMPORTS", &imports)
        .replace(";;CALLS", &calls)
        .replace(";;TEXTS", &TEXTS.concat())
        .replace(";;COUNT", &TEXTS.len().to_string())
        .replace(";;BATCH", &BATCH.to_string())
        .replace(";;FEW", &FEW.to_string())
        .replace(";;FROM", &from.to_string())
        .replace(";;REQUEST", &end.to_string())
        .replace(";;FREE", &(end - from).to_string())
        .replace(";;STREAM", &(items.len() - from).to_string());
    let interfaces: BTreeSet<_> = items.iter().map(|item| &item.interface).collect();
    let imports: String = interfaces.iter().map(|name| format!("  import {name};\n")).collect();
    let world = format!(
        "package linkspan:test;\n\nworld random {{\n{imports}\
         include linkspan:plugin/router-plugin@0.1.0;\n\
         include linkspan:plugin/observing-balancer-plugin@0.1.0;\n\
         include linkspan:plugin/body-rewriter-plugin@0.1.0;\n\
         include linkspan:plugin/stream-router-plugin@0.1.0;\n\
         export linkspan:plugin/handover@0.1.0;\n}}\n"
    );
    [component(&text, &world), section(0, vec![1, b'v', version])].concat()
}

fn configuration(origin: &Origin, streams: &Origin) -> String {
    let address = origin.address();
    let mut toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n[admin]\nbind = '127.0.0.1:0'\n\
         [log]\naccess = 'off'\n[stores.a]\ntype = 'memory'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{address}']\n[clusters.tcps]\nendpoints = ['{}']\n",
        streams.address()
    );
    for number in 0..USES {
        let _ = write!(
            toml,
            "[listeners.l{number}]\nbind = '127.0.0.1:0'\ndefault-cluster = 'c{number}'\n\
             routers = ['p{number}']\nrewriters = ['p{number}']\n\
             [listeners.t{number}]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\n\
             stream-router = 'p{number}'\nconnect-attempts = 0\n\
             [clusters.c{number}]\nendpoints = ['{address}']\nbalancer = 'p{number}'\n\
             [plugins.p{number}]\ncomponent = 'random'\ngrants = {{ stores = ['a'] }}\n\
             limits = {{ deadline = '2s', memory = '4MiB' }}\n"
        );
    }
    toml
}

/// The sum of a metric over all plugins, by what else its lines have.
fn sum(linkspan: &mut Binary, name: &str, label: &str) -> u64 {
    let mut admin = Client::connect(linkspan.admin());
    let text = admin.ask("GET", "/metrics", &[("host", "localhost")], b"").text();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// What the guests count: calls of the host that have come back, or of their own.
fn counted(linkspan: &mut Binary, name: &str) -> u64 {
    sum(linkspan, "linkspan_plugin_events_total", &format!("name=\"{name}\""))
}

/// Has another version take the place of the one before in all uses, or be refused.
fn swap(linkspan: &mut Binary, version: u8) {
    let path = linkspan.file().with_file_name("plugins.d/random.wasm");
    fs::write(path, guest(version)).unwrap();
    eventually("all uses to be judged", || {
        let candidates = |linkspan: &mut Binary, outcome| {
            sum(linkspan, "linkspan_plugin_candidates_total", &format!("outcome=\"{outcome}\""))
        };
        let judged = candidates(linkspan, "taken") + candidates(linkspan, "refused");
        (judged >= USES as u64 * u64::from(version)).then_some(())
    });
}

/// Says something random over TCP, and waits until the connection ends, however it does.
fn say(address: SocketAddr, text: &str) {
    let mut client = Client::connect(address);
    // It may have ended already.
    let _ = client.write(text).and_then(|()| client.stream().shutdown(Shutdown::Write));
    client.rest();
}

#[test]
fn a_million_random_calls_bring_nothing_down_and_nothing_up() {
    let origin = Origin::replying("hello");
    let streams = Origin::scripted(|peer| {
        let said = peer.some();
        let _ = peer.write(said);
    });
    let toml = configuration(&origin, &streams);
    let mut linkspan = Binary::prepared(&toml, &[], &["run"], |directory| {
        fs::write(directory.join("random.wasm"), guest(0)).unwrap();
    });
    let mut addresses =
        |kind| (0..USES).map(|n| linkspan.address(&format!("{kind}{n}"))).collect::<Vec<_>>();
    let (addresses, tcp) = (addresses("l"), addresses("t"));
    let mut innocent = linkspan.connect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        format!("{seed:016x}")
    };
    let (mut statuses, mut settled) = (BTreeMap::<u16, usize>::new(), 0);
    let mut rounds = 0..ROUNDS;
    while counted(&mut linkspan, "calls") < CALLS {
        assert!(rounds.next().is_some(), "no end of it: {statuses:?}");
        for address in addresses.iter().flat_map(|address| [address; REQUESTS]) {
            let answer = Client::connect(*address).ask("GET", "/", &[("x-seed", &random())], b"");
            *statuses.entry(answer.status()).or_default() += 1;
            assert_eq!(innocent.get("/").text(), "hello");
        }
        tcp.iter().for_each(|address| say(*address, &random()));
        if rounds.start == 1 {
            swap(&mut linkspan, 1);
        }
        if settled == 0 && counted(&mut linkspan, "calls") > CALLS / 4 {
            settled = linkspan.resident_bytes();
        }
    }
    let after = linkspan.resident_bytes();
    swap(&mut linkspan, 2);
    assert_eq!(innocent.get("/").text(), "hello");
    let own = ["calls", "outcomes", "streams", "saves", "restores"];
    let own = own.map(|name| (name, counted(&mut linkspan, name)));
    let failures = sum(&mut linkspan, "linkspan_plugin_failures_total", "");
    let joined = sum(&mut linkspan, "linkspan_streams_total", "");
    let (then, now) = (settled >> 10, after >> 10);
    println!(
        "{statuses:?}; {own:?}; {failures} failures, {joined} streams; {rounds:?} rounds left"
    );
    println!("{now} KiB, which were {then} after a quarter");
    assert!(settled > 0 && after < settled + GROWTH, "{now} KiB were {then} KiB");
    assert!(statuses.len() > 20, "{statuses:?}");
    assert!(own.iter().all(|(_, times)| *times > 0), "{own:?}");
    assert!(joined > 0, "no stream was joined");
    assert!(linkspan.is_running());
    assert!(!linkspan.stderr().contains("panicked"), "{}", linkspan.stderr());
}
