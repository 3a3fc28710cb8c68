//! Versions that take each other's place under load, among files that are broken: in short here, where
//! it is counted what failed, and for minutes by `make soak`, where times and memory are judged.

mod ferry;
mod judged;
mod load;

use std::thread;
use std::time::Duration;

use ferry::{BROKEN, Ferry};
use load::{Load, Seen};

/// Gentle enough for a build without optimisation on a machine that is busy.
const GENTLE: Load =
    Load { clients: 6, rate: 300, tunnels: 2, downloads: 2, life: Duration::from_secs(2) };

#[test]
fn nobody_notices_versions_that_change_nor_files_that_are_broken() {
    let mut ferry = Ferry::open(2, GENTLE.life, "");
    let seen = Seen::default();
    thread::scope(|scope| {
        let _over = seen.until_dropped();
        GENTLE.begin(scope, ferry.address(), &seen);
        for broken in BROKEN {
            ferry.swap();
            ferry.swap();
            ferry.is_refused(broken);
        }
        ferry.swap();
        seen.wait_for_each();
    });
    println!("{seen}");
    seen.assert_unharmed();
    ferry.assert_counted();
}
