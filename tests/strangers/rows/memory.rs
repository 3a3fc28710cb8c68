//! Bombs: memory, tables, handles, texts; and pointers that lead elsewhere.

use super::{Call, Stranger, route, stranger};

const GRANT: &str = "grants = { stores = ['a'] }";

pub(super) fn all() -> Vec<Stranger> {
    [bombs(), pointers(), handles()].concat()
}

fn bombs() -> Vec<Stranger> {
    let memory = |stranger: Stranger| Stranger {
        stopped: "the limit of memory",
        rises: ("failures", "memory"),
        ..stranger
    };
    vec![
        memory(
            route("memory-at-once", "asks for 4 GiB of memory at once, and traps")
                .deed("(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))"),
        ),
        memory(
            route("memory-by-pages", "takes memory page by page until there is none")
                .deed("(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)")
                .keys("limits = { memory = '4MiB', deadline = '1s' }"),
        ),
        memory(
            route("memory-for-host", "takes memory whenever the host wants room")
                .deed("(global.set $evil (i32.const 1)) (loop (call $path (i32.const 2048)) (br 0))")
                .room("(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))")
                .keys("limits = { memory = '8MiB', deadline = '1s' }"),
        ),
        route("table-bomb", "lets a table grow until it may not")
            .deed(
                "(loop (br_if 0 (i32.ne (table.grow 0 (ref.null func) (i32.const 100)) (i32.const -1))))
                 (return (call $answer (i32.const 299)))",
            )
            .more("(table 1 funcref)")
            .answered(299, "the limit of tables", "")
            .denied("table"),
        route("big-message", "logs a message of 400 KiB, over and over")
            .deed("(loop (call $log (i32.const 3) (i32.const 4096) (i32.const 409600)) (br 0))")
            .keys("limits = { host-call-bytes = '64KiB', deadline = '1s' }")
            .trapped("the limit of host-call-bytes"),
        route("big-answer", "answers with a body of 8 MiB")
            .deed(
                "(drop (memory.grow (i32.const 200)))
                 (return (call $respond (i32.const 200) (i32.const 0) (i32.const 0)
                   (i32.const 4096) (i32.const 8388608)))",
            )
            .trapped("the limit of host-call-bytes"),
        route("larger-answer", "answers with a body one byte longer than it may be")
            .deed(
                "(drop (memory.grow (i32.const 20)))
                 (return (call $respond (i32.const 200) (i32.const 0) (i32.const 0)
                   (i32.const 4096) (i32.const 1048577)))",
            )
            .unfit("the contract: 1 MiB"),
        stranger("body-flood", Call::Transform, "gives more of a body in one call than it may")
            .deed("(return (call $output (i32.const 4096) (i32.const 262145) (i32.const 0)))")
            .unfit("the contract: 256 KiB"),
        stranger("body-promises", Call::Transform, "promises more of a body for ever")
            .deed("(return (call $output (i32.const 0) (i32.const 0) (i32.const 1)))")
            .unfit("the contract: 16 times"),
    ]
}

fn pointers() -> Vec<Stranger> {
    vec![
        route("result-outside", "answers at an address outside its memory")
            .deed("(return (i32.const -4))")
            .trapped("the engine"),
        route("result-unaligned", "answers at an odd address")
            .deed("(return (i32.const 1025))")
            .trapped("the engine"),
        route("text-outside", "names a cluster by a text that ends outside its memory")
            .deed("(return (call $forward (i32.const 0) (i32.const 4096) (i32.const 0x7fffffff)))")
            .trapped("the engine"),
        route("text-backwards", "logs a text whose end wraps around to before its beginning")
            .deed("(call $log (i32.const 3) (i32.const -16) (i32.const 64))")
            .trapped("the engine"),
        route("list-overflow", "answers with so many fields that their bytes overflow")
            .deed(
                "(return (call $respond (i32.const 200) (i32.const 4096) (i32.const 0x10000001)
                   (i32.const 0) (i32.const 0)))",
            )
            .trapped("the engine"),
        route("bad-case", "answers with a decision that does not exist")
            .deed("(i32.store8 (i32.const 1024) (i32.const 9)) (return (i32.const 1024))")
            .trapped("the engine"),
        route("bad-option", "gives a host that is neither there nor absent")
            .deed(
                "(drop (call $forward (i32.const 0) (i32.const 4096) (i32.const 1)))
                 (i32.store8 (i32.const 1040) (i32.const 2)) (return (i32.const 1024))",
            )
            .trapped("the engine"),
        route("bad-enum", "logs at a level that does not exist")
            .deed("(call $log (i32.const 77) (i32.const 4096) (i32.const 0))")
            .trapped("the engine"),
        route("bad-text", "names a cluster in bytes that are no UTF-8")
            .deed("(return (call $forward (i32.const 0) (i32.const 4096) (i32.const 3)))")
            .data(r"\ff\fe\c0")
            .trapped("the engine"),
        route("bad-message", "logs half a character")
            .deed("(call $log (i32.const 3) (i32.const 4096) (i32.const 2))")
            .data(r"\e2\82")
            .trapped("the engine"),
        route("surrogate", "asks for a cluster whose name is a surrogate")
            .deed("(drop (call $exists (i32.const 4096) (i32.const 3)))")
            .data(r"\ed\a0\80")
            .trapped("the engine"),
        route("room-outside", "has the host write a path outside its memory")
            .deed("(global.set $evil (i32.const 1)) (call $path (i32.const 2048))")
            .room("(return (i32.const -2))")
            .trapped("the engine"),
        route("room-unaligned", "has the host write a list of texts at an odd address")
            .deed("(global.set $evil (i32.const 1)) (call $values (i32.const 512) (i32.const 4) (i32.const 2048))")
            .room("(return (i32.const 65537))")
            .trapped("the engine"),
        route("room-calls-back", "calls the host while that asks for room")
            .deed("(global.set $evil (i32.const 1)) (call $path (i32.const 2048))")
            .room("(drop (call $now))")
            .trapped("the engine"),
        route("result-for-host", "wants the host's answer outside its memory")
            .deed("(call $path (i32.const -8))")
            .trapped("the engine"),
        stranger("edits-outside", Call::OnRequest, "gives edits that lie outside its memory")
            .deed("(return (call $list (i32.const 524280) (i32.const 9)))")
            .trapped("the engine"),
        stranger("body-outside", Call::Transform, "gives a part of a body outside its memory")
            .deed("(return (call $output (i32.const 524280) (i32.const 9) (i32.const 0)))")
            .trapped("the engine"),
    ]
}

