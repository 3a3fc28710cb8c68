//! Files that upstreams have sent in place of what they answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::{Message, Origin, Proxy, one_cluster, reply};

mod answers;
mod coding;
mod conditions;
mod configuration;
mod confinement;
mod draining;
mod ranges;
mod streaming;

/// What upstreams answer with a file instead.
const JUNK: &str = "junk";

/// A directory with files, a proxy that may send them, and an origin that has it do so.
///
/// The origin names the file of the request's path below `files`. What a request says in `x-file`
/// stands in its place, `~` in it for the directory; with `x-by` under another name than X-Sendfile,
/// with `x-status` beside another status, and with `x-answer: NAME=VALUE` beside other fields.
struct Scene {
    directory: TempDir,
    origin: Origin,
    proxy: Proxy,
}

impl Scene {
    /// With `files` as root, and further lines of the cluster's table.
    #[track_caller]
    fn new(more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("files")).unwrap();
        let roots = format!("sendfile-roots = [{:?}]\n{more}", directory.path().join("files"));
        Self::with(directory, &roots)
    }

    /// With a cluster of these lines.
    #[track_caller]
    fn with(directory: TempDir, cluster: &str) -> Self {
        let base = directory.path().to_owned();
        let origin = Origin::answering(move |request| answer(&base, request));
        let proxy = Proxy::start(&one_cluster(&[origin.address()], "", cluster));
        Self { directory, origin, proxy }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    /// Makes a file that is old enough for its date to say something.
    #[track_caller]
    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
        path
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Message {
        self.ask("GET", target, fields)
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Message {
        let response = self.proxy.connect().ask(method, target, fields, b"");
        assert!(response.complete, "{response:?}");
        expect_discreet(&response);
        response
    }

    fn count(&self, outcome: &str) -> u64 {
        let labels = [("cluster", "main"), ("outcome", outcome)];
        self.proxy.counter("linkspan_sendfiles_total", &labels)
    }
}

fn answer(base: &Path, request: &Message) -> Vec<u8> {
    let base = base.to_str().unwrap();
    let file = match request.value("x-file") {
        Some(file) => file.replace('~', base),
        None => format!("{base}/files{}", request.target()),
    };
    let by = request.value("x-by").unwrap_or("X-Sendfile");
    let status = request.value("x-status").map_or(200, |status| status.parse().unwrap());
    let mut fields = vec![(by, file.as_str())];
    fields.extend(request.values("x-answer").iter().filter_map(|pair| pair.split_once('=')));
    reply(status, &fields, JUNK)
}

/// Asserts that a client learns nothing of what upstreams tell the proxy.
#[track_caller]
fn expect_discreet(response: &Message) {
    for (name, value) in &response.fields {
        let name = name.to_ascii_lowercase();
        let secret = ["x-sendfile", "x-lighttpd-", "x-accel-", "x-rewrite-"];
        assert!(!secret.iter().any(|start| name.starts_with(start)), "{name}: {value}");
        assert!(!value.contains("/files"), "{name}: {value}");
    }
}
