//! Whether anything of one instance's memory is ever seen by another.

use std::collections::VecDeque;

use linkspan::plugin::Refusal;

use super::forge::{Forged, WORLD, component};
use super::yard::Yard;

/// How often a memory is made where there was one before.
const REUSES: usize = 100_000;

/// The memories of an instance. The first is the one that the host knows.
const MEMORIES: usize = 12;

/// How many instances live at a time, so that places are reused in another order than they were
/// made in.
const ALIVE: usize = 7;

/// The first address of a memory that is nobody's yet when `configure` begins.
fn start(memory: usize) -> usize {
    if memory == 0 { 70_000 } else { 0 }
}

/// Traps if any byte of a memory is not 0.
fn look_at(memory: usize) -> String {
    let start = start(memory);
    format!(
        "(local.set 1 (i32.const {start}))
         (loop
           (if (i64.ne (i64.load {memory} (local.get 1)) (i64.const 0)) (then (unreachable)))
           (local.set 1 (i32.add (local.get 1) (i32.const 8)))
           (br_if 0 (i32.lt_u (local.get 1)
             (i32.mul (memory.size {memory}) (i32.const 65536)))))\n"
    )
}

/// Leaves a mark in every byte of a memory.
fn mark(memory: usize) -> String {
    let start = start(memory);
    format!(
        "(memory.fill {memory} (i32.const {start}) (i32.const 0xc5)
           (i32.sub (i32.mul (memory.size {memory}) (i32.const 65536)) (i32.const {start})))\n"
    )
}

/// Traps if anything was there before, in the memories, one of which it lets grow, a table, and a
/// global.
fn look() -> String {
    let memories: String = (0..MEMORIES).map(look_at).collect();
    format!(
        "(drop (memory.grow 1 (i32.const 1)))
         {memories}
         (if (i32.eqz (ref.is_null (table.get (i32.const 5)))) (then (unreachable)))
         (if (global.get $evil) (then (unreachable)))\n"
    )
}

const MARK_TABLE: &str = "(table.set (i32.const 5) (ref.func $clear))\n";
const MARK_GLOBAL: &str = "(global.set $evil (i32.const 0xc5))\n";

/// A component that does this whenever an instance of it begins, with a table of so many places.
fn beginning(birth: &str, places: usize) -> Vec<u8> {
    let memories = "(memory 1)\n".repeat(MEMORIES - 1);
    let more = format!("{memories}(table {places} {places} funcref) (elem declare func $clear)");
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
    let mut alive = VecDeque::new();
    for _ in 0..REUSES / MEMORIES / 2 {
        for born in yard.births(&both) {
            match born {
                Ok(newborn) => alive.push_back(newborn),
                Err(refusal) => panic!("a mark is seen: {refusal:?}"),
            }
        }
        alive.drain(..alive.len().saturating_sub(ALIVE));
    }
}
