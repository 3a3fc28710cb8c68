//! What holds of the fields of heads and trailers, whoever wrote them.
//!
//! An input is a few choices and then lines, `name: value`; those that are no fields are left out.

mod rules;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{CONTENT_LENGTH, HOST, TE, UPGRADE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use linkspan::config::{ForwardedHeaders, Underscores};
use linkspan::headers::{
    Forwarding, X_REQUEST_ID, agrees, clean_request, clean_response, clean_trailers,
    client_address, complete_request, offered,
};
use linkspan::log::id::RequestId;

use rules::{
    canonical, carries_requests, ends_at_hop, is_for_heads, is_forwarding, is_instruction,
    is_like_framing, listed, members, nominates,
};

pub(crate) fn hold(input: &[u8]) {
    let (choices, text) = input.split_first_chunk().map_or(([0; 2], input), |(c, rest)| (*c, rest));
    let choices = u16::from_le_bytes(choices);
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    request(&headers, choices);
    response(&headers);
    trailers(&headers);
    protocols(&headers);
}

fn request(sent: &HeaderMap, choices: u16) {
    let trusted = choices & 1 == 1;
    let drops = choices >> 8 & 1 == 1;
    let underscores = if drops { Underscores::Drop } else { Underscores::Pass };
    let clean = |headers: &mut HeaderMap| clean_request(headers, trusted, underscores);
    let headers = cleaned(sent, clean, |name| {
        ends_at_hop(name)
            || is_forwarding(name) && (!trusted || name.contains('_'))
            || name.contains('_') && (drops || is_like_framing(name))
    });
    let takes = members(sent, &TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    assert_eq!(headers.get(TE).is_some_and(|value| value == "trailers"), takes);
    completed(sent, headers, choices);
}

/// Completes what was cleaned.
fn completed(sent: &HeaderMap, mut headers: HeaderMap, choices: u16) {
    let on = |bit: u16| choices >> bit & 1 == 1;
    let before = headers.clone();
    let address = if on(1) {
        IpAddr::V4(Ipv4Addr::from_bits(u32::from(choices)))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(choices) << 90))
    };
    let enabled = ForwardedHeaders {
        x_forwarded_for: on(2),
        x_forwarded_proto: on(3),
        x_forwarded_host: on(4),
        x_host: on(5),
        x_request_id: on(6),
    };
    let Some(id) = RequestId::given(&HeaderValue::from_static("id-1")) else { unreachable!() };
    let with = Forwarding {
        enabled,
        client: &client_address(Some(address)),
        scheme: &HeaderValue::from_static("http"),
        sent_host: sent.get(HOST),
        id: &id,
        version: if on(7) { Version::HTTP_10 } else { Version::HTTP_11 },
    };
    let done = complete_request(&mut headers, &with);
    assert!(done.is_ok(), "{done:?}");

    for name in [HOST, CONTENT_LENGTH] {
        assert!(same(sent, &headers, &name), "{name} of {sent:?} is not that of {headers:?}");
    }
    let values = |name: &str| headers.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(values("connection").is_empty(), !headers.contains_key(TE));
    assert!(values("connection").iter().all(|value| *value == "te"));
    let via = if on(7) { "1.0 linkspan" } else { "1.1 linkspan" };
    assert!(
        headers.get_all(VIA).iter().eq(before.get_all(VIA).iter().chain([&via.parse().unwrap()]))
    );
    if on(6) {
        assert_eq!(values(X_REQUEST_ID.as_str()), ["id-1"]);
        let like = |name: &&HeaderName| name.as_str().replace('_', "-") == X_REQUEST_ID.as_str();
        assert_eq!(headers.keys().filter(like).count(), 1, "{headers:?}");
    }
    chained(&before, &headers, &with);
    for (name, enabled, own) in [
        ("x-forwarded-proto", on(3), Some(with.scheme)),
        ("x-forwarded-host", on(4), with.sent_host),
        ("x-host", on(5), with.sent_host),
    ] {
        let told = before.get_all(name).iter().collect::<Vec<_>>();
        let expected = if told.is_empty() { own.into_iter().collect() } else { told };
        assert_eq!(values(name), if enabled { expected } else { Vec::new() }, "{name}");
    }
}

/// X-Forwarded-For is one field that ends with who has sent the request, after what was believed.
fn chained(before: &HeaderMap, headers: &HeaderMap, with: &Forwarding<'_>) {
    let name = HeaderName::from_static("x-forwarded-for");
    let fields = headers.get_all(&name).iter().count();
    assert_eq!(fields, usize::from(with.enabled.x_forwarded_for), "{headers:?}");
    if with.enabled.x_forwarded_for {
        let client = [with.client.as_bytes()].into_iter();
        let expected: Vec<_> = members(before, &name).chain(client).collect();
        assert_eq!(members(headers, &name).collect::<Vec<_>>(), expected);
    }
}

fn response(sent: &HeaderMap) {
    cleaned(sent, clean_response, |name| ends_at_hop(name) || is_instruction(name));
}

fn trailers(sent: &HeaderMap) {
    cleaned(sent, clean_trailers, |name| {
        ends_at_hop(name)
            || is_forwarding(name)
            || is_instruction(name)
            || is_for_heads(name)
            || ["date", "via", "x-request-id"].contains(&name)
    });
}

/// Upstreams are offered what a client asks for but what would carry requests past us, and choose of
/// that.
fn protocols(sent: &HeaderMap) {
    let asked: Vec<_> = sent.get_all(UPGRADE).iter().collect();
    for pair in asked.windows(2) {
        let [value, chosen] = pair else { unreachable!() };
        let proper = |protocol: &&[u8]| !carries_requests(protocol);
        let expected: Vec<_> = listed(value).filter(proper).collect();
        let offer = offered(value);
        let members = offer.iter().flat_map(listed).collect::<Vec<_>>();
        assert_eq!((members, offer.is_some()), (expected.clone(), !expected.is_empty()));
        let Some(offer) = offer else { continue };
        let among = |one: &[u8]| expected.iter().any(|known| known.eq_ignore_ascii_case(one));
        let right = listed(chosen).count() > 0 && listed(chosen).all(among);
        assert_eq!(agrees(&offer, Some(chosen)), right, "{chosen:?} of {offer:?}");
        assert!(agrees(&offer, Some(&offer)) && !agrees(&offer, None));
    }
}

/// Cleans headers, from which `doomed` have to go, and checks what is left.
fn cleaned(
    sent: &HeaderMap,
    clean: impl Fn(&mut HeaderMap),
    doomed: impl Fn(&str) -> bool,
) -> HeaderMap {
    let mut headers = sent.clone();
    clean(&mut headers);
    for name in sent.keys() {
        let goes = doomed(name.as_str()) || nominates(sent, name);
        if name == TE && headers.contains_key(TE) {
            continue;
        }
        assert_eq!(headers.contains_key(name), !goes, "{name} of {sent:?}");
        assert!(goes || same(sent, &headers, name), "{name} of {sent:?}");
    }
    assert!(headers.keys().all(|name| sent.contains_key(name)), "{headers:?}");
    let once = headers.clone();
    clean(&mut headers);
    assert_eq!(once, headers, "a second time changes nothing");
    headers
}

/// Whether the fields of a name are the same, but for zeros before a length.
fn same(sent: &HeaderMap, left: &HeaderMap, name: &HeaderName) -> bool {
    if name == CONTENT_LENGTH
        && let Some(length) = sent.get(name).and_then(canonical)
    {
        return left.get_all(name).iter().eq([&*length]);
    }
    sent.get_all(name).iter().eq(left.get_all(name))
}
