//! The server that a location names: scheme, host and port are the configuration's to say.
//!
//! A client that could fill in a host, or end one early, would have this server send people to it. So
//! the end of a host stands in the template, and what a group gives is a label or more of its
//! beginning, or follows behind it, with a slash.

use crate::template::Piece;

/// Whether a template begins with a scheme or `//`, and the host may go on behind its first literal.
pub(crate) fn begins(pieces: &[Piece]) -> bool {
    matches!(pieces.first(), Some(Piece::Text(first)) if after_scheme(first).is_some_and(|it| !ends(it)))
}

/// Whether the authority may go on behind what a group gave in it, between what stands before and
/// the piece that follows. Nothing if it cannot be there.
pub(crate) fn stays_open(before: &str, filled: &str, after: Option<&Piece>) -> Option<bool> {
    let is_label =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if begins_label(before) {
        let labels = match after {
            Some(Piece::Text(after)) if after.starts_with('.') => filled.split('.'),
            _ if filled.contains('.') => return None,
            _ => filled.split('.'),
        };
        return labels.clone().all(|label| !label.is_empty() && is_label(label)).then_some(true);
    }
    if ends_host(after) {
        return (filled.is_empty() || filled.starts_with('/')).then_some(filled.is_empty());
    }
    is_label(filled).then_some(true)
}

/// Whether no group of a template can name a server, or what is wrong.
pub(crate) fn check(pieces: &[Piece]) -> Result<(), String> {
    let Some((Piece::Text(first), others)) = pieces.split_first() else {
        return check_relative(pieces);
    };
    let Some(authority) = after_scheme(first) else {
        let scheme = first.split(['/', '?', '#']).next().and_then(|text| text.split_once(':'));
        return match scheme {
            Some((scheme, _))
                if ["http", "https"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) =>
            {
                Err(format!("`{scheme}:` goes with `//` and a host"))
            }
            Some(_) => Ok(()),
            None if first.starts_with('/') => Ok(()),
            None => check_relative(pieces),
        };
    };
    if authority.starts_with(['/', '?', '#']) {
        return Err("a host follows `//`".to_owned());
    }
    if ends(authority) {
        return Ok(());
    }
    group_in(first, others)
}

/// Whether a host that begins in a literal ends in one of those that follow, or what is wrong.
fn group_in(first: &str, others: &[Piece]) -> Result<(), String> {
    let is_end = |piece: &Piece| matches!(piece, Piece::Text(text) if ends(text));
    let within = others.iter().position(is_end).unwrap_or(others.len());
    let groups = others.iter().take(within).enumerate();
    let groups = groups.filter(|(_, piece)| matches!(piece, Piece::Group(_)));
    let mut before = first;
    let mut count = 0;
    let mut last = None;
    for (place, _) in groups {
        count += 1;
        let texts = others.iter().take(place).rev();
        let mut texts = texts.filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Group(_) => None,
        });
        before = texts.next().unwrap_or(first);
        last = others.get(place + 1);
    }
    let named = count > 1 || before.ends_with(['/', '@']);
    if count > 0 && begins_label(before) && !before.ends_with(':') && ends_host(last) && named {
        return Err("what is matched would be the host, expected its end in the text, as in \
                    `https://$1.example.com/`"
            .to_owned());
    }
    Ok(())
}

/// Whether a template that names no scheme gets none by what stands further on.
fn check_relative(pieces: &[Piece]) -> Result<(), String> {
    for piece in pieces {
        match piece {
            Piece::Text(text) if has_scheme(text) => {
                return Err(
                    "a scheme stands before its `:` as it is, and is not matched".to_owned()
                );
            }
            Piece::Text(text) if ends(text) => break,
            Piece::Text(_) | Piece::Group(_) => {}
        }
    }
    Ok(())
}

/// What follows `//`, or a scheme and `://`, at the beginning of a text.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, authority) = text.split_once("//")?;
    let is_scheme = |text: &str| text.ends_with(':') && !text.contains(['/', '?', '#']);
    (scheme.is_empty() || is_scheme(scheme)).then_some(authority)
}

/// Whether a text reads as if it began with a scheme.
pub(crate) fn has_scheme(text: &str) -> bool {
    text.split(['/', '?', '#']).next().is_some_and(|beginning| beginning.contains(':'))
}

/// Whether an authority is over in a text.
pub(crate) fn ends(text: &str) -> bool {
    text.contains(['/', '?', '#'])
}

/// Whether a label of the host, or the port, begins behind a text.
fn begins_label(text: &str) -> bool {
    text.ends_with(['/', '.', '@', ':'])
}

/// Whether the host is over where that follows, or may be.
fn ends_host(after: Option<&Piece>) -> bool {
    match after {
        Some(Piece::Text(text)) => text.starts_with(['/', '?', '#', ':']),
        Some(Piece::Group(_)) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::template::Template;

    #[test]
    fn no_match_names_the_server() {
        for (location, matched, expected) in [
            ("https://a.test$1", "", Some("https://a.test")),
            ("https://a.test$1", "/x", Some("https://a.test/x")),
            ("https://a.test$1", "@evil.test", None),
            ("https://a.test$1", ".evil.test/", None),
            ("https://a.test$1", ":80", None),
            ("https://a.test$1", "%2Fx", None),
            ("https://a.test$1$1", "/x", Some("https://a.test/x/x")),
            ("https://a.test$1/", "@evil.test", None),
            ("https://a.test$1/", "", Some("https://a.test/")),
            ("//a.test$1", "evil", None),
            ("https://a.test:8080$1", "0", None),
            ("https://a.test:$1/", "80", Some("https://a.test:80/")),
            ("https://a.test:$1/", "80@evil.test", None),
            ("https://$1.a.test/", "b.c-1", Some("https://b.c-1.a.test/")),
            ("https://$1.a.test/", "", None),
            ("https://$1.a.test/", ".b", None),
            ("https://$1.a.test/", "evil.test/", None),
            ("https://$1.a.test/", "evil.test\\", None),
            ("https://$1.a.test/", "evil.test%23", None),
            ("https://eu$1.a.test/", "-2", Some("https://eu-2.a.test/")),
            ("https://eu$1.a.test/", "/", None),
            ("https://a.$1/", "test", Some("https://a.test/")),
            ("https://a.$1/", "evil.test", None),
            ("https://a.test/$1?$1", "@:/", Some("https://a.test/@:/?@:/")),
            ("https://a.test?$1", "@evil", Some("https://a.test?@evil")),
            ("/$1", "@:", Some("/@:")),
        ] {
            let template = Template::location(location).unwrap();
            let text = template.fill(|_| Some(matched.as_bytes()));
            assert_eq!(text.as_deref(), expected, "{location} {matched}");
        }
    }

    #[test]
    fn a_template_that_leaves_the_server_to_a_match_is_refused() {
        for location in [
            "https://$1",
            "https://$1/",
            "https://$1$2/x",
            "https://$1.$2/",
            "//$1/",
            "https://$1:80/",
            "https://www.$1.$2/",
            "https://u@$1/",
            "https:///$1",
            "http:$1",
            "HTTPS:/$1",
            "$1://a.test/",
            "$1:x",
            "a$1:b",
        ] {
            assert!(Template::location(location).is_err(), "{location}");
        }
        for location in
            ["$1", "a/$1:b", "mailto:$1", "https://a.test:80$1", "/x?to=http://$1", "$1/x:y"]
        {
            assert!(Template::location(location).is_ok(), "{location}");
        }
    }
}
