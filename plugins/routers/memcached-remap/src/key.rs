//! What the store is asked for, made from what the client addressed.
//!
//! The key is `scheme://host:port/`. As Traffic Server's page describes it, host and port are those
//! that the client named, and without a port it is the scheme's. As its plugin made it, the Host
//! field stands in it as the client sent it, its port included, and what follows is the port of the
//! target's URL: a target in origin form has none, so it is the scheme's. The authority of a target
//! in absolute form had taken the place of Host by then, unless Max-Forwards was 0, and a request
//! that opens a WebSocket the scheme `ws` or `wss`.

use linkspan_plugin_common::authority;
use serde::Deserialize;

/// The longest key of memcached.
const LONGEST: usize = 250;

/// How keys are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Style {
    /// As the plugin's page describes them, with the host in lower case.
    #[default]
    Seed,
    /// Byte for byte as Traffic Server's plugin made them.
    Ats,
}

/// What a client addressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressed<'r> {
    /// How the client reached the listener: `http` or `https`.
    pub(crate) scheme: &'r str,
    /// The host, with a port if the client named one.
    pub(crate) authority: &'r str,
    /// Scheme and authority of a target in absolute form.
    pub(crate) origin: Option<&'r str>,
}

/// What only Traffic Server looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Further {
    /// Whether the request opens a WebSocket.
    pub(crate) websocket: bool,
    /// The Host field, where the authority of the target does not take its place.
    pub(crate) own_host: Option<String>,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The client named no host.
    NoHost,
    /// No store can hold it: too long, or with blanks or controls.
    Unstorable,
}

impl Style {
    /// The key of a request. `further` is asked for what a style needs beyond `addressed`.
    pub(crate) fn key(
        self,
        addressed: &Addressed<'_>,
        further: impl FnOnce() -> Further,
    ) -> Result<String, NoKey> {
        let further = if self == Self::Ats { further() } else { Further::default() };
        let authority = further.own_host.as_deref().unwrap_or(addressed.authority);
        let (host, port) = authority::split(authority);
        if host.is_empty() {
            return Err(NoKey::NoHost);
        }
        // What is longer than any key is not copied.
        if authority.len() > LONGEST {
            return Err(NoKey::Unstorable);
        }
        let absolute = addressed.origin.and_then(|origin| origin.split_once("://"));
        let scheme = absolute.map_or(addressed.scheme, |(scheme, _)| scheme);
        let default = if scheme == "https" { 443 } else { 80 };
        let key = match self {
            Self::Seed => {
                let port = port.and_then(number).unwrap_or(default);
                // A name that says that it is complete is the same one.
                let name = host.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(host);
                format!("{scheme}://{}:{port}/", name.to_ascii_lowercase())
            }
            Self::Ats => {
                let scheme = match (scheme, further.websocket) {
                    ("https", true) => "wss",
                    (_, true) => "ws",
                    (scheme, false) => scheme,
                };
                let of_url = absolute.and_then(|(_, authority)| authority::split(authority).1);
                let port = of_url.and_then(number).unwrap_or(default);
                format!("{scheme}://{authority}:{port}/")
            }
        };
        let storable = key.len() <= LONGEST && key.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        if storable { Ok(key) } else { Err(NoKey::Unstorable) }
    }
}

