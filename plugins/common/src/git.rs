//! The first packet of a client of git's own protocol: `git-upload-pack /USER/REPO\0host=HOST\0`, with its
//! length as four hexadecimal digits before it.

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading<'b> {
    /// The beginning of a packet, as far as can be seen.
    Incomplete,
    /// No first packet of git.
    Malformed,
    /// A whole one that asks for a repository below this folder; the first part of its path.
    User(&'b str),
}

/// The services that a client can ask for.
const SERVICES: [&str; 3] = ["git-upload-pack ", "git-receive-pack ", "git-upload-archive "];

/// The shortest packet, which is empty, and the longest.
const LEAST: usize = 4;
/// See [`LEAST`].
const MOST: usize = 65_520;

/// The longest name of a user.
const NAME_BYTES: usize = 200;

/// Reads the first bytes of a connection.
#[must_use]
pub fn read(bytes: &[u8]) -> Reading<'_> {
    let (digits, content) = bytes.split_at(LEAST.min(bytes.len()));
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Reading::Malformed;
    }
    let digits = str::from_utf8(digits).unwrap_or_default();
    if digits.len() < LEAST {
        return Reading::Incomplete;
    }
    let length = usize::from_str_radix(digits, 16).unwrap_or_default();
    if !(LEAST + 1..=MOST).contains(&length) || !may_begin(content) {
        return Reading::Malformed;
    }
    match content.get(..length - LEAST) {
        Some(packet) => user(packet).map_or(Reading::Malformed, Reading::User),
        None => Reading::Incomplete,
    }
}

/// Whether a packet that begins like this may ask for a service.
fn may_begin(content: &[u8]) -> bool {
    SERVICES.iter().any(|service| {
        let known = content.len().min(service.len());
        content.get(..known) == service.as_bytes().get(..known)
    })
}

fn user(packet: &[u8]) -> Option<&str> {
    let service = SERVICES.iter().find(|service| packet.starts_with(service.as_bytes()))?;
    let path = packet.get(service.len()..)?.split(|byte| *byte == 0).next()?;
    let path = str::from_utf8(path).ok()?.trim_end_matches('\n').strip_prefix('/')?;
    let (user, repository) = path.split_once('/')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte);
    let fits = (1..=NAME_BYTES).contains(&user.len()) && user.bytes().all(is_name);
    (fits && !user.starts_with('.') && !repository.is_empty()).then_some(user)
}

/// What git shows its user as the remote's error.
#[must_use]
pub fn error(text: &str) -> Vec<u8> {
    let text: String = text.chars().take(1_000).collect();
    format!("{:04x}ERR {text}", LEAST + 4 + text.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(content: &str) -> Vec<u8> {
        format!("{:04x}{content}", content.len() + 4).into_bytes()
    }

    #[test]
    fn the_user_is_the_first_part_of_the_path() {
        for (content, user) in [
            ("git-upload-pack /mojombo/god.git\0host=a\0", "mojombo"),
            ("git-upload-pack /a-b.c_d/x/y\0host=a\0\0version=2\0", "a-b.c_d"),
            ("git-receive-pack /u/r\n", "u"),
            ("git-upload-archive /~u/r", "~u"),
        ] {
            let bytes = packet(content);
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Reading::Incomplete, "{content:?}, {cut}");
            }
            assert_eq!(read(&bytes), Reading::User(user), "{content:?}");
            assert_eq!(read(&[&bytes[..], b"0000"].concat()), Reading::User(user));
        }
    }

    #[test]
    fn what_asks_for_nothing_is_refused() {
        for content in [
            "git-upload-pack /only",
            "git-upload-pack mojombo/god",
            "git-upload-pack //god",
            "git-upload-pack /a b/god",
            "git-upload-pack /../god",
            "git-upload-pack /a/",
            "git-shell /a/b",
        ] {
            assert_eq!(read(&packet(content)), Reading::Malformed, "{content:?}");
        }
        for bytes in [&b"GET / HTTP/1.1"[..], b"0000", b"0004", b"fffff", b"0040ssh"] {
            assert_eq!(read(bytes), Reading::Malformed, "{bytes:?}");
        }
    }

    #[test]
    fn an_error_is_a_packet() {
        assert_eq!(error("no"), b"000aERR no");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, near in "[0-9a-f]{4}git-upload-pack [/a\\x00.]{0,20}") {
            let _ = (read(&bytes), read(near.as_bytes()));
        }
    }
}
