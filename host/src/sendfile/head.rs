//! The head of a response that has a file, and with it which of its bytes are sent.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LAST_MODIFIED, TRAILER, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, request, response};

use super::coding::{Coding, is_compressible};
use super::condition::{Validators, Verdict};
use super::open::Opened;
use super::range::{self, Ranges};
use super::read::{Compressed, Leave, Part, Plain};
use crate::body::{Body, FileBody};
use crate::config::{Cluster, Compression};
use crate::headers::{self, Fault};
use crate::wire::Reason;

/// What is compressed while it is sent: less is not worth it, more is not worth the time. lighttpd's
/// limits.
const COMPRESSED_BYTES: std::ops::RangeInclusive<u64> = 256..=128 << 20;

/// The fields that describe the body that the upstream sent.
const OF_OLD_BODY: [HeaderName; 9] = [
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_ENCODING,
    ACCEPT_RANGES,
    TRAILER,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// The last second that a date of HTTP can tell.
const LAST_SECOND: i64 = 253_402_300_799;

/// Completes a head for a file, and gives the body that belongs to it.
pub(super) fn complete(
    parts: &mut response::Parts,
    request: &request::Parts,
    opened: Opened,
    accepted: &[Coding],
    settings: &Cluster,
) -> Result<Body, Fault> {
    let (compression, patience) = (settings.sendfile.compression, settings.body_timeout);
    let now = SystemTime::now();
    // What part the upstream chose was one of its own body.
    if parts.status == StatusCode::PARTIAL_CONTENT {
        set_status(parts, StatusCode::OK);
    }
    let is_success = parts.status == StatusCode::OK;
    let ranged = is_success && request.method == Method::GET && has_range(&request.headers);
    let content_type = describe(&mut parts.headers, &opened)?;
    let worth = compression == Compression::OnTheFly
        && opened.coding.is_none()
        && !ranged
        && COMPRESSED_BYTES.contains(&opened.length)
        && is_compressible(&content_type);
    let flying = accepted.iter().copied().find(|coding| worth && Compressed::can(*coding));
    let flying = flying.and_then(|coding| Some((coding, Leave::take()?)));
    let coding = opened.coding.or_else(|| flying.as_ref().map(|(coding, _)| *coding));
    let fields = &mut parts.headers;
    if let Some(coding) = coding {
        headers::set(fields, CONTENT_ENCODING, HeaderValue::from_static(coding.name()))?;
    }
    if compression != Compression::Off {
        vary(fields)?;
    }
    let validators = validate(fields, &opened, flying.is_some(), now)?;
    if is_success && matches!(request.method, Method::GET | Method::HEAD) {
        match validators.judge(&request.headers) {
            Verdict::Holds => {}
            Verdict::NotModified => {
                without_body(parts, StatusCode::NOT_MODIFIED);
                return Ok(Body::empty());
            }
            Verdict::Failed => {
                without_body(parts, StatusCode::PRECONDITION_FAILED);
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                return Ok(Body::empty());
            }
        }
    }
    if let Some((coding, leave)) = flying {
        let plain = Plain::new(opened.file, [Part::Range(0..opened.length)]);
        let Some(chunks) = Compressed::new(plain, coding, leave) else { return Ok(Body::empty()) };
        return Ok(Body::file(FileBody::new(Box::new(chunks), None, patience)));
    }
    headers::set(&mut parts.headers, ACCEPT_RANGES, HeaderValue::from_static("bytes"))?;
    let stands = ranged && validators.range_stands(&request.headers, now, coding.is_some());
    let ranges = if stands { range::of(&request.headers, opened.length) } else { Ranges::Whole };
    partial(parts, opened, ranges, &content_type, patience)
}

/// Sets what belongs to the file instead of the upstream's body, and gives its type: the upstream's
/// word counts, else the extension's.
fn describe(headers: &mut HeaderMap, opened: &Opened) -> Result<HeaderValue, Fault> {
    for name in OF_OLD_BODY {
        headers.remove(name);
    }
    if let Some(content_type) = headers.get(CONTENT_TYPE) {
        return Ok(content_type.clone());
    }
    let guessed = mime_guess::from_path(&opened.name).first_raw();
    let content_type = HeaderValue::from_static(guessed.unwrap_or("application/octet-stream"));
    headers::set(headers, CONTENT_TYPE, content_type.clone())?;
    Ok(content_type)
}

/// Sets the validators that the upstream has not set, and gives those that hold.
///
/// The tag is made of the time of the last change, in nanoseconds, and of the length. One that is
/// compressed while it is sent is weak: its bytes may differ another time. So is the upstream's own
/// for anything but the plain file, of which it does not know.
fn validate(
    fields: &mut HeaderMap,
    opened: &Opened,
    flying: bool,
    now: SystemTime,
) -> Result<Validators, Fault> {
    let weaken = |tag: &str| HeaderValue::try_from(format!("W/{tag}")).ok();
    let etag = match fields.get(ETAG) {
        Some(given) if flying || opened.coding.is_some() => {
            let weak = given.as_bytes().starts_with(b"W/");
            given.to_str().ok().and_then(|tag| if weak { None } else { weaken(tag) })
        }
        Some(_) => None,
        None => {
            let Opened { modified, nanoseconds, length, coding, .. } = opened;
            let coding = coding.map(|coding| format!("-{}", coding.name())).unwrap_or_default();
            let tag = format!("\"{modified:x}.{nanoseconds:x}-{length:x}{coding}\"");
            if flying { weaken(&tag) } else { HeaderValue::try_from(tag).ok() }
        }
    };
    if let Some(etag) = etag {
        headers::set(fields, ETAG, etag)?;
    }
    if !fields.contains_key(LAST_MODIFIED)
        && let Some(modified) = time(opened.modified)
    {
        // Nothing is newer than its response (RFC 9110, 8.8.2.1).
        let text = httpdate::fmt_http_date(modified.min(now));
        if let Ok(value) = HeaderValue::try_from(text) {
            headers::set(fields, LAST_MODIFIED, value)?;
        }
    }
    let modified = fields.get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let modified = modified.and_then(|text| httpdate::parse_http_date(text).ok());
    Ok(Validators { etag: fields.get(ETAG).cloned(), modified })
}

/// Seconds since 1970 as a time, if HTTP can tell it.
fn time(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds.min(LAST_SECOND)).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Has caches tell apart what clients accept.
fn vary(fields: &mut HeaderMap) -> Result<(), Fault> {
    let known = fields.get_all(VARY).iter().filter_map(|value| value.to_str().ok()).any(|list| {
        let mut names = list.split(',').map(str::trim);
        names.any(|name| name == "*" || name.eq_ignore_ascii_case("accept-encoding"))
    });
    if known {
        return Ok(());
    }
    headers::append(fields, VARY, HeaderValue::from_static("Accept-Encoding"))
}

fn has_range(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::RANGE)
}

