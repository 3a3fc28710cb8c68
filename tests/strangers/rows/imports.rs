//! Imports that are asked for what nobody granted, too often, or when they do not answer.

use super::{Call, Stranger, route, stranger};

pub(super) fn all() -> Vec<Stranger> {
    [reach(), floods(), elsewhere()].concat()
}

fn reach() -> Vec<Stranger> {
    let address = |name, mechanism| {
        route(name, mechanism)
            .answered(502, "the grants", "")
            .denied("address")
            .deed(
                "(call $authority (i32.const 2048))
                 (memory.copy (i32.const 4103) (i32.load (i32.const 2048)) (i32.load (i32.const 2052)))
                 (return (call $forward (i32.const 1) (i32.const 4096)
                   (i32.add (i32.const 7) (i32.load (i32.const 2052)))))",
            )
            .data("http://")
    };
    vec![
        address("address", "forwards to an address that nobody granted"),
        address("address-of-proxy", "forwards to the proxy itself, in a network that is granted")
            .keys("grants = { addresses = ['127.0.0.0/8:*'] }"),
        route("address-scheme", "forwards to a file")
            .deed("(return (call $forward (i32.const 1) (i32.const 4096) (i32.const 18)))")
            .data("file:///etc/passwd")
            .keys("grants = { addresses = ['0.0.0.0/0:*'] }")
            .answered(502, "the contract: http alone", "")
            .denied("address"),
        route("address-of-cloud", "forwards to a link-local address, in a network that is granted")
            .deed("(return (call $forward (i32.const 1) (i32.const 4096) (i32.const 22)))")
            .data("http://169.254.169.254")
            .keys("grants = { addresses = ['0.0.0.0/0:*'] }")
            .answered(502, "the grants", "")
            .denied("address"),
        route("store", "opens a store that it was not granted")
            .deed(
                "(call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
                 (return (call $answer (i32.add (i32.const 298) (i32.load8_u (i32.const 2048)))))",
            )
            .data("b")
            .keys("grants = { stores = ['a'] }")
            .answered(299, "the grants", "")
            .denied("store"),
        route("exit", "exits").deed("(call $exit (i32.const 0))").trapped("WASI, denied"),
        route("sleep", "sleeps for an hour, again and again")
            .deed("(loop (call $block (call $after (i64.const 3600000000000))) (br 0))")
            .keys("limits = { deadline = '20ms', handles = 1000000 }")
            .timed_out(),
        route("sleepers", "waits for an hour a thousand times, and keeps every handle")
            .deed("(loop (drop (call $after (i64.const 3600000000000))) (br 0))")
            .keys("limits = { deadline = '1s', handles = 1000 }")
            .trapped("the limit of handles"),
    ]
}

fn floods() -> Vec<Stranger> {
    vec![
        route("log-flood", "logs 1,000 lines")
            .deed(
                "(global.set $last (i32.const 1000))
                 (loop (call $log (i32.const 3) (i32.const 4096) (i32.const 4))
                   (br_if 0 (global.set $last (i32.sub (global.get $last) (i32.const 1)))
                     (global.get $last)))",
            )
            .data("line")
            .keys("limits = { deadline = '2s' }")
            .answered(200, "the limit of messages", "messages_dropped"),
        route("print-flood", "prints 1,000 lines at once")
            .deed(
                "(memory.fill (i32.const 131072) (i32.const 10) (i32.const 2000))
                 (global.set $last (i32.const 1000))
                 (loop
                   (i32.store8 (i32.add (i32.const 131072) (i32.shl (global.get $last) (i32.const 1)))
                     (i32.const 97))
                   (br_if 0 (global.set $last (i32.sub (global.get $last) (i32.const 1)))
                     (global.get $last)))
                 (call $print (call $stdout) (i32.const 131072) (i32.const 2002) (i32.const 2048))",
            )
            .keys("limits = { deadline = '2s' }")
            .answered(200, "the limit of messages", "messages_dropped"),
        route("metric-flood", "counts under 1,000 names")
            .deed(
                "(global.set $last (i32.const 1000))
                 (loop
                   (i32.store8 (i32.const 4096) (i32.add (i32.const 97)
                     (i32.rem_u (global.get $last) (i32.const 26))))
                   (i32.store8 (i32.const 4097) (i32.add (i32.const 97)
                     (i32.div_u (global.get $last) (i32.const 40))))
                   (call $count (i32.const 4096) (i32.const 2) (i64.const 1))
                   (br_if 0 (global.set $last (i32.sub (global.get $last) (i32.const 1)))
                     (global.get $last)))",
            )
            .data("aa")
            .keys("limits = { deadline = '2s' }")
            .answered(200, "the limit of names", "figures_dropped"),
        route("metric-name", "gives a gauge a name that is a line of metrics")
            .deed("(call $gauge (i32.const 4096) (i32.const 10) (f64.const nan))")
            .data(r#"a\22} 1\0aevil 1"#)
            .answered(200, "the contract: what a name may be", "figures_dropped"),
        route("random-flood", "wants 2^63 random bytes, over and over")
            .deed("(loop (call $bytes (i64.const 0x7fffffffffffffff) (i32.const 2048))
                     (global.set $heap (i32.const 65536)) (br 0))")
            .timed_out(),
        route("secret-flood", "wants 4 GiB of secrets, and keeps what it gets")
            .deed("(loop (call $secret (i32.const -1) (i32.const 2048)) (br 0))")
            .keys("limits = { deadline = '2s' }")
            .trapped("its own memory"),
    ]
}

fn elsewhere() -> Vec<Stranger> {
    vec![
        route("cell-outside", "reads a number beyond those that it has")
            .deed("(drop (call $cell (i32.const 256)))")
            .trapped("the host"),
        route("phase-of-response", "asks a router's call for the response")
            .deed("(drop (call $answered))")
            .trapped("the host"),
        route("phase-of-configure", "declares phases idle while it is asked to route")
            .deed("(call $skip (i32.const 0))")
            .trapped("the host"),
        route("phase-of-body", "gives up a body where there is none")
            .deed("(call $give-up (i32.const 4096) (i32.const 0))")
            .trapped("the host"),
        route("phase-of-pick", "asks a router's call for the endpoints that were tried")
            .deed("(call $tried (i32.const 2048))")
            .trapped("the host"),
        stranger("phase-of-request", Call::OnRequest, "asks who has served before anybody has")
            .deed("(call $served (i32.const 2048))")
            .trapped("the host"),
        route("after-its-call", "asks about the request when its answer has been read")
            .deed("(global.set $evil (i32.const 1))")
            .more(
                r#"(func (export "cabi_post_linkspan:plugin/router@0.1.0#route") (param i32)
                     (if (global.get $evil) (then (call $path (i32.const 2048)))))"#,
            )
            .trapped("the engine"),
    ]
}
