//! What holds of the first bytes of a TLS client.

use linkspan::hello::{ClientHello, Reading, read};

use super::cut::Cuts;

pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    cut(cuts, bytes);
    written(cuts, bytes);
}

/// What has been said of bytes is not taken back when more come, and is fit for a look-up and a log.
fn cut(cuts: Cuts, bytes: &[u8]) -> Reading {
    let whole = read(bytes);
    if let Reading::Whole(ClientHello { server_name: Some(name), protocols }) = &whole {
        let fits = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        assert!((1..=255).contains(&name.len()) && name.bytes().all(fits), "{name:?}");
        assert!(protocols.iter().all(|it| (1..=255).contains(&it.len())), "{protocols:?}");
    }
    let mut taken = 0;
    for size in cuts {
        taken = bytes.len().min(taken + size);
        let seen = read(&bytes[..taken]);
        if seen != Reading::Incomplete || taken == bytes.len() {
            assert_eq!(seen, whole, "with {taken} of {}", bytes.len());
            break;
        }
    }
    whole
}

/// A message that says something is read as it was meant, in whichever records it comes and whatever
/// follows.
fn written(mut cuts: Cuts, bytes: &[u8]) {
    let Some((&[name, protocols, others], rest)) = bytes.split_first_chunk() else { return };
    let (name, rest) = rest.split_at(rest.len().min(name.into()));
    let name: String = name.iter().map(|byte| char::from(b'!' + byte % 94)).collect();
    let (list, rest) = rest.split_at(rest.len().min(protocols.into()));
    let protocols: Vec<Vec<u8>> = list.chunks(1 + list.len() / 4).map(<[u8]>::to_vec).collect();
    let (others, rest) = rest.split_at(rest.len().min(others.into()));

    // An extension that nobody has thought of stands on either side.
    let mut extensions = extension(0xfafa, others);
    if !name.is_empty() {
        extensions.extend(extension(0, &list16(&[&[0][..], &list16(name.as_bytes())].concat())));
    }
    if !protocols.is_empty() {
        let list: Vec<u8> = protocols.iter().flat_map(|it| list8(it)).collect();
        extensions.extend(extension(16, &list16(&list)));
    }
    extensions.extend(extension(0x5a5a, others));
    let body = [&[3; 34][..], &list8(&[]), &list16(&[0x13, 1]), &list8(&[0]), &list16(&extensions)];
    let body = body.concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut message = [&[1][..], &length[1..], &body].concat();

    let mut records = Vec::new();
    while !message.is_empty() {
        let size = cuts.next().unwrap_or(1).min(message.len());
        records.extend([22, 3, 1]);
        records.extend(list16(&message[..size]));
        message.drain(..size);
    }
    for until in [records.len() / 2, records.len() - 1] {
        assert_eq!(read(&records[..until]), Reading::Incomplete, "with {until}");
    }
    let name = Some(name.to_ascii_lowercase()).filter(|name| !name.is_empty());
    let expected = Reading::Whole(ClientHello { server_name: name, protocols });
    records.extend_from_slice(rest);
    assert_eq!(cut(cuts, &records), expected);
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &list16(content)].concat()
}

fn list8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn list16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
