//! What the host writes into the memory of an instance, after others have given it what is theirs: texts to
//! log, to look up and to keep, and requests that are full of it.

use std::fs;

use crate::strangers::forge::Forged;
use crate::support::{Binary, Client, Origin, UNHURRIED};

/// How often the one instance gives, and the other looks. Each time, it is given far more often.
const ROUNDS: usize = 300;

/// What one instance has, and nobody else is to see: each eight bytes that follow each other in it, from
/// whichever of its first eight on, are looked for.
const SECRET: &str = "CANARY-CANARY-C";

/// The first eight bytes, as a number.
const MARK: &str = "0x432d5952414e4143";

/// Gives the host what there is to give, from 4112 on; and has it given back.
const GIVE: &str = "
(func $give (local i32 i32)
  (call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
  (local.set 0 (i32.load (i32.const 2052)))
  (local.set 1 (i32.const 50))
  (loop
    (global.set $heap (i32.const 65536))
    (call $log (i32.const 0) (i32.const 4112) (i32.const 224))
    (call $path (i32.const 2048))
    (call $authority (i32.const 2048))
    (call $header (i32.const 512) (i32.const 4) (i32.const 2048))
    (call $values (i32.const 4112) (i32.const 15) (i32.const 2048))
    (drop (call $exists (i32.const 4112) (i32.const 224)))
    (call $set (local.get 0) (i32.const 4112) (i32.const 224) (i32.const 4112) (i32.const 224)
      (i32.const 0) (i64.const 0) (i32.const 2048))
    (call $get (local.get 0) (i32.const 4112) (i32.const 224) (i32.const 2048))
    (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
  (call $close (local.get 0)))";

/// Has the host write all that it writes, keeps it, and traps if the mark is anywhere, or if anything was
/// written between the parts of a value.
const LOOK: &str = "
(func $look (local i32 i32)
  (call $open (i32.const 4096) (i32.const 1) (i32.const 2048))
  (local.set 0 (i32.load (i32.const 2052)))
  (local.set 1 (i32.const 50))
  (loop
    (memory.fill (i32.const 2048) (i32.const 0xa5) (i32.const 64))
    (call $header (i32.const 512) (i32.const 4) (i32.const 2048))
    (if (i32.ne (i32.and (i32.load (i32.const 2048)) (i32.const 0xffffff00)) (i32.const 0xa5a5a500))
      (then (unreachable)))
    (call $path (i32.const 2048))
    (call $authority (i32.const 2048))
    (call $values (i32.const 512) (i32.const 4) (i32.const 2048))
    (call $secret (i32.const 1024) (i32.const 2048))
    (call $bytes (i64.const 1024) (i32.const 2048))
    (call $set (local.get 0) (i32.const 512) (i32.const 4) (i32.const 512) (i32.const 4)
      (i32.const 0) (i64.const 0) (i32.const 2048))
    (memory.fill (i32.const 2048) (i32.const 0xa5) (i32.const 64))
    (call $get (local.get 0) (i32.const 512) (i32.const 4) (i32.const 2048))
    (call $get (local.get 0) (i32.const 512) (i32.const 3) (i32.const 2048))
    (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
  (call $close (local.get 0))
  (loop
    (if (i64.eq (i64.load (local.get 1)) (i64.const MARK)) (then (unreachable)))
    (local.set 1 (i32.add (local.get 1) (i32.const 1)))
    (br_if 0 (i32.le_u (local.get 1) (i32.const 524280)))))";

fn configuration(origin: &Origin) -> String {
    let use_of = |name, store| {
        format!(
            "[listeners.{name}]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
             routers = ['{name}']\n[plugins.{name}]\n{UNHURRIED}\n\
             grants = {{ stores = ['{store}'] }}\n[stores.{store}]\ntype = 'memory'\n"
        )
    };
    format!(
        "[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n[log]\naccess = 'off'\n\
         [clusters.main]\nendpoints = ['{}']\n{}{}",
        origin.address(),
        use_of("gives", "a"),
        use_of("looks", "b")
    )
}

#[test]
fn nothing_that_the_host_hands_over_is_of_another_instance() {
    let origin = Origin::replying("hello");
    let look = LOOK.replace("MARK", MARK).leak();
    let data = format!("a{}{}", "\\00".repeat(15), SECRET.repeat(16)).leak();
    let gives = Forged { deed: "(call $give)", more: GIVE, data, ..Forged::TAME };
    let looks = Forged { deed: "(call $look)", more: look, data: "b", ..Forged::TAME };
    let mut linkspan = Binary::prepared(&configuration(&origin), &[], &["run"], |directory| {
        fs::write(directory.join("gives.wasm"), gives.bytes()).unwrap();
        fs::write(directory.join("looks.wasm"), looks.bytes()).unwrap();
    });
    let [giver, looker] = ["gives", "looks"].map(|name| linkspan.address(name));
    let (mut giver, mut looker) = (Client::connect(giver), Client::connect(looker));
    // Where it is, it is seen, or looking would say nothing.
    assert_eq!(looker.ask("GET", "/", &[("x-do", SECRET)], b"").status(), 503);
    for round in 0..ROUNDS {
        let (target, host) = (format!("/{SECRET}"), format!("{SECRET}.test"));
        let fields = [("host", host.as_str()), ("x-do", SECRET), (SECRET, SECRET)];
        assert_eq!(giver.ask("GET", &target, &fields, b"").status(), 200, "{round}");
        assert_eq!(looker.ask("GET", "/", &[("x-do", "it")], b"").status(), 200, "{round}");
    }
    assert!(!linkspan.stderr().contains("panicked"), "{}", linkspan.stderr());
}
