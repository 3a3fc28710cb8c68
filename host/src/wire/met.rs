//! The names of fields that were met lately: a few dozen are nearly all that there are, and making one of
//! its bytes costs as much as reading its line.

use std::cell::RefCell;

use http::HeaderName;
use http::header::InvalidHeaderName;

/// Longer ones are not kept.
const NAME_BYTES: usize = 32;

/// How many are kept: whoever has the place of another takes it.
const PLACES: usize = 128;

thread_local! {
    static MET: RefCell<[Met; PLACES]> = const { RefCell::new([const { Met::NONE }; PLACES]) };
}

/// A name, and the bytes that it was made of: clients differ in which letters are small.
struct Met {
    length: usize,
    bytes: [u8; NAME_BYTES],
    name: Option<HeaderName>,
}

impl Met {
    const NONE: Self = Self { length: 0, bytes: [0; NAME_BYTES], name: None };
}

/// The name of a field.
///
/// # Errors
///
/// That it is none.
pub(super) fn name(bytes: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let [first, .., last] = bytes else { return HeaderName::from_bytes(bytes) };
    if bytes.len() > NAME_BYTES {
        return HeaderName::from_bytes(bytes);
    }
    let middle = bytes.get(bytes.len() / 2).copied().unwrap_or_default();
    let mixed = usize::from(*first) ^ usize::from(*last) << 2 ^ usize::from(middle) << 1;
    let place = (mixed ^ bytes.len() << 3) % PLACES;
    MET.with_borrow_mut(|met| {
        let Some(met) = met.get_mut(place) else { return HeaderName::from_bytes(bytes) };
        if let Some(name) = &met.name
            && met.bytes.get(..met.length) == Some(bytes)
        {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(bytes)?;
        met.length = bytes.len();
        if let Some(room) = met.bytes.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        met.name = Some(name.clone());
        Ok(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_would_be_whoever_was_met_before() {
        let long = "x".repeat(NAME_BYTES + 1);
        let names =
            ["Host", "host", "HOST", "x", "", "Content-Length", "X-Own", "x-own", "a b", &long];
        // Those of the same length, with few different bytes, meet in few places.
        let alike: Vec<String> = (0..300).map(|n| format!("x-{n:03}-a")).collect();
        for _ in 0..3 {
            for name in names.into_iter().chain(alike.iter().map(String::as_str)) {
                let made = HeaderName::from_bytes(name.as_bytes());
                assert_eq!(super::name(name.as_bytes()).ok(), made.ok(), "{name}");
            }
        }
    }
}
