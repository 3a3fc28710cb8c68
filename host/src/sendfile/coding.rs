//! Content codings: which a client accepts, and which types are worth one. Pure.

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue};

use crate::config::Compression;

/// How the bytes of a file are coded (RFC 9110, 8.4.1; RFC 7932; RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    /// All of them, what packs best first.
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// As Content-Encoding has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the names of files end with that are coded so.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_called(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name())
            || self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }
}

/// The codings that a client would rather have than none, the best first; none of them where files
/// are sent as they are, or the upstream says that they have to be.
pub(super) fn accepted(
    request: &HeaderMap,
    response: &HeaderMap,
    compression: Compression,
) -> Vec<Coding> {
    if compression == Compression::Off || must_stay(response) {
        return Vec::new();
    }
    let listed: Vec<_> = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(weighted)
        .collect();
    let weight = |is: &dyn Fn(&str) -> bool| {
        listed.iter().find(|(name, _)| is(name)).map(|(_, weight)| *weight)
    };
    let any = weight(&|name| name == "*");
    // Without a word on it, whatever the client names is better than none (RFC 9110, 12.5.3).
    let none = weight(&|name| name.eq_ignore_ascii_case("identity")).unwrap_or(0);
    let mut weighted: Vec<_> = Coding::ALL
        .into_iter()
        .filter_map(|coding| {
            let weight = weight(&|name| coding.is_called(name)).or(any)?;
            (weight > 0 && weight >= none).then_some((coding, weight))
        })
        .collect();
    // Those of the same weight stay in their order.
    weighted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    weighted.into_iter().map(|(coding, _)| coding).collect()
}

/// Whether the upstream forbids to make anything else of it (RFC 9111, 5.2.2.6).
fn must_stay(response: &HeaderMap) -> bool {
    let directives = response.get_all(CACHE_CONTROL).iter();
    let mut directives =
        directives.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"))
}

/// A member of Accept-Encoding, its weight in thousandths; none if it is malformed.
fn weighted(member: &str) -> Option<(&str, u16)> {
    let mut parts = member.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let Some(weight) = parts.next() else { return Some((name, 1_000)) };
    let weight = weight.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim_start();
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" if digits => Some((name, thousandths)),
        "1" if digits && thousandths == 0 => Some((name, 1_000)),
        _ => None,
    }
}

/// Whether files of a type get smaller: text, in the widest sense.
pub(super) fn is_compressible(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else { return false };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            &*kind,
            "application/javascript"
                | "application/json"
                | "application/manifest"
                | "application/rtf"
                | "application/sql"
                | "application/toml"
                | "application/vnd.ms-fontobject"
                | "application/wasm"
                | "application/x-javascript"
                | "application/x-ndjson"
                | "application/x-yaml"
                | "application/xml"
                | "application/yaml"
                | "font/otf"
                | "font/ttf"
                | "image/bmp"
                | "image/vnd.microsoft.icon"
                | "image/x-icon"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(accept: &[&str], response: &HeaderMap, compression: Compression) -> String {
        let fields = accept.iter().map(|value| (ACCEPT_ENCODING, value.parse().unwrap()));
        let accepted = accepted(&fields.collect(), response, compression);
        accepted.iter().map(|coding| coding.name()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_client_likes_best_comes_first() {
        for (accept, expected) in [
            (&[][..], ""),
            (&[""], ""),
            (&["gzip"], "gzip"),
            (&["X-GZIP"], "gzip"),
            (&["gzip, deflate, br, zstd"], "br zstd gzip"),
            (&["gzip", "br"], "br gzip"),
            (&["br;q=0.5, gzip;q=0.8"], "gzip br"),
            (&["br;q=0.5, gzip;q=0.8, identity;q=0.1"], "gzip br"),
            (&["br;q=0.5, gzip;q=0.8, identity;q=0.6"], "gzip"),
            (&["gzip;q=0"], ""),
            (&["*"], "br zstd gzip"),
            (&["br;q=0, *"], "zstd gzip"),
            (&["gzip;q=1.000"], "gzip"),
            (&["gzip;q=1.5"], ""),
            (&["gzip;q=x, br"], "br"),
            (&["identity, gzip;q=0.5"], ""),
            (&["identity;q=0, gzip;q=0.5"], "gzip"),
            (&["gzip ; q=0.001 , identity;q=0"], "gzip"),
        ] {
            let names = names(accept, &HeaderMap::new(), Compression::OnTheFly);
            assert_eq!(names, expected, "{accept:?}");
        }
    }

    #[test]
    fn nothing_is_coded_that_must_not_be() {
        let response =
            |value: &str| HeaderMap::from_iter([(CACHE_CONTROL, value.parse().unwrap())]);
        let all = Compression::Precompressed;
        assert_eq!(names(&["br"], &response("private, max-age=3"), all), "br");
        assert_eq!(names(&["br"], &response("private, No-Transform"), all), "");
        assert_eq!(names(&["br"], &HeaderMap::new(), Compression::Off), "");
    }

    #[test]
    fn text_is_worth_it_and_pictures_are_not() {
        for (kind, worth) in [
            ("text/html; charset=utf-8", true),
            ("Application/JSON", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("video/mp4", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_compressible(&HeaderValue::from_static(kind)), worth, "{kind}");
        }
    }
}
