//! `tls` of listeners. Its files are read with the configuration: what is wrong with one is a fault at its
//! place, and what is served is what was there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::config::check::Context;
use crate::config::check::acme::HOST_NAME;
use crate::config::file::{Choice, Document, Kind, List, Table, Value, key};
use crate::config::{Name, schema};
use crate::tls::Version;
use crate::tls::issued::Managed;
use crate::tls::pem::{self, Half, Unfit};
use crate::tls::server::{Certificate, Certificates, ClientAuthorities, ServerTls, Shown};

const CERT: &str = "cert";
const KEY: &str = "key";
const OCSP: &str = "ocsp";
const CLIENT_CA: &str = "client-ca";
const ACME: &str = "acme";

/// The largest OCSP response: those of today have some 2 KiB.
const MAX_OCSP_BYTES: u64 = 64 << 10;

const VERSIONS: Choice<Version> =
    Choice(&[("1.2", Version::Tls12, "TLS 1.2"), ("1.3", Version::Tls13, "TLS 1.3")]);

const SHOWN: Choice<Shown> = Choice(&[
    ("required", Shown::Required, "who shows none is turned away"),
    ("optional", Shown::Optional, "who shows none is served as well"),
]);

/// What a listener speaks TLS with, if it does, for these protocols.
pub(super) fn tls(
    table: &mut Table<'_>,
    name: Option<&Name>,
    protocols: &'static [&'static [u8]],
    context: &Context<'_>,
) -> Option<Arc<ServerTls>> {
    let scope = name.map(|name| &**name).unwrap_or_default();
    let tls = "TLS, in which clients have to speak then";
    let tls = key("tls", tls, TlsKind { context, protocols, scope });
    table.optional(
        tls.such_as(json!({ CERT: "web.pem", KEY: "web.key" })),
        "clients speak in the clear",
    )
}

/// A table with all of it.
struct TlsKind<'c> {
    context: &'c Context<'c>,
    protocols: &'static [&'static [u8]],
    /// Where sessions can be taken up again.
    scope: &'c str,
}

impl TlsKind<'_> {
    fn table(&self, table: &mut Table<'_>) -> Option<ServerTls> {
        let own = certificate(table, self.context);
        let more =
            "More of them: clients get the one for the name that they ask for, else the first";
        let more = key("certificates", more, List(CertificateKind(self.context)));
        let example = json!([{ CERT: "other.pem", KEY: "other.key" }]);
        let more = table.or(more.such_as(example), Vec::new());
        let clients = clients(table, self.context);
        let least = table.or(key("min-version", "The least version", VERSIONS), Version::Tls12);
        let managed = managed(table, self.context);
        let files: Vec<_> = own.into_iter().chain(more).collect();
        if files.is_empty() && managed.is_none() {
            // What is there and wrong has been said.
            let mut lists = ["certificates", ACME].into_iter().filter_map(|key| table.value(key));
            let is_there =
                lists.any(|list| !list.is_empty()) || [CERT, KEY].iter().any(|key| table.has(key));
            if !is_there && !table.is_described() {
                let expected =
                    "expected the paths of PEM files in `cert` and `key`, or names in `acme`";
                table.refuse("`cert` is missing", expected);
            }
            return None;
        }
        let certificates = Certificates { files, managed };
        let tls = ServerTls::new(certificates, clients, least, self.protocols, self.scope);
        tls.map_err(|message| table.refuse(&message, "expected settings that go together")).ok()
    }
}

impl Kind for TlsKind<'_> {
    type Value = Arc<ServerTls>;

    fn read(&self, value: &Value<'_>) -> Option<Arc<ServerTls>> {
        value.table(|table| self.table(table))?.map(Arc::new)
    }

    fn write(&self, value: &Arc<ServerTls>) -> Json {
        let kind = CertificateKind(self.context);
        let (first, more) = value
            .certificates()
            .split_first()
            .map_or((None, &[][..]), |(first, more)| (Some(first), more));
        let mut written = first.map(|first| kind.write(first)).unwrap_or_else(|| json!({}));
        if let Json::Object(keys) = &mut written {
            if !more.is_empty() {
                keys.insert(
                    "certificates".to_owned(),
                    more.iter().map(|it| kind.write(it)).collect(),
                );
            }
            if let Some(managed) = value.managed() {
                let names = managed.names.iter().map(|name| HOST_NAME.write(name));
                keys.insert(ACME.to_owned(), names.collect());
            }
            if let Some(clients) = value.clients() {
                keys.insert(CLIENT_CA.to_owned(), clients.file.to_string_lossy().into());
                keys.insert("client-cert".to_owned(), SHOWN.write(&clients.shown));
            }
            keys.insert("min-version".to_owned(), VERSIONS.write(&value.least()));
        }
        written
    }

    fn schema(&self) -> Json {
        schema::of_table(&Document::describe(|table| self.table(table)))
    }
}

