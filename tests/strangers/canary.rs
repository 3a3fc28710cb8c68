//! Whether anything of one instance's memory is ever seen by another.
//!
//! What could be seen: what a memory, a table or a global begins with, or grows by, where there was one of
//! another instance before; and what the host writes into a memory, of its own or of others' requests.
//! What locals begin with is in the code of their function, and no place that could have been used before.

mod handed;

use std::collections::VecDeque;

use linkspan::plugin::Refusal;

use super::forge::{Forged, WORLD, component};
use super::yard::Yard;

/// How often a memory is made where there was one before, at least.
const REUSES: usize = 100_000;

/// The memories of an instance. The first is the one that the host knows.
const MEMORIES: usize = 12;

/// How many instances live at a time, so that places are reused in another order than they were
/// made in.
const ALIVE: usize = 7;

/// The places that a table grows by.
const GROWTH: usize = 100;

/// What the parts of a memory are that are nobody's yet when `configure` begins, up to the second's end,
/// which is the memory's: in the first one, an empty configuration lies between.
fn parts(memory: usize) -> [(usize, String); 2] {
    let end = format!("(i32.mul (memory.size {memory}) (i32.const 65536))");
    match memory {
        0 => [(8_192, "(i32.const 65536)".to_owned()), (65_552, end)],
        _ => [(0, "(i32.const 8)".to_owned()), (8, end)],
    }
}

/// Traps if any byte of a memory is not 0, after it has grown.
fn look_at(memory: usize) -> String {
    let look = |(start, end): &(usize, String)| {
        format!(
            "(local.set 1 (i32.const {start}))
             (loop
               (if (i64.ne (i64.load {memory} (local.get 1)) (i64.const 0)) (then (unreachable)))
               (local.set 1 (i32.add (local.get 1) (i32.const 8)))
               (br_if 0 (i32.lt_u (local.get 1) {end})))\n"
        )
    };
    let grow = format!(
        "(if (i32.eq (memory.grow {memory} (i32.const 1)) (i32.const -1)) (then (unreachable)))\n"
    );
    grow + &parts(memory).iter().map(look).collect::<String>()
}

/// Leaves a mark in every byte of a memory.
fn mark(memory: usize) -> String {
    let mark = |(start, end): &(usize, String)| {
        format!(
            "(memory.fill {memory} (i32.const {start}) (i32.const 0xc5)
               (i32.sub {end} (i32.const {start})))\n"
        )
    };
    parts(memory).iter().map(mark).collect()
}

/// Traps if anything was there before, in the memories, a table, and a global.
fn look() -> String {
    let memories: String = (0..MEMORIES).map(look_at).collect();
    format!(
        "{memories}
         (local.set 1 (table.size))
         (if (i32.eq (table.grow (ref.null func) (i32.const {GROWTH})) (i32.const -1))
           (then (unreachable)))
         (loop
           (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
           (if (i32.eqz (ref.is_null (table.get (local.get 1)))) (then (unreachable)))
           (br_if 0 (local.get 1)))
         (if (global.get $evil) (then (unreachable)))\n"
    )
}

const MARK_TABLE: &str = "(table.fill (i32.const 0) (ref.func $clear) (table.size))\n";
const MARK_GLOBAL: &str = "(global.set $evil (i32.const 0xc5))\n";

/// A component that does this whenever an instance of it begins, with a table of so many places.
fn beginning(birth: &str, places: usize) -> Vec<u8> {
    let memories = "(memory 1)\n".repeat(MEMORIES - 1);
    let most = places + 2 * GROWTH;
    let more = format!("{memories}(table {places} {most} funcref) (elem declare func $clear)");
    let text = Forged::TAME.module().replace(";;MORE", &more).replace("8) ;;FIRST", "2)");
    component(&text.replace(";;Configure", birth), WORLD)
}

#[test]
fn no_byte_of_an_instance_is_seen_by_another() {
    let yard = Yard::new();
    // Whoever leaves a mark sees it, or looking would say nothing.
    for mark in [mark(0), mark(MEMORIES - 1), MARK_TABLE.to_owned(), MARK_GLOBAL.to_owned()] {
        let definition = yard.define(&beginning(&format!("{mark}{}", look()), 8), "{}");
        let born = yard.birth(&definition).map(drop);
        assert!(matches!(born, Err(Refusal::Start { .. })), "{mark}: {born:?}");
    }
    let marks: String = (0..MEMORIES).map(mark).collect();
    let birth = format!("{}{marks}{MARK_TABLE}{MARK_GLOBAL}", look());
    // Of two components, as code and data of one could be kept for it.
    let both = [8, 9].map(|places| yard.define(&beginning(&birth, places), "{}"));
    let (mut alive, mut memories) = (VecDeque::new(), 0);
    // There are never more at a time than those that live and the two that are born, so that all after as
    // many are made where there was one.
    const FIRST: usize = (ALIVE + 2) * MEMORIES;
    while memories < FIRST + REUSES {
        for born in yard.births(&both) {
            match born {
                Ok(newborn) => {
                    alive.push_back(newborn);
                    memories += MEMORIES;
                }
                Err(refusal) => panic!("a mark is seen: {refusal:?}"),
            }
        }
        alive.drain(..alive.len().saturating_sub(ALIVE));
    }
}