/// Each time about another key, of five letters from `a` to `p`: as it is given the time, all are asked.
fn store_flood() -> Stranger {
    let flood = route("store-flood", "asks a store 100,000 times in a call, each time for another key")
        .deed(
            "(call $open (i32.const 4096) (i32.const 11) (i32.const 2048))
             (global.set $last (i32.const 100000))
             (loop
               (call $letter (i32.const 0)) (call $letter (i32.const 1)) (call $letter (i32.const 2))
               (call $letter (i32.const 3)) (call $letter (i32.const 4))
               (call $increment (i32.load (i32.const 2052)) (i32.const 4112) (i32.const 5)
                 (i64.const 1) (i32.const 2064))
               (br_if 0 (global.set $last (i32.sub (global.get $last) (i32.const 1)))
                 (global.get $last)))
             (return (call $answer (i32.const 299)))",
        )
        .more(
            "(func $letter (param i32)
               (i32.store8 (i32.add (i32.const 4112) (local.get 0))
                 (i32.add (i32.const 97) (i32.and (i32.const 15)
                   (i32.shr_u (global.get $last) (i32.shl (local.get 0) (i32.const 2)))))))",
        )
        .data("store-flood")
        .keys("grants = { stores = ['store-flood'] }\nlimits = { deadline = '10s' }")
        .answered(299, "the size of the store, which forgets the oldest", "");
    Stranger { rises: ("operations", "increment done"), ..flood }
}

fn handles() -> Vec<Stranger> {
    let store = |name, mechanism| route(name, mechanism).data("a").keys(GRANT);
    vec![
        store("handle-bomb", "opens a store again and again, and keeps every handle")
            .deed("(loop (call $open (i32.const 4096) (i32.const 1) (i32.const 2048)) (br 0))")
            .keys("grants = { stores = ['a'] }\nlimits = { handles = 100, deadline = '1s' }")
            .trapped("the limit of handles"),
        store("handle-dropped", "uses a handle that it has given back")
            .deed(
                "(call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
                 (call $close (i32.load (i32.const 2052)))
                 (call $get (i32.load (i32.const 2052)) (i32.const 4096) (i32.const 1) (i32.const 2048))",
            )
            .trapped("the engine"),
        store("handle-dropped-twice", "gives a handle back twice")
            .deed(
                "(call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
                 (call $close (i32.load (i32.const 2052)))
                 (call $close (i32.load (i32.const 2052)))",
            )
            .trapped("the engine"),
        store("handle-forged", "uses a handle that it never had")
            .deed("(call $get (i32.const 12345) (i32.const 4096) (i32.const 1) (i32.const 2048))")
            .trapped("the engine"),
        store("handle-of-another-kind", "uses its standard output as a store")
            .deed("(call $get (call $stdout) (i32.const 4096) (i32.const 1) (i32.const 2048))")
            .trapped("the engine"),
        store("handle-after-its-call", "uses in a call what another has opened and dropped")
            .deed(
                "(if (i32.eqz (global.get $last)) (then
                   (call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
                   (global.set $last (i32.load (i32.const 2052)))
                   (call $close (global.get $last))
                   (return (call $answer (i32.const 503)))))
                 (call $get (global.get $last) (i32.const 4096) (i32.const 1) (i32.const 2048))",
            )
            .trapped("the engine"),
        store("store-loop", "asks a store for ever")
            .deed(
                "(call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
                 (loop
                   (call $increment (i32.load (i32.const 2052)) (i32.const 4096) (i32.const 1)
                     (i64.const 1) (i32.const 2064))
                   (br 0))",
            )
            .timed_out(),
        store_flood(),
    ]
}
