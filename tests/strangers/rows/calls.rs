//! Calls that never return, or return elsewhere: one in every function that is called.

use super::{Call, Stranger, route, stranger};

const LOOP: &str = "(loop (br 0))";

pub(super) fn all() -> Vec<Stranger> {
    [outcomes(), streams(), calls()].concat()
}

fn looping(name: &'static str, at: Call, mechanism: &'static str) -> Stranger {
    stranger(name, at, mechanism).deed(LOOP).timed_out()
}

/// In each of the calls about a TCP connection, which is closed.
fn streams() -> Vec<Stranger> {
    let trapping = |name, at, mechanism| {
        stranger(name, at, mechanism).deed("(unreachable)").trapped("the engine")
    };
    let deciding = |name, mechanism| stranger(name, Call::Decide, mechanism);
    vec![
        looping("loops-in-accepted", Call::Accepted, "loops when a TCP connection has come"),
        looping("loops-in-decide", Call::Decide, "loops in decide of a TCP connection"),
        looping("loops-in-undone", Call::Undone, "loops when told that a TCP connection failed"),
        trapping("traps-in-accepted", Call::Accepted, "traps when a TCP connection has come"),
        trapping("traps-in-decide", Call::Decide, "traps in decide of a TCP connection"),
        trapping("traps-in-undone", Call::Undone, "traps when told that a TCP connection failed"),
        stranger("greeting-outside", Call::Accepted, "greets with what lies outside its memory")
            .deed(
                "(i32.store8 (i32.const 1024) (i32.const 1))
                 (i32.store (i32.const 1028) (i32.const -16)) (i32.store (i32.const 1032) (i32.const 9))
                 (return (i32.const 1024))",
            )
            .trapped("the engine"),
        deciding("no-upstream", "sends a TCP connection to one of no upstreams")
            .deed(
                "(drop (call $forwarded (i32.const 536)))
                 (i32.store (i32.const 1032) (i32.const 0)) (return (i32.const 1024))",
            )
            .unfit("the contract: 1 to 64"),
        deciding("upstream-unknown", "sends a TCP connection to a cluster that does not exist")
            .deed("(return (call $forwarded (i32.const 4096)))")
            .data("gone")
            .unfit("the configuration"),
        deciding("asks-of-stream", "asks about a request in decide of a TCP connection")
            .deed("(call $path (i32.const 2048))")
            .trapped("the host"),
    ]
}

/// When they are told what has become of their choices, after the fact.
fn outcomes() -> Vec<Stranger> {
    let trapping = |name, at, mechanism| {
        stranger(name, at, mechanism).deed("(unreachable)").trapped("the engine")
    };
    vec![
        looping("loops-in-chosen", Call::Chosen, "loops when told of its choice"),
        looping("loops-in-connected", Call::Connected, "loops when told of a connection"),
        looping("loops-in-failed", Call::Failed, "loops when told of a failure"),
        looping("loops-in-finished", Call::Finished, "loops when told of a response's end"),
        trapping("traps-in-chosen", Call::Chosen, "traps when told of its choice"),
        trapping("traps-in-connected", Call::Connected, "traps when told of a connection"),
        trapping("traps-in-failed", Call::Failed, "traps when told of a failure"),
        trapping("traps-in-finished", Call::Finished, "traps when told of a response's end"),
        stranger("asks-in-finished", Call::Finished, "asks about a request that is over")
            .deed("(call $path (i32.const 2048))")
            .trapped("the host"),
    ]
}

fn calls() -> Vec<Stranger> {
    vec![
        looping("loops-in-route", Call::Route, "loops in route"),
        looping("loops-in-pick", Call::Pick, "loops in pick"),
        looping("loops-in-changed", Call::Changed, "loops when told that an endpoint is down"),
        stranger("loops-in-update", Call::Update, "loops when told of members that come and go")
            // Not when it is born.
            .deed(
                "(if (global.get $evil) (then (loop (br 0))))
                 (global.set $evil (i32.const 1))",
            )
            .timed_out(),
        looping("loops-in-on-request", Call::OnRequest, "loops in on-request"),
        looping("loops-in-on-response", Call::OnResponse, "loops in on-response"),
        looping("loops-in-begin", Call::Begin, "loops in begin of a body"),
        looping("loops-in-transform", Call::Transform, "loops in transform of a body"),
        looping("loops-in-finish", Call::Finish, "loops in finish of a body"),
        looping("loops-in-abandon", Call::Abandon, "loops in abandon of a body"),
        route("loops-in-realloc", "loops in realloc, while the host gives it a path")
            .deed("(global.set $evil (i32.const 1)) (call $path (i32.const 2048))")
            .room(LOOP)
            .timed_out(),
        route("loops-in-post-return", "loops when its answer has been read")
            .deed("(global.set $evil (i32.const 1))")
            .more(
                r#"(func (export "cabi_post_linkspan:plugin/router@0.1.0#route") (param i32)
                     (if (global.get $evil) (then (loop (br 0)))))"#,
            )
            .timed_out(),
        route("loops-in-host-calls", "asks the time for ever")
            .deed("(loop (drop (call $now)) (br 0))")
            .timed_out(),
        route("loops-in-bulk", "fills its memory for ever, 256 KiB at a time")
            .deed("(loop (memory.fill (i32.const 131072) (i32.const 1) (i32.const 262144)) (br 0))")
            .timed_out(),
        route("loops-in-log", "logs for ever what nobody wants to read")
            .deed("(loop (call $log (i32.const 0) (i32.const 4096) (i32.const 1)) (br 0))")
            .data("x")
            .timed_out(),
        route("recurses", "calls itself without end")
            .deed("(drop (call $deeper (i32.const 0)))")
            .more(
                "(func $deeper (param i32) (result i32)
                   (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))",
            )
            .trapped("the guest's stack"),
        route("recurses-indirectly", "calls itself over a table, with many locals")
            .deed("(call_indirect (i32.const 0))")
            .more(
                "(table 1 1 funcref) (elem (i32.const 0) $again)
                 (func $again (local i64 i64 i64 i64 i64 i64 i64 i64)
                   (call_indirect (i32.const 0)) (call_indirect (i32.const 0)))",
            )
            .trapped("the guest's stack"),
        route("unreachable", "executes unreachable").deed("(unreachable)").trapped("the engine"),
        route("divides", "divides by zero")
            .deed("(drop (i32.div_u (i32.const 1) (i32.const 0)))")
            .trapped("the engine"),
        route("calls-nothing", "calls an empty place of a table")
            .deed("(call_indirect (i32.const 3))")
            .more("(table 8 8 funcref)")
            .trapped("the engine"),
        route("calls-wrongly", "calls a function as one of another type")
            .deed("(call_indirect (param i64) (i64.const 0) (i32.const 0))")
            .more("(table 1 1 funcref) (elem (i32.const 0) $clear)")
            .trapped("the engine"),
        route("dies-for-good", "begins once only: whatever comes after the first fails")
            .deed("(drop (call $add (i32.const 1) (i64.const 1))) (unreachable)")
            .birth("(if (i32.wrap_i64 (call $cell (i32.const 1))) (then (unreachable)))")
            .dying(),
    ]
}

impl Stranger {
    /// Its first deed costs a trap, and all after it an instance that cannot be made.
    fn dying(self) -> Self {
        let stopped = "the engine, then the host: nothing is made for ever";
        Self { recovers: false, stopped, rises: ("failures", "birth"), ..self }
    }
}
