//! How TLS is spoken to the endpoints of a cluster.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::tls::Version;
use crate::tls::client::ClientTls;

/// `tls` of a cluster, or what holds for its `https://` endpoints without.
#[derive(Clone)]
pub struct UpstreamTls {
    /// Whether endpoints are spoken to so that do not say how.
    pub always: bool,
    /// The file of the authorities that vouch for endpoints. `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// What endpoints are asked for, and what their certificates must be for. `None`: the host of each
    /// endpoint's address.
    pub server_name: Option<ServerName<'static>>,
    /// The files of the certificate that is shown to endpoints, and of its key. `None`: there is none.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Whether endpoints have to prove that they are meant. Default true.
    pub verify: bool,
    /// The least version that is spoken. Default 1.2.
    pub least: Version,
    /// What all of this comes to.
    pub client: Arc<ClientTls>,
}

impl UpstreamTls {
    /// What nobody has configured.
    #[must_use]
    pub fn usual(client: Arc<ClientTls>) -> Self {
        Self {
            always: false,
            ca: None,
            server_name: None,
            own: None,
            verify: true,
            least: Version::default(),
            client,
        }
    }

    /// The files that it was read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(own).map(PathBuf::as_path)
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files().collect();
        let mut shown = formatter.debug_struct("UpstreamTls");
        shown.field("server_name", &self.server_name).field("verify", &self.verify);
        shown.field("files", &files).finish_non_exhaustive()
    }
}
