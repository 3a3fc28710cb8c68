//! `[acme]`, and the names of listeners that certificates are issued for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustix::fs::{Access, access};
use serde_json::json;

use crate::config::check::{Context, DAY};
use crate::config::expand::Variables;
use crate::config::file::{Choice, List, Parsed, Period, Table, Truth, key};
use crate::config::{Acme, Challenge, Listener, Name};
use crate::tls::issued::Issued;
use crate::tls::pem;

const DIRECTORY: &str = "directory";
const TERMS: &str = "terms-agreed";
const CA: &str = "ca";
const DIR: &str = "dir";
const CHALLENGES: &str = "challenges";

/// The directory of Let's Encrypt.
const USUAL: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// A name that a certificate can be issued for.
pub(super) const HOST_NAME: Parsed<Name, &str> = Parsed {
    expected: "the name of a host, such as `www.example.org`",
    read: host_name,
    write: |name| name.as_ref().to_owned(),
    pattern: r"[A-Za-z0-9._-]+",
};

/// The URL of an authority's directory.
const URL: Parsed<Arc<str>, &str> = Parsed {
    expected: "a URL such as `https://acme.example/directory`",
    read: url,
    write: |url| url.as_ref().to_owned(),
    pattern: r"[Hh][Tt][Tt][Pp][Ss]?://.+",
};

/// Where whoever runs this is reached.
const CONTACT: Parsed<String, &str> = Parsed {
    expected: "an address such as `mailto:admin@example.org`",
    read: contact,
    write: String::clone,
    pattern: r"mailto:.+@.+",
};

const WAYS: Choice<Challenge> = Choice(&[
    ("tls-alpn-01", Challenge::TlsAlpn01, "in a TLS handshake at port 443"),
    ("http-01", Challenge::Http01, "by a request in the clear at port 80"),
]);

/// Reads how certificates are obtained, if they are.
pub(super) fn read(root: &mut Table<'_>, context: &mut Context<'_>, variables: Variables<'_>) {
    if !root.has("acme") && !root.is_described() {
        return;
    }
    let about = "Certificates for the names that listeners list in `acme` of their `tls`";
    let read = |table: &mut Table<'_>| {
        let agreed = table.is_described() || table.has(TERMS);
        (acme(table, context, variables), agreed)
    };
    (context.acme, context.has_acme) = root.inner("acme", about, read);
}

fn acme(table: &mut Table<'_>, context: &Context<'_>, variables: Variables<'_>) -> Option<Acme> {
    let directory = key(DIRECTORY, "The directory of the authority that issues them", URL);
    let directory = table.or(directory, USUAL.into());
    let contact = "Where the authority writes to if something is wrong";
    let contact = key("contact", contact, List(CONTACT)).such_as(json!(["mailto:me@example.org"]));
    let contact = table.or(contact, Vec::new());
    let terms =
        "That the terms of the authority have been read and are agreed to, which they must be";
    let terms = table.optional(key(TERMS, terms, Truth).such_as(true), "nothing is asked for");
    let ca = "PEM file of who vouches for the authority's own server";
    let ca = key(CA, ca, context.path()).such_as("acme-ca.pem");
    let ca = table.optional(ca, "those whom the system trusts");
    let dir = "Folder of the account and the certificates, for this process's user alone";
    let dir = key(DIR, dir, context.path()).such_as("/var/lib/linkspan/acme");
    let state = "linkspan/acme in $XDG_STATE_HOME or ~/.local/state";
    let dir = table.or_else(dir, state, || user_state(variables));
    let challenges = "How it is proved that a name is ours, the first way first";
    let challenges = key(CHALLENGES, challenges, List(WAYS));
    let challenges = table.or(challenges, vec![Challenge::TlsAlpn01, Challenge::Http01]);
    let renew = "How long before a certificate ends another is asked for";
    let renew = key("renew-before", renew, Period(Duration::from_secs(1)..=366 * DAY));
    let renew_before = table.optional(renew.such_as("30d"), "a third of its lifetime");
    let retry = "How soon a name is tried again that got none; doubled up to 6h";
    let retry = key("retry", retry, Period(Duration::from_millis(100)..=DAY));
    let retry = table.or(retry, Duration::from_mins(1));
    if table.is_described() {
        return None;
    }
    if terms == Some(false)
        && let Some(value) = table.value(TERMS)
    {
        let expected = "expected `true`, once you have read and agreed to them";
        return value.refuse("no authority issues without its terms", expected, None);
    }
    if !table.has(TERMS) {
        return None;
    }
    if let Some(value) = table.value(CHALLENGES).filter(|value| value.is_empty()) {
        value.refuse::<()>("the list is empty", "expected `tls-alpn-01`, `http-01` or both", None);
    }
    if let Err(error) = writable(&dir) {
        let message = format!("nothing can be kept in {}: {error}", dir.display());
        match table.value(DIR) {
            Some(value) => {
                value.refuse::<()>(&message, "expected a folder of our own", None);
            }
            None => table.refuse(&message, "expected a folder of our own in `dir`"),
        }
    }
    let authorities = match ca.map(|file| (pem::authorities(&file), file)) {
        None => None,
        Some((Ok(roots), file)) => Some((file, Arc::new(roots))),
        Some((Err(unfit), file)) => table.value(CA)?.refuse(
            &format!("{} {unfit}", file.display()),
            "expected a PEM file with the certificates of authorities",
            None,
        ),
    };
    let issued = Issued::of(&Acme::folder(&dir, &directory));
    Some(Acme { directory, contact, authorities, dir, challenges, renew_before, retry, issued })
}

