//! The header fields in which an upstream speaks of itself: what of a value is a URL, a domain or a
//! path, and what becomes of it. Whatever is not understood stays as it is.

use crate::config::{Config, bare};
use crate::url::Reference;
use crate::way::{Told, Way};

/// What a `Set-Cookie` may say behind the cookie.
const ATTRIBUTES: [&str; 14] = [
    "comment",
    "commenturl",
    "discard",
    "domain",
    "expires",
    "httponly",
    "max-age",
    "partitioned",
    "path",
    "port",
    "priority",
    "samesite",
    "secure",
    "version",
];

/// Location, Content-Location and URI: nothing but a URL.
pub(crate) fn url(value: &[u8], config: &Config, way: &Way<impl Told>) -> Option<Vec<u8>> {
    let reference = Reference::parse(value)?;
    let mapped = config.mapped(&reference, way).or_else(|| {
        if !config.automatic || !way.is_own(&reference) {
            return None;
        }
        let path = way.back(reference.path);
        // A path alone that the way has not changed needs no changing back.
        let path = path.or_else(|| reference.base.map(|_| reference.path.to_vec()))?;
        Some(way.url(&reference, &path))
    });
    mapped.filter(|mapped| mapped != value)
}

/// Refresh: seconds and perhaps a URL, `5; url=/next`, in the spellings that browsers take.
pub(crate) fn refresh(value: &[u8], config: &Config, way: &Way<impl Told>) -> Option<Vec<u8>> {
    let separator = value.iter().position(|byte| matches!(byte, b';' | b','))?;
    let seconds = value.get(..separator)?.trim_ascii();
    if seconds.is_empty() || !seconds.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let text = value.get(separator + 1..)?.trim_ascii();
    let named = text.split_at_checked(3).filter(|(name, _)| name.eq_ignore_ascii_case(b"url"));
    let named = named.and_then(|(_, rest)| rest.trim_ascii_start().strip_prefix(b"="));
    let text = named.map_or(text, <[u8]>::trim_ascii_start);
    let quoted = text.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''));
    let (text, tail) = match quoted {
        Some((quote, inside)) => {
            let end = inside.iter().position(|byte| byte == quote).unwrap_or(inside.len());
            inside.split_at_checked(end)?
        }
        None => (text, &[][..]),
    };
    let mapped = url(text, config, way)?;
    // What stands before and behind the URL stays; a value has no blanks at its end.
    let before = value.len().checked_sub(text.len() + tail.len())?;
    Some([value.get(..before)?, &mapped, tail].concat())
}

/// Set-Cookie: its Domain and Path.
pub(crate) fn set_cookie(value: &[u8], config: &Config, way: &Way<impl Told>) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b';').collect();
    let cookie = usize::from(!cookie_comes_last(&parts));
    let names = parts.iter().map(|part| split(part).0);
    // A browser takes these only as they are: bound to their host, and to all of it.
    if names.into_iter().any(|name| name.starts_with(b"__Host-")) {
        return None;
    }
    let mut changed = false;
    let parts: Vec<Vec<u8>> = parts
        .into_iter()
        .enumerate()
        .map(|(place, part)| {
            let rewritten = if place < cookie { None } else { attribute(part, config, way) };
            changed |= rewritten.is_some();
            rewritten.unwrap_or_else(|| part.to_vec())
        })
        .collect();
    changed.then(|| parts.join(&b';'))
}

/// The first part is the cookie, whatever its name. Only where it is called like an attribute and
/// one that follows is not, the sender has put the attributes first.
fn cookie_comes_last(parts: &[&[u8]]) -> bool {
    let is = |name: &[u8], all: &[&str]| {
        all.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let mut names = parts.iter().map(|part| split(part));
    names.next().is_some_and(|(first, _)| is(first, &["domain", "path"]))
        && names.any(|(name, value)| value.is_some() && !is(name, &ATTRIBUTES))
}

/// The name and value of a part, without blanks.
fn split(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    let at = part.iter().position(|byte| *byte == b'=');
    let (name, value) = match at.and_then(|at| part.split_at_checked(at)) {
        Some((name, value)) => (name, value.get(1..)),
        None => (part, None),
    };
    (name.trim_ascii(), value.map(<[u8]>::trim_ascii))
}

fn attribute(part: &[u8], config: &Config, way: &Way<impl Told>) -> Option<Vec<u8>> {
    let (name, value) = split(part);
    let value = value?;
    let inside = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let inside = inside.unwrap_or(value);
    let mapped = if name.eq_ignore_ascii_case(b"domain") {
        domain(inside, config, way)?
    } else if name.eq_ignore_ascii_case(b"path") {
        path(inside, config, way)?
    } else {
        return None;
    };
    if mapped == inside {
        return None;
    }
    let start = part.iter().position(|byte| *byte == b'=')?;
    let blanks = part.get(start + 1..)?.iter().take_while(|byte| byte.is_ascii_whitespace());
    let before = part.get(..=start + blanks.count())?;
    let quotes: (&[u8], &[u8]) =
        if inside.len() == value.len() { (b"", b"") } else { (b"\"", b"\"") };
    // `before` ends with the blanks, and with the equals sign where there are none.
    Some([before, quotes.0, &mapped, quotes.1].concat())
}

fn domain(domain: &[u8], config: &Config, way: &Way<impl Told>) -> Option<Vec<u8>> {
    let domain = bare(str::from_utf8(domain).ok()?);
    if domain.is_empty() {
        return None;
    }
    let known = config.domain(&domain).map(|to| to.as_bytes().to_vec());
    known.or_else(|| {
        let front = way.front().host();
        (config.automatic && !front.is_empty() && way.is_own_host(&domain))
            .then(|| front.as_bytes().to_vec())
    })
}

fn path(path: &[u8], config: &Config, way: &Way<impl Told>) -> Option<Vec<u8>> {
    if !path.starts_with(b"/") {
        return None;
    }
    let found = || config.automatic.then(|| way.back(path))?;
    let mut mapped = config.path(path).or_else(found)?;
    // The cookie of a whole site is one for `/app` too, which a path of `/app/` would not match.
    if path == b"/" && mapped.len() > 1 && mapped.ends_with(b"/") {
        mapped.pop();
    }
    Some(mapped)
}

#[cfg(test)]
mod tests;
