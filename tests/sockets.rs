//! Listeners at Unix sockets: who connects there, whose the file is, and who has it after whom.

mod clients;
mod files;
mod handover;
mod streams;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Client, Message, Origin, Proxy, one_cluster};

/// A folder for sockets.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// The path of a socket in it.
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.sock"))
    }

    /// How a file says that a listener is there.
    fn bind(&self, name: &str) -> String {
        format!("bind = 'unix:{}'", self.path(name).display())
    }

    /// A configuration with one listener, `web`, at the socket of that name, in front of an origin.
    fn toml(&self, origin: &Origin, listener: &str, cluster: &str) -> String {
        let toml = one_cluster(&[origin.address()], listener, cluster);
        toml.replace("bind = \"127.0.0.1:0\"", &self.bind("web"))
    }
}

/// An origin, and a proxy in front of it that listens at a Unix socket of this path.
struct Setting {
    origin: Origin,
    proxy: Proxy,
    folder: Folder,
}

impl Setting {
    fn new(listener: &str, cluster: &str) -> Self {
        let (origin, folder) = (Origin::echo(), Folder::new());
        let proxy = Proxy::start(&folder.toml(&origin, listener, cluster));
        Self { origin, proxy, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path("web")
    }

    fn connect(&self) -> Client {
        Client::at(&self.path())
    }
}

/// The answer to a GET at a Unix socket.
#[track_caller]
fn get(path: &Path) -> Message {
    Client::at(path).get("/")
}
