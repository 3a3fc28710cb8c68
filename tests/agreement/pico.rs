//! Requests as picohttpparser reads them, which is h2o's.

#![expect(unsafe_code, reason = "it is C, and has no other face")]

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::{ptr, slice};

use picohttpparser_sys::{
    phr_chunked_decoder, phr_decode_chunked, phr_header, phr_parse_headers, phr_parse_request,
};

use super::{End, Field, Request, Seen, text};

const FIELDS: usize = 256;
/// What it says of what is not complete.
const PART: isize = -2;

pub(super) fn parse(bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut request = Request::default();
        match read(&mut request, rest) {
            Ok(length) => rest = rest.get(length..).unwrap_or_default(),
            Err(code) => {
                seen.end = if code == PART { End::Part } else { End::Refused(code.to_string()) };
                break;
            }
        }
        seen.requests.push(request);
    }
    seen
}

/// Reads a request, and says how many bytes it has.
fn read(request: &mut Request, bytes: &[u8]) -> Result<usize, isize> {
    let head = head(request, bytes)?;
    let rest = bytes.get(head..).unwrap_or_default();
    let coding = request.values("transfer-encoding").concat();
    if coding.eq_ignore_ascii_case("chunked") {
        return Ok(head + chunks(request, rest)?);
    }
    let digits = request.values("content-length").concat();
    let length = digits.bytes().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    request.body = text(rest.get(..length).ok_or(PART)?);
    Ok(head + length)
}

fn head(request: &mut Request, bytes: &[u8]) -> Result<usize, isize> {
    let (mut method, mut method_length) = (ptr::null(), 0);
    let (mut path, mut path_length) = (ptr::null(), 0);
    let mut minor = 0;
    let mut fields = [phr_header::default(); FIELDS];
    let mut count = FIELDS;
    // SAFETY: it reads `bytes` and as many fields as it is told of; what it writes outlives the call.
    let length = unsafe {
        phr_parse_request(
            bytes.as_ptr().cast(),
            bytes.len(),
            &raw mut method,
            &raw mut method_length,
            &raw mut path,
            &raw mut path_length,
            &raw mut minor,
            fields.as_mut_ptr(),
            &raw mut count,
            0,
        )
    };
    let length = usize::try_from(length).map_err(|_negative| length as isize)?;
    request.method = text(view(method, method_length));
    request.target = text(view(path, path_length));
    request.old = minor == 0;
    request.fields = fields.iter().take(count).map(field).collect();
    Ok(length)
}

/// Reads a body of chunks with its trailers, and says how many bytes they have.
fn chunks(request: &mut Request, bytes: &[u8]) -> Result<usize, isize> {
    let mut data = bytes.to_vec();
    let mut size = data.len();
    // SAFETY: it is what C calls zero-filled, which is how it is to be at first.
    let mut decoder: phr_chunked_decoder = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: it rewrites `data`, and no more than `size` bytes of it.
    let left =
        unsafe { phr_decode_chunked(&raw mut decoder, data.as_mut_ptr().cast(), &raw mut size) };
    let left = usize::try_from(left).map_err(|_negative| left)?;
    data.truncate(size);
    request.body = text(&data);

    let rest = bytes.get(bytes.len() - left..).unwrap_or_default();
    let mut fields = [phr_header::default(); FIELDS];
    let mut count = FIELDS;
    // SAFETY: as for a head.
    let length = unsafe {
        phr_parse_headers(rest.as_ptr().cast(), rest.len(), fields.as_mut_ptr(), &raw mut count, 0)
    };
    let length = usize::try_from(length).map_err(|_negative| length as isize)?;
    request.trailers = fields.iter().take(count).map(field).collect();
    Ok(bytes.len() - left + length)
}

fn field(header: &phr_header) -> Field {
    let name = text(view(header.name, header.name_len));
    (name.to_ascii_lowercase(), text(view(header.value, header.value_len).trim_ascii()))
}

/// What it points to.
fn view<'b>(start: *const c_char, length: usize) -> &'b [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: what it gives lies in the bytes that it was given, which the callers hold for longer.
    unsafe { slice::from_raw_parts(start.cast::<u8>(), length) }
}
