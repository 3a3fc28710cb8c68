//! Listeners at Unix sockets: where, who may connect, and who is believed.

use super::{SMALLEST, parsed};
use crate::config::{Listener, Opening, TrustedProxy};
use crate::socket::bind::Bind;
use crate::socket::path::Rights;

/// A listener at a Unix socket, with further lines.
fn listener(more: &str) -> Listener {
    let text = format!("[listeners.web]\nbind = 'unix:/run/web.sock'\n{more}");
    parsed(&text).unwrap_or_else(|faults| panic!("{faults}")).listeners["web"].clone()
}

/// The faults of a text.
fn faults(text: &str) -> String {
    parsed(text).unwrap_err().to_string()
}

fn refused(more: &str) -> String {
    faults(&format!("[listeners.web]\nbind = 'unix:/run/web.sock'\n{more}"))
}

#[test]
fn its_file_has_the_mode_and_belongs_to_whom_it_is_said() {
    let usual = listener("");
    assert_eq!(usual.bind, Bind::Unix("/run/web.sock".into()));
    assert_eq!(usual.rights, Rights { mode: 0o660, owner: None, group: None });
    let own = listener("socket-mode = '600'\nsocket-owner = 'root'\nsocket-group = 1234");
    assert_eq!(own.rights, Rights { mode: 0o600, owner: Some(0), group: Some(1234) });
    let own = listener("socket-mode = '0066'\nsocket-owner = '42'\nsocket-group = 'root'");
    assert_eq!(own.rights, Rights { mode: 0o066, owner: Some(42), group: Some(0) });
}

#[test]
fn nobody_who_is_not_there_can_own_it() {
    let told = refused("socket-owner = 'nobody-of-this-name'");
    assert!(told.contains("this machine has no user `nobody-of-this-name`"), "{told}");
    let told = refused("socket-group = 'nobody-of-this-name'");
    assert!(told.contains("this machine has no group `nobody-of-this-name`"), "{told}");
    for number in ["4294967295", "'4294967295'", "-1", "'99999999999'"] {
        let told = refused(&format!("socket-owner = {number}"));
        assert!(told.contains("the number is out of range"), "{number}: {told}");
    }
    for mode in ["'0800'", "'66'", "'00660'", "'+660'", "'rw-rw----'", "432"] {
        let told = refused(&format!("socket-mode = {mode}"));
        assert!(told.contains("three octal digits as of `chmod`"), "{mode}: {told}");
    }
}

#[test]
fn what_is_about_its_file_is_for_unix_sockets() {
    for key in ["socket-mode = '0600'", "socket-owner = 'root'", "socket-group = 'root'"] {
        let told = faults(&format!("{SMALLEST}{key}"));
        assert!(told.contains("only a listener at a Unix socket has this"), "{told}");
    }
    let both = "[defaults.listener]\nsocket-mode = '0600'\n[listeners.web]\nbind = ':0'\n\
                [listeners.local]\nbind = 'unix:/run/web.sock'\n";
    let config = parsed(both).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.listeners["local"].rights.mode, 0o600);
    let told = faults(&both.replace("0600", "none"));
    assert!(told.contains("defaults.listener") || told.contains("it is no mode"), "{told}");
}

#[test]
fn no_two_listen_at_one_path() {
    let other = "[listeners.other]\nbind = 'unix:/run//web.sock'\n";
    let told = refused(other);
    assert!(told.contains("`unix:/run/web.sock` is taken by listeners.other"), "{told}");
    let told = refused("[admin]\nbind = 'unix:/run/web.sock'\n");
    assert!(told.contains("`unix:/run/web.sock` is taken by listeners.web"), "{told}");
    let told = refused("[server]\ntakeover = '/run/web.sock'\n");
    assert!(told.contains("`unix:/run/web.sock` is taken by takeover of [server]"), "{told}");
}

#[test]
fn a_path_is_told_from_an_address() {
    for (bind, why) in [
        ("/run/web.sock", "a Unix socket is written as `unix:/run/web.sock`"),
        ("unix:web.sock", "the path of a Unix socket is absolute"),
        ("unix:", "the path of a Unix socket is absolute"),
        (&format!("unix:/{}", "x".repeat(107)), "has 107 bytes at most"),
    ] {
        let told = faults(&format!("[listeners.web]\nbind = '{bind}'\n"));
        assert!(told.contains(why), "{told}");
    }
    let mut config = parsed("[listeners.web]\nbind = 'unix:/run/web.sock'").unwrap();
    let told = config.override_bind(None, Some(80)).unwrap_err().to_string();
    assert!(told.ends_with("the listener is at unix:/run/web.sock"), "{told}");
}

#[test]
fn its_clients_are_trusted_by_a_word_of_its_own() {
    let local = Some([127, 0, 0, 1].into());
    let none = listener("trusted-proxies = ['0.0.0.0/0', '::/0']");
    assert_eq!((none.trusts(None), none.trusts(local)), (false, true));
    let unix = listener("trusted-proxies = ['unix']\nproxy-protocol = 'require'");
    assert_eq!(unix.trusted_proxies, [TrustedProxy::Unix]);
    assert_eq!((unix.trusts(None), unix.trusts(local)), (true, false));
    assert_eq!(unix.opening(None), Opening::Header);
    let others = listener("trusted-proxies = ['127.0.0.1']\nproxy-protocol = 'require'");
    assert_eq!(others.opening(None), Opening::Refused);
}