/// Has the listeners that can answer for names do so, of which there must be one if no other way is wanted.
pub(super) fn answer(
    root: &mut Table<'_>,
    acme: Option<&Acme>,
    listeners: &mut BTreeMap<Name, Listener>,
) {
    let Some(acme) = acme.filter(|acme| acme.challenges.contains(&Challenge::Http01)) else {
        return;
    };
    let mut answering = 0;
    for listener in listeners.values_mut() {
        if listener.tls.is_none() && listener.tcp.is_none() {
            listener.proofs = Some(Arc::clone(&acme.issued));
            answering += 1;
        }
    }
    if answering == 0
        && !acme.challenges.contains(&Challenge::TlsAlpn01)
        && let Some(value) = root.value("acme")
    {
        let message = "no listener speaks HTTP in the clear, which `http-01` takes";
        let help = "add a listener at port 80, or `tls-alpn-01` to `challenges`".to_owned();
        value.refuse::<()>(message, "expected a listener without `tls`", Some(help));
    }
}

/// Whether something can be kept in a folder, which need not be there yet.
fn writable(dir: &Path) -> io::Result<()> {
    for path in dir.ancestors() {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                return Ok(access(path, Access::WRITE_OK | Access::EXEC_OK)?);
            }
            Ok(_) => return Err(io::Error::other(format!("{} is no folder", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Where the XDG base directories put a user's state; where a system keeps it if nobody's home is known.
fn user_state(variables: Variables<'_>) -> PathBuf {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let of_user = variables("XDG_STATE_HOME").and_then(absolute);
    let of_home = || variables("HOME").and_then(absolute).map(|home| home.join(".local/state"));
    of_user.or_else(of_home).unwrap_or_else(|| PathBuf::from("/var/lib")).join("linkspan/acme")
}

fn host_name(text: &str) -> Result<Name, &'static str> {
    let label = |label: &str| {
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(byte)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match text {
        _ if text.contains('*') => Err("only dns-01 proves wildcards, which is not known here"),
        _ if text.parse::<std::net::IpAddr>().is_ok() => Err("it is an address, not a name"),
        _ if !text.is_ascii() => Err("names of other scripts are written as `xn--…`"),
        _ if text.len() > 253 || !text.split('.').all(label) => Err("no host can have this name"),
        _ => Ok(text.to_ascii_lowercase().into()),
    }
}

fn url(text: &str) -> Result<Arc<str>, &'static str> {
    let uri: Uri = text.parse().map_err(|_unread| "it is no URL")?;
    let Some(authority) = uri.authority() else { return Err("it has no host") };
    if authority.as_str().contains('@') {
        return Err("it has a user or a password");
    }
    match uri.scheme_str() {
        Some("https") => Ok(text.into()),
        Some("http") if is_loopback(authority.host()) => Ok(text.into()),
        _ => Err("an authority is asked by https alone, unless it is on this machine"),
    }
}

/// Whether a host of a URL is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn contact(text: &str) -> Result<String, &'static str> {
    let Some(address) = text.strip_prefix("mailto:") else {
        return Err("it does not begin with `mailto:`");
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | '?' | '<' | '>');
    match address.split_once('@') {
        _ if address.contains(odd) => Err("it is not one address"),
        Some((local, domain)) if !local.is_empty() && host_name(domain).is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("it is not an address of mail"),
    }
}