/// A port; the host has seen to it that it is one.
fn number(port: &str) -> Option<u16> {
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scheme of the listener, Host, origin of an absolute target, and the keys of both styles.
    const TABLE: [(&str, &str, Option<&str>, &str, &str); 16] = [
        ("http", "127.0.0.1", None, "http://127.0.0.1:80/", "http://127.0.0.1:80/"),
        ("http", "127.0.0.1:8888", None, "http://127.0.0.1:8888/", "http://127.0.0.1:8888:80/"),
        ("http", "a.test", Some("http://a.test"), "http://a.test:80/", "http://a.test:80/"),
        (
            "http",
            "a.test:8080",
            Some("http://a.test:8080"),
            "http://a.test:8080/",
            "http://a.test:8080:8080/",
        ),
        (
            "http",
            "a.test:80",
            Some("http://a.test:80"),
            "http://a.test:80/",
            "http://a.test:80:80/",
        ),
        ("http", "a.test:80", None, "http://a.test:80/", "http://a.test:80:80/"),
        ("http", "WWW.A.Test", None, "http://www.a.test:80/", "http://WWW.A.Test:80/"),
        ("http", "A.test.", None, "http://a.test:80/", "http://A.test.:80/"),
        ("http", "a.test.:80", None, "http://a.test:80/", "http://a.test.:80:80/"),
        ("http", "a.test..", None, "http://a.test.:80/", "http://a.test..:80/"),
        ("https", "a.test", None, "https://a.test:443/", "https://a.test:443/"),
        ("https", "a.test:8443", None, "https://a.test:8443/", "https://a.test:8443:443/"),
        ("http", "a.test", Some("https://a.test"), "https://a.test:443/", "https://a.test:443/"),
        ("http", "[::1]", None, "http://[::1]:80/", "http://[::1]:80/"),
        ("http", "[::1]:8080", None, "http://[::1]:8080/", "http://[::1]:8080:80/"),
        ("http", "a.test:080", None, "http://a.test:80/", "http://a.test:080:80/"),
    ];

    fn of(
        style: Style,
        scheme: &str,
        authority: &str,
        origin: Option<&str>,
    ) -> Result<String, NoKey> {
        style.key(&Addressed { scheme, authority, origin }, Further::default)
    }

    #[test]
    fn both_styles_make_the_keys_of_the_table() {
        for (scheme, authority, origin, seed, ats) in TABLE {
            let case = format!("{scheme} {authority} {origin:?}");
            assert_eq!(of(Style::Seed, scheme, authority, origin).as_deref(), Ok(seed), "{case}");
            assert_eq!(of(Style::Ats, scheme, authority, origin).as_deref(), Ok(ats), "{case}");
        }
    }

    #[test]
    fn websockets_have_a_scheme_of_their_own_in_traffic_server_only() {
        for (scheme, seed, ats) in [
            ("http", "http://a.test:80/", "ws://a.test:80/"),
            ("https", "https://a.test:443/", "wss://a.test:443/"),
        ] {
            let addressed = Addressed { scheme, authority: "a.test", origin: None };
            let further = || Further { websocket: true, own_host: None };
            assert_eq!(Style::Seed.key(&addressed, further).as_deref(), Ok(seed));
            assert_eq!(Style::Ats.key(&addressed, further).as_deref(), Ok(ats));
        }
    }

    #[test]
    fn a_host_that_the_target_leaves_alone_is_in_the_key_of_traffic_server_only() {
        let origin = Some("http://a.test:8080");
        let addressed = Addressed { scheme: "http", authority: "a.test:8080", origin };
        for (host, ats) in [
            ("B.test", Ok("http://B.test:8080/")),
            ("b.test:81", Ok("http://b.test:81:8080/")),
            ("", Err(NoKey::NoHost)),
        ] {
            let further = || Further { websocket: false, own_host: Some(host.to_owned()) };
            let seed = Ok("http://a.test:8080/");
            assert_eq!(Style::Seed.key(&addressed, further).as_deref(), seed);
            assert_eq!(Style::Ats.key(&addressed, further).as_deref(), ats.as_ref().copied());
        }
    }

    #[test]
    fn what_no_store_can_hold_makes_no_key() {
        for style in [Style::Seed, Style::Ats] {
            assert_eq!(of(style, "http", "", None), Err(NoKey::NoHost));
            assert_eq!(of(style, "http", ":80", None), Err(NoKey::NoHost));
            for authority in [
                "a b".to_owned(),
                "a\r\nflush_all".to_owned(),
                "a\tb".to_owned(),
                "a\u{7f}".to_owned(),
                "h".repeat(300),
                "h".repeat(250 - "http://:80/".len() + 1),
            ] {
                assert_eq!(of(style, "http", &authority, None), Err(NoKey::Unstorable));
            }
            let longest = "h".repeat(250 - "http://:80/".len());
            assert_eq!(of(style, "http", &longest, None).map(|key| key.len()), Ok(250));
        }
    }

    proptest! {
        #[test]
        fn a_key_is_always_one_that_a_store_takes(
            authority in "\\PC{0,20}|[a-zA-Z0-9.:\\[\\] \\r\\n-]{0,270}",
            https: bool,
            absolute: bool,
            websocket: bool,
            own_host in proptest::option::of("\\PC{0,20}"),
        ) {
            let further = Further { websocket, own_host };
            let scheme = if https { "https" } else { "http" };
            let origin = format!("{scheme}://{authority}");
            let origin = absolute.then_some(origin.as_str());
            let addressed = Addressed { scheme, authority: &authority, origin };
            for style in [Style::Seed, Style::Ats] {
                let Ok(key) = style.key(&addressed, || further.clone()) else { continue };
                prop_assert!(key.len() <= 250 && key.ends_with('/'), "{}", key);
                prop_assert!(key.bytes().all(|byte| byte > b' ' && byte != 0x7f), "{}", key);
            }
        }

        /// Case, a dot at the end and a port that is the scheme's make no other key, and a path never does.
        #[test]
        fn hosts_that_are_the_same_have_the_same_key(host in "[a-zA-Z0-9.-]{1,20}") {
            let key = of(Style::Seed, "http", &host, None).unwrap();
            let name = host.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(&host);
            prop_assert_eq!(&key, &format!("http://{}:80/", name.to_lowercase()));
            prop_assert_eq!(&of(Style::Seed, "http", &host.to_uppercase(), None).unwrap(), &key);
            let with_port = format!("{host}:80");
            prop_assert_eq!(&of(Style::Seed, "http", &with_port, None).unwrap(), &key);
        }
    }
}
