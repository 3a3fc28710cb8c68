//! Components that strangers made to do harm: what each costs, in a table, and what none can reach. The table
//! is in `target/tmp/strangers.md` afterwards.

mod canary;
mod forge;
mod harbour;
mod random;
mod rows;
mod table;
mod wasi;
mod yard;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use harbour::Harbour;
use linkspan::plugin::Refusal;
use table::{Innocents, Line};

/// The most memory that the process may have had, in which no stranger had more than 64 MiB.
const PEAK: usize = 1 << 30;

#[test]
fn a_stranger_costs_its_own_requests_and_nothing_else() {
    let (strangers, dropped) = (rows::all(), rows::dropped());
    let mechanisms = strangers.iter().map(|it| it.mechanism);
    let mechanisms: Vec<_> = mechanisms.chain(dropped.iter().map(|it| it.mechanism)).collect();
    let distinct: BTreeSet<_> = mechanisms.iter().collect();
    assert_eq!(distinct.len(), mechanisms.len(), "two are alike: {mechanisms:?}");
    assert!(distinct.len() >= 40, "{} are not enough", distinct.len());

    let mut harbour = Harbour::open(&strangers, &dropped);
    let innocents = Innocents::default();
    let mut lines = Vec::new();
    thread::scope(|scope| {
        let _over = innocents.until_dropped();
        let address = harbour.linkspan.address("web");
        let innocents = &innocents;
        scope.spawn(move || innocents.ask(address));
        lines.extend(strangers.iter().map(|stranger| harbour.meet(stranger, innocents)));
        // A few at a time: what is dropped together is told of together, and what innocents meet with from
        // the drop to the last refusal is what they meet with of all of these.
        for few in dropped.chunks(5) {
            let before = innocents.so_far();
            harbour.drop_in(few);
            harbour.wait_for_refusals(few);
            let met = innocents.since(before);
            lines.extend(few.iter().map(|file| harbour.refused(file, met)));
        }
    });
    let expected = strangers.iter().map(|it| (it.rises(), it.recovers));
    let expected: Vec<_> = expected.chain(dropped.iter().map(rows::Dropped::rises)).collect();
    harbour.count(&mut lines, &expected);
    let table = Line::table(&lines);
    println!("{table}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("strangers.md"), &table).unwrap();
    assert!(lines.len() >= 40 && table.lines().count() == lines.len() + 2, "{table}");
    let asked = harbour.asked_of_store("store-flood");
    assert_eq!(asked, 100_000 * harbour::TIMES as u64, "of a store, in that many calls");
    let faults: Vec<_> = lines.iter().flat_map(|line| &line.faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(innocents.errors(), 0, "of {}", innocents.asked());
    assert!(harbour.linkspan.is_running());
    let (peak, stderr) = (harbour.linkspan.peak_bytes(), harbour.linkspan.stderr());
    println!("at most {} MiB resident", peak >> 20);
    assert!(peak < PEAK, "{} MiB", peak >> 20);
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// A component that loops while it is instantiated.
pub(crate) fn looping_start() -> Vec<u8> {
    let deed = "(loop (br 0))";
    forge::Forged { at: forge::Call::Start, deed, ..forge::Forged::TAME }.bytes()
}

/// A component that exports something which no version asks for, beside decisions.
pub(crate) fn with_something_else() -> Vec<u8> {
    let more = r#"(func (export "extra#nothing"))"#;
    let export = "export extra: interface { nothing: func(); }\n  import wasi:cli/exit";
    let world = forge::WORLD.replace("import wasi:cli/exit", export);
    forge::component(&forge::Forged { more, ..forge::Forged::TAME }.module(), &world)
}

#[test]
fn the_entries_of_two_tables_of_an_instance_count_together() {
    let yard = yard::Yard::new();
    // Of the 20,000 that there may be by default, the component's own wiring takes some, too.
    let born = |more| {
        let bytes = forge::Forged { more, ..forge::Forged::TAME }.bytes();
        yard.birth(&yard.define(&bytes, "{}")).map(drop)
    };
    born("(table 12000 funcref) (table 7000 funcref)").unwrap();
    let refused = born("(table 12000 funcref) (table 9000 funcref)").unwrap_err();
    assert!(matches!(refused, Refusal::Start { step: "instantiation", .. }), "{refused:?}");
}