/// The names that certificates are issued for, if there are such.
fn managed(table: &mut Table<'_>, context: &Context<'_>) -> Option<Managed> {
    let about = "Names for which certificates are obtained and renewed, as `[acme]` says";
    let names = key(ACME, about, List(HOST_NAME)).such_as(json!(["www.example.org"]));
    let mut names = table.or(names, Vec::new());
    let mut known = BTreeSet::new();
    names.retain(|name| known.insert(Arc::clone(name)));
    if names.is_empty() {
        return None;
    }
    let Some(acme) = &context.acme else {
        if !context.has_acme {
            let help = "read the terms of the authority, and set `terms-agreed = true`".to_owned();
            let message = "nobody issues certificates whose terms are not agreed to";
            let expected = "expected a table `[acme]` with `terms-agreed`";
            table.value(ACME)?.refuse::<()>(message, expected, Some(help));
        }
        return None;
    };
    Some(Managed { names, issued: Arc::clone(&acme.issued) })
}

/// Who vouches for clients, if anybody has to.
fn clients(table: &mut Table<'_>, context: &Context<'_>) -> Option<ClientAuthorities> {
    let about = "PEM file of the authorities that vouch for clients, which then show certificates";
    let file = key(CLIENT_CA, about, context.path()).such_as("clients.pem");
    let file = table.optional(file, "clients need no certificates");
    let shown = key("client-cert", "Whether clients have to show a certificate", SHOWN);
    if file.is_none() && !table.is_described() && !table.has(CLIENT_CA) {
        table.forbid_own(&["client-cert"], "there is no `client-ca` to vouch for clients");
        return None;
    }
    let shown = table.or_else(shown.such_as("optional"), "required", || Shown::Required);
    let file = file?;
    match pem::authorities(&file) {
        Ok(roots) => Some(ClientAuthorities { roots: Arc::new(roots), file, shown }),
        Err(unfit) => refuse(table, CLIENT_CA, &file, &unfit),
    }
}

/// A certificate with its key, from the keys of a table.
fn certificate(table: &mut Table<'_>, context: &Context<'_>) -> Option<Certificate> {
    let cert = "PEM file of a certificate, followed by those that vouch for it";
    let cert = key(CERT, cert, context.path()).such_as("web.pem");
    let cert = table.optional(cert, "those of `certificates`");
    let own = key(KEY, "PEM file of its private key", context.path()).such_as("web.key");
    let own = table.optional(own, "those of `certificates`");
    let ocsp = "File of an OCSP response about it in DER, which clients get that ask for one";
    let ocsp = key(OCSP, ocsp, context.path()).such_as("web.ocsp");
    let ocsp = table.optional(ocsp, "none is sent");
    for (there, missing) in [(CERT, KEY), (KEY, CERT), (OCSP, CERT)] {
        if table.has(there) && !table.has(missing) && !table.is_described() {
            let message = format!("`{missing}` is missing");
            let expected = format!("expected the path of a PEM file, as there is `{there}`");
            table.refuse(&message, &expected);
            return None;
        }
    }
    let (certificate, key) = (cert?, own?);
    let mut certified = match pem::certified(&certificate, &key) {
        Ok(certified) => certified,
        Err((Half::Certificate, unfit)) => return refuse(table, CERT, &certificate, &unfit),
        Err((Half::Key, unfit)) => return refuse(table, KEY, &key, &unfit),
    };
    if let Some(file) = &ocsp {
        match stapled(file) {
            Ok(response) => certified.ocsp = Some(response),
            Err(unfit) => return refuse(table, OCSP, file, &unfit),
        }
    }
    Some(Certificate { certificate, key, ocsp, certified: Arc::new(certified) })
}

/// An OCSP response. Whether it is about the certificate is the client's to judge.
fn stapled(file: &Path) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    let file = File::open(file).map_err(Unfit::Unread)?;
    file.take(MAX_OCSP_BYTES + 1).read_to_end(&mut bytes).map_err(Unfit::Unread)?;
    match bytes.first() {
        _ if bytes.len() as u64 > MAX_OCSP_BYTES => {
            Err(Unfit::Unread(io::Error::other("it has more than 64 KiB")))
        }
        // A SEQUENCE in DER.
        Some(0x30) => Ok(bytes),
        _ => Err(Unfit::Without("OCSP response in DER")),
    }
}

/// Says what is wrong with the file of a key.
fn refuse<T>(table: &mut Table<'_>, key: &'static str, file: &Path, unfit: &Unfit) -> Option<T> {
    let expected = match key {
        KEY => "expected a PEM file with the certificate's private key, not encrypted",
        CLIENT_CA => "expected a PEM file with the certificates of authorities",
        OCSP => "expected a file with an OCSP response",
        _ => "expected a PEM file with a valid certificate",
    };
    let value = table.value(key)?;
    value.refuse(&format!("{} {unfit}", file.display()), expected, None)
}

/// A table with a certificate.
struct CertificateKind<'c>(&'c Context<'c>);

impl Kind for CertificateKind<'_> {
    type Value = Certificate;

    fn read(&self, value: &Value<'_>) -> Option<Certificate> {
        value.table(|table| {
            let read = certificate(table, self.0);
            if ![CERT, KEY, OCSP].iter().any(|key| table.has(key)) {
                table.refuse("`cert` is missing", "expected the path of a PEM file");
            }
            read
        })?
    }

    fn write(&self, value: &Certificate) -> Json {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut written = json!({ CERT: text(&value.certificate), KEY: text(&value.key) });
        if let (Some(ocsp), Json::Object(keys)) = (&value.ocsp, &mut written) {
            keys.insert(OCSP.to_owned(), text(ocsp).into());
        }
        written
    }

    fn schema(&self) -> Json {
        schema::of_table(&Document::describe(|table| certificate(table, self.0)))
    }
}
