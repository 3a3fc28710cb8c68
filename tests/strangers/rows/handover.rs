//! Versions that do harm when they hand their state over to the next, or take it from the one before.

use super::files::{Dropped, LOOP, MEMORY, OUTSIDE, Row, TEXT, forged, rows};
use super::{Call, Forged};
use crate::loading::caching::section;

const DEADLINE: &str = "the deadline of handing over";
const ENGINE: &str = "the engine";

pub(super) fn all() -> Vec<Dropped> {
    [saving(), rows(restoring())].concat()
}

/// One that behaves, in another version.
fn successor() -> Vec<u8> {
    [Forged::TAME.bytes(), section(0, b"\x04next".to_vec())].concat()
}

/// What a version before does, and as what that counts; nobody takes its place.
type Saving = (&'static str, &'static str, &'static str, fn() -> Vec<u8>, &'static str);

fn saving() -> Vec<Dropped> {
    let row = |(name, mechanism, stopped, before, failure): Saving| Dropped {
        name,
        mechanism,
        stopped,
        bytes: successor,
        reason: "the version before does not give its state",
        before,
        failure: Some(failure),
    };
    let all: Vec<Saving> = vec![
        ("save-loops", "loops in save", DEADLINE, || forged(Call::Save, LOOP), "deadline"),
        ("save-traps", "traps in save", ENGINE, || forged(Call::Save, "unreachable"), "trap"),
        (
            "save-asks",
            "asks about a request in save",
            "the host",
            || forged(Call::Save, OUTSIDE),
            "trap",
        ),
        (
            "save-eats",
            "takes 4 GiB in save",
            "the limit of memory",
            || forged(Call::Save, MEMORY),
            "memory",
        ),
        (
            "save-outside",
            "saves a state that ends outside its memory",
            ENGINE,
            || forged(Call::Save, "(return (call $list (i32.const 524280) (i32.const 9)))"),
            "trap",
        ),
        (
            "save-more",
            "saves a byte more than may be handed over",
            "the contract: 1 MiB",
            || {
                let deed = "(drop (memory.grow (i32.const 20)))
                            (return (call $list (i32.const 4096) (i32.const 1048577)))";
                forged(Call::Save, deed)
            },
            "contract",
        ),
        (
            "save-bomb",
            "saves 40 MiB",
            "the limit of host-call-bytes",
            || {
                let deed = "(drop (memory.grow (i32.const 700)))
                            (return (call $list (i32.const 4096) (i32.const 41943040)))";
                forged(Call::Save, deed)
            },
            "trap",
        ),
        (
            "save-loops-after",
            "loops when what it saves has been read",
            DEADLINE,
            || {
                let more = r#"(func (export "cabi_post_linkspan:plugin/handover@0.1.0#save")
                                (param i32) (loop (br 0)))"#;
                Forged { more, ..Forged::TAME }.bytes()
            },
            "deadline",
        ),
    ];
    all.into_iter().map(row).collect()
}

/// One that does this where the host wants room for the state before.
fn making_room(room: &'static str) -> Vec<u8> {
    Forged { birth: "(global.set $evil (i32.const 1))", room, ..Forged::TAME }.bytes()
}

fn restoring() -> Vec<Row> {
    const FAILED: &str = "restore failed: ";
    let (late, trapped) =
        ("restore failed: ran past its deadline of 1s", "restore failed: trapped");
    vec![
        ("restore-loops", "loops in restore", DEADLINE, || forged(Call::Restore, LOOP), late),
        (
            "restore-traps",
            "traps in restore",
            ENGINE,
            || forged(Call::Restore, "unreachable"),
            trapped,
        ),
        (
            "restore-asks",
            "asks about a request in restore",
            "the host",
            || forged(Call::Restore, OUTSIDE),
            trapped,
        ),
        (
            "restore-eats",
            "takes 4 GiB in restore",
            "the limit of memory",
            || forged(Call::Restore, MEMORY),
            "restore failed: asked for more than",
        ),
        (
            "restore-talks",
            "refuses the state before in 400,000 bytes",
            "the version before, which goes on",
            || forged(Call::Restore, TEXT),
            "it does not take the state of the version before",
        ),
        (
            "restore-answers",
            "takes the state neither well nor ill",
            ENGINE,
            || forged(Call::Restore, "(i32.store8 (i32.const 1024) (i32.const 7))"),
            FAILED,
        ),
        (
            "restore-room-loops",
            "loops while the host brings it the state before",
            DEADLINE,
            || making_room("(if (i32.eq (local.get 3) (i32.const 77)) (then (loop (br 0))))"),
            late,
        ),
        (
            "restore-room-outside",
            "has the host write the state before outside its memory",
            ENGINE,
            || {
                making_room(
                    "(if (i32.eq (local.get 3) (i32.const 77)) (then (return (i32.const -2))))",
                )
            },
            FAILED,
        ),
    ]
}