fn set_status(parts: &mut response::Parts, status: StatusCode) {
    parts.status = status;
    // The upstream's own words for the status before.
    parts.extensions.remove::<Reason>();
}

/// Makes it an answer that says something about the file, and has none of it.
fn without_body(parts: &mut response::Parts, status: StatusCode) {
    set_status(parts, status);
    for name in [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT_RANGES] {
        parts.headers.remove(name);
    }
}

/// The whole file or parts of it, as they are.
fn partial(
    parts: &mut response::Parts,
    opened: Opened,
    ranges: Ranges,
    content_type: &HeaderValue,
    patience: Duration,
) -> Result<Body, Fault> {
    let total = opened.length;
    let ranges = match ranges {
        Ranges::Whole => std::iter::once(0..total).collect(),
        Ranges::None => {
            without_body(parts, StatusCode::RANGE_NOT_SATISFIABLE);
            set_text(&mut parts.headers, CONTENT_RANGE, format!("bytes */{total}"))?;
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            return Ok(Body::empty());
        }
        Ranges::Parts(ranges) => {
            set_status(parts, StatusCode::PARTIAL_CONTENT);
            ranges
        }
    };
    let (length, pieces) = match &*ranges {
        [range] => {
            if parts.status == StatusCode::PARTIAL_CONTENT {
                set_text(&mut parts.headers, CONTENT_RANGE, content_range(range, total))?;
            }
            (range.end - range.start, vec![Part::Range(range.clone())])
        }
        ranges => {
            let boundary = boundary();
            let kind = format!("multipart/byteranges; boundary={boundary}");
            set_text(&mut parts.headers, CONTENT_TYPE, kind)?;
            multipart(ranges, total, content_type, &boundary)
        }
    };
    set_text(&mut parts.headers, CONTENT_LENGTH, length.to_string())?;
    let chunks = Box::new(Plain::new(opened.file, pieces));
    Ok(Body::file(FileBody::new(chunks, Some(length), patience)))
}

/// Several parts in one body (RFC 9110, 14.6), and its length.
fn multipart(
    ranges: &[Range<u64>],
    total: u64,
    content_type: &HeaderValue,
    boundary: &str,
) -> (u64, Vec<Part>) {
    let (mut length, mut pieces) = (0, Vec::new());
    let text = |text: Vec<u8>, length: &mut u64| {
        *length += u64::try_from(text.len()).unwrap_or_default();
        Part::Text(Bytes::from(text))
    };
    for (place, range) in ranges.iter().enumerate() {
        let start = if place == 0 { "" } else { "\r\n" };
        let mut head = format!("{start}--{boundary}\r\nContent-Type: ").into_bytes();
        head.extend_from_slice(content_type.as_bytes());
        let range_of = content_range(range, total);
        head.extend_from_slice(format!("\r\nContent-Range: {range_of}\r\n\r\n").as_bytes());
        pieces.push(text(head, &mut length));
        length += range.end - range.start;
        pieces.push(Part::Range(range.clone()));
    }
    pieces.push(text(format!("\r\n--{boundary}--\r\n").into_bytes(), &mut length));
    (length, pieces)
}

fn content_range(range: &Range<u64>, total: u64) -> String {
    format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1))
}

/// What no file has in it, but for one made by somebody who guesses 128 bits.
fn boundary() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

fn set_text(headers: &mut HeaderMap, name: HeaderName, text: String) -> Result<(), Fault> {
    let value = HeaderValue::try_from(text).map_err(Fault::Value)?;
    headers::set(headers, name, value)
}
