//! `tls` of clusters. The files are read while it is: what is wrong with one is a fault at its key, and
//! what is spoken is what was there.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use serde_json::{Map, Value as Json, json};

use crate::config::check::Context;
use crate::config::file::{Choice, Document, Kind, Parsed, Table, Truth, Value, key};
use crate::config::{Endpoint, Scheme, UpstreamTls, schema};
use crate::tls::Version;
use crate::tls::client::{ClientTls, Trust, system_authorities};
use crate::tls::pem::{self, Half};

const CERTIFICATE: &str = "cert";
const KEY: &str = "key";

const VERSIONS: Choice<Version> =
    Choice(&[("1.2", Version::Tls12, ""), ("1.3", Version::Tls13, "")]);

const NAME: Parsed<ServerName<'static>, &str> = Parsed {
    expected: "a host such as `app.internal`, or an IP address",
    read: |text| {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        ServerName::try_from(name).or(Err("it is neither the name of a host nor an address"))
    },
    write: |name| name.to_str().into_owned(),
    pattern: r"[A-Za-z0-9._:-]+",
};

/// The value of `tls`, or what holds without it, if one of the endpoints is spoken to so.
pub(super) fn upstream_tls(
    table: &mut Table<'_>,
    endpoints: &[Endpoint],
    context: &Context<'_>,
) -> Option<UpstreamTls> {
    let about =
        "How TLS is spoken to the endpoints, other than those with `http://`, where {} suffices";
    let tls = key("tls", about, TlsKind(context));
    let tls = tls.such_as(json!({ "ca": "/etc/linkspan/internal-ca.pem" }));
    let tls = table.optional(tls, "to those with `https://`, by the authorities of the system");
    let wanted = endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https);
    if table.has("tls") || !wanted {
        return tls;
    }
    match context.direct_tls() {
        Ok(client) => Some(UpstreamTls::usual(client)),
        Err(reason) => {
            table.refuse(&reason, "expected `tls` with a `ca` for the `https` endpoints");
            None
        }
    }
}

/// `tls`, as a table.
struct TlsKind<'c>(&'c Context<'c>);

impl TlsKind<'_> {
    fn table(&self, table: &mut Table<'_>) -> Option<UpstreamTls> {
        let ca = "The PEM file of the authorities that vouch for endpoints";
        let ca = key("ca", ca, Authorities(self.0)).such_as("/etc/linkspan/internal-ca.pem");
        let name = "What endpoints are asked for (SNI), and what their certificates must be for";
        let name = key("server-name", name, NAME).such_as("app.internal");
        let certificate = "The PEM file of the certificate that is shown to endpoints";
        let certificate = key(CERTIFICATE, certificate, self.0.path());
        let certificate = certificate.such_as("/etc/linkspan/client.pem");
        let of_certificate = "The PEM file of that certificate's private key";
        let of_certificate = key(KEY, of_certificate, self.0.path());
        let of_certificate = of_certificate.such_as("/etc/linkspan/client.key");
        let verify =
            "Whether endpoints have to prove who they are: without that, anybody can be one";
        let least = key("min-version", "The least version of TLS", VERSIONS);
        let asked = table.has("ca");
        let ca = table.optional(ca, "those that the system trusts");
        let server_name = table.optional(name, "the host of the endpoint's address");
        let certificate = table.optional(certificate, "none is");
        let of_certificate = table.optional(of_certificate, "there is none");
        let verify = table.or(key("verify", verify, Truth), true);
        let least = table.or(least, Version::Tls12);
        if table.is_described() || (asked && ca.is_none()) {
            return None;
        }
        let own = own(table, certificate, of_certificate)?;
        let (ca, roots) = ca.unzip();
        let trust = match (verify, roots) {
            (false, _) => Trust::Anybody,
            (true, Some(roots)) => Trust::Authorities(roots),
            (true, None) => match self.0.system() {
                Ok(roots) => Trust::Authorities(roots),
                Err(reason) => {
                    table.refuse(&reason, "expected a `ca`");
                    return None;
                }
            },
        };
        let (own, shown) = own.unzip();
        match ClientTls::new(&trust, shown.as_ref(), least) {
            Ok(client) => {
                Some(UpstreamTls { always: true, ca, server_name, own, verify, least, client })
            }
            Err(reason) => {
                table.refuse(&format!("this cannot be used: {reason}"), "");
                None
            }
        }
    }
}

