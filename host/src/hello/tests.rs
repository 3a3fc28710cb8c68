//! Hellos as clients send them, cut anywhere, and what looks like one.

use proptest::prelude::*;

use super::*;

fn list8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn list16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &list16(content)].concat()
}

fn name(name: &str) -> Vec<u8> {
    extension(SERVER_NAME, &list16(&[&[HOST_NAME][..], &list16(name.as_bytes())].concat()))
}

fn offer(protocols: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = protocols.iter().flat_map(|it| list8(it.as_bytes())).collect();
    extension(PROTOCOLS, &list16(&list))
}

/// The message with these extensions.
fn message_of(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        vec![3, 3],
        vec![7; 32],
        list8(&[9; 32]),
        list16(&[0x13, 1, 0x13, 2]),
        list8(&[0]),
        list16(&extensions.concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO][..], &length[1..], &body].concat()
}

/// The message in records of so many bytes.
fn records(message: &[u8], bytes: usize) -> Vec<u8> {
    let record = |content| [&[HANDSHAKE, 3, 1][..], &list16(content)].concat();
    message.chunks(bytes).flat_map(record).collect()
}

fn usual() -> Vec<u8> {
    let grease = extension(0x0a0a, &[]);
    message_of(&[
        grease,
        name("Shop.Example"),
        offer(&["h2", "http/1.1"]),
        extension(43, &[2, 3, 4]),
    ])
}

fn expected() -> ClientHello {
    let protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    ClientHello { server_name: Some("shop.example".to_owned()), protocols }
}

#[test]
fn name_and_protocols_are_found_once_all_of_it_is_there() {
    for bytes in [16_384, 100, 7, 1] {
        let whole = records(&usual(), bytes);
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), Reading::Incomplete, "{cut} bytes, by {bytes}");
        }
        assert_eq!(read(&whole), Reading::Whole(expected()), "by {bytes}");
        let more = [whole, b"\x17\x03\x03 early data".to_vec()].concat();
        assert_eq!(read(&more), Reading::Whole(expected()));
    }
}

#[test]
fn a_message_that_shares_its_record_need_not_wait_for_the_rest() {
    let record = [&[HANDSHAKE, 3, 1][..], &list16(&[usual(), vec![0; 500]].concat())].concat();
    assert_eq!(read(&record[..record.len() - 1]), Reading::Whole(expected()));
}

#[test]
fn a_client_need_not_say_either() {
    let none = Reading::Whole(ClientHello::default());
    assert_eq!(read(&records(&message_of(&[]), 100)), none);
    let mut old = message_of(&[]);
    old.truncate(old.len() - 2);
    let length = old.len() - 4;
    old[3] = u8::try_from(length).unwrap();
    assert_eq!(read(&records(&old, 100)), none, "without extensions");
    let other = extension(SERVER_NAME, &list16(&[&[5][..], &list16(b"x")].concat()));
    assert_eq!(read(&records(&message_of(&[other]), 100)), none, "a name of another kind");
}

#[test]
fn what_is_no_hello_is_seen_as_soon_as_it_can_be() {
    for bytes in [
        &b"G"[..],
        b"SSH-2.0-OpenSSH",
        b"\x16G",
        b"\x16\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x05\x02",
        b"\x16\x03\x01\x00\x05\x01\x02\x00\x00",
    ] {
        assert_eq!(read(bytes), Reading::NotTls, "{bytes:?}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let empty = extension(PROTOCOLS, &list16(&list8(&[])));
    let long = extension(SERVER_NAME, &[&list16(&[HOST_NAME, 0, 1, b'a'])[..], b"x"].concat());
    for extensions in [
        &[name("a.test"), name("b.test")][..],
        &[offer(&["h2"]), offer(&["h2"])],
        &[name("")],
        &[name("a b")],
        &[name("a\0b")],
        &[name(&"a".repeat(256))],
        &[empty],
        &[long],
        &[vec![0, 0, 0, 9, 1]],
    ] {
        let reading = read(&records(&message_of(extensions), 1_000));
        assert_eq!(reading, Reading::NotTls, "{extensions:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = read(&bytes);
        let _ = read(&records(&[&[CLIENT_HELLO, 0, 0][..], &list8(&[])].concat(), 1));
    }

    #[test]
    fn what_is_changed_or_cut_is_never_a_panic(
        at in 0_usize..200, byte: u8, cut in 0_usize..200, size in 1_usize..300,
    ) {
        let mut message = usual();
        if let Some(changed) = message.get_mut(at) {
            *changed = byte;
        }
        let records = records(&message, size);
        let _ = read(&records[..cut.min(records.len())]);
        let _ = read(&records);
    }

    #[test]
    fn more_bytes_never_take_back_what_was_said(at in 0_usize..200, byte: u8, size in 1_usize..300) {
        let mut message = usual();
        if let Some(changed) = message.get_mut(at) {
            *changed = byte;
        }
        let bytes = records(&message, size);
        let mut last = Reading::Incomplete;
        for end in 0..=bytes.len() {
            let now = read(&bytes[..end]);
            prop_assert!(last == Reading::Incomplete || now == last, "{last:?}, then {now:?}");
            last = now;
        }
    }
}