/// A certificate with its key, and the files of both.
type Own = ((PathBuf, PathBuf), Arc<CertifiedKey>);

/// What is shown to endpoints, if anything is; `None` if that is not as it should be.
fn own(
    table: &mut Table<'_>,
    certificate: Option<PathBuf>,
    of_certificate: Option<PathBuf>,
) -> Option<Option<Own>> {
    let (certificate, of_certificate) = match (certificate, of_certificate) {
        (Some(certificate), Some(of_certificate)) => (certificate, of_certificate),
        (None, None) if !table.has(CERTIFICATE) && !table.has(KEY) => return Some(None),
        (one, other) => {
            for (name, missing) in [(CERTIFICATE, one.is_none()), (KEY, other.is_none())] {
                if missing && !table.has(name) {
                    table.refuse(&format!("`{name}` is missing"), "expected both halves or none");
                }
            }
            return None;
        }
    };
    match pem::certified(&certificate, &of_certificate) {
        Ok(certified) => Some(Some(((certificate, of_certificate), Arc::new(certified)))),
        Err((half, unfit)) => {
            let (name, path) = match half {
                Half::Certificate => (CERTIFICATE, certificate),
                Half::Key => (KEY, of_certificate),
            };
            let value = table.value(name)?;
            value.refuse(&format!("{} {unfit}", path.display()), "", None)
        }
    }
}

impl Kind for TlsKind<'_> {
    type Value = UpstreamTls;

    fn read(&self, value: &Value<'_>) -> Option<UpstreamTls> {
        value.table(|table| self.table(table))?
    }

    fn write(&self, value: &UpstreamTls) -> Json {
        let mut written = Map::new();
        let mut write = |name: &str, value: Json| written.insert(name.to_owned(), value);
        if let Some(ca) = &value.ca {
            write("ca", self.0.path().write(ca));
        }
        if let Some(name) = &value.server_name {
            write("server-name", NAME.write(name));
        }
        if let Some((certificate, of_certificate)) = &value.own {
            write(CERTIFICATE, self.0.path().write(certificate));
            write(KEY, self.0.path().write(of_certificate));
        }
        write("verify", Truth.write(&value.verify));
        write("min-version", VERSIONS.write(&value.least));
        written.into()
    }

    fn schema(&self) -> Json {
        schema::of_table(&Document::describe(|table| self.table(table)))
    }
}

/// The file of authorities.
struct Authorities<'c>(&'c Context<'c>);

impl Kind for Authorities<'_> {
    type Value = (PathBuf, Arc<RootCertStore>);

    fn read(&self, value: &Value<'_>) -> Option<Self::Value> {
        let path = self.0.path().read(value)?;
        match pem::authorities(&path) {
            Ok(roots) => Some((path, Arc::new(roots))),
            Err(unfit) => value.refuse(&format!("{} {unfit}", path.display()), "", None),
        }
    }

    fn write(&self, (path, _): &Self::Value) -> Json {
        self.0.path().write(path)
    }

    fn schema(&self) -> Json {
        self.0.path().schema()
    }
}

impl Context<'_> {
    /// The authorities that the system trusts, read once.
    fn system(&self) -> Result<Arc<RootCertStore>, String> {
        self.system_authorities.get_or_init(system_authorities).clone()
    }

    /// What is spoken where nothing is configured about TLS.
    pub(super) fn direct_tls(&self) -> Result<Arc<ClientTls>, String> {
        ClientTls::new(&Trust::Authorities(self.system()?), None, Version::default())
    }
}
