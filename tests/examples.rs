//! The examples: each is served as it stands, but for its addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Binary, Client, Origin, eventually, reply};

/// The files that the origins of the Monkey example serve.
const FILES: usize = 1_200;

#[test]
fn every_example_starts() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(examples()).unwrap() {
        let file = entry.unwrap().path().join("linkspan.toml");
        if !file.is_file() {
            continue;
        }
        // What the demo's placeholders stand for does not matter here; names would be looked up.
        let text = fs::read_to_string(&file).unwrap();
        let text = (1..=3).fold(text, |text, n| text.replace(&format!("ORIGIN{n}"), "127.0.0.1:9"));
        let mut binary = Binary::with(&text, &[], &["-h", "127.0.0.1", "-p", "0"]);
        binary.connect();
        let name = file.parent().and_then(Path::file_name).unwrap();
        names.insert(name.to_string_lossy().into_owned());
    }
    let expected = ["demo", "monkey"].map(str::to_owned);
    assert!(names.is_superset(&expected.into()), "{names:?}");
}

#[test]
fn the_demo_does_what_it_says() {
    let named = |name: &'static str| {
        Origin::answering(move |_| reply(200, &[("server", "demo origin")], name))
    };
    let origins = [named("anna"), named("bert"), named("cora")];
    let mut text = example("demo");
    for (place, origin) in origins.iter().enumerate() {
        text = text.replace(&format!("ORIGIN{}", place + 1), &origin.address().to_string());
    }
    let mut binary = Binary::with(&text, &[], &["-p", "0"]);
    let mut client = binary.connect();
    let turns: Vec<_> = (0..6).map(|_| client.get("/").text()).collect();
    assert_eq!(turns, ["anna", "bert", "cora", "anna", "bert", "cora"]);
    let response = client.get("/first/of/all");
    assert_eq!(response.text(), "anna");
    assert_eq!((response.value("x-proxy"), response.value("server")), (Some("linkspan"), None));
    let response = client.get("/gone");
    assert_eq!((response.status(), response.text().as_str()), (410, "this is gone\n"));
}

/// Monkey's example in front of three real nginx: every file arrives as it is, from whom it should.
#[test]
fn the_monkey_example_serves_real_files_from_real_origins() {
    let tree = Tree::generate();
    let origins = ["one", "two", "three"].map(|name| Nginx::start(name, &tree.root()));
    let mut text = example("monkey");
    for (place, origin) in origins.iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:900{}", place + 1), &origin.address.to_string());
    }
    let mut binary = Binary::with(&text, &[], &["-p", "0"]);
    let mut client = binary.connect();

    let mut served = BTreeMap::<_, usize>::new();
    for (path, content) in &tree.files {
        let (kind, origin) = fetch(&mut client, path, content);
        *served.entry((kind, origin)).or_default() += 1;
    }
    let php = tree.files.iter().filter(|(path, _)| kind(path) == "php").count();
    assert_eq!(served.get(&("php", "one".to_owned())), Some(&php), "{served:?}");
    let turns: Vec<_> = ["one", "two", "three"]
        .map(|name| served.get(&("static", name.to_owned())).copied().unwrap_or_default())
        .into();
    let (most, least) = (turns.iter().max().unwrap(), turns.iter().min().unwrap());
    assert!(most - least <= 1, "{served:?}");
    assert_eq!(php + turns.iter().sum::<usize>(), FILES, "somebody else served: {served:?}");
    assert_eq!(client.get("/readme.txt").status(), 404);

    // The first origin leaves: the second serves what it did, and nobody notices.
    let [first, ..] = origins;
    first.stop();
    for (path, content) in tree.files.iter().take(200) {
        let (kind, origin) = fetch(&mut client, path, content);
        assert_ne!(origin, "one");
        assert!(kind == "static" || origin == "two", "{path} from {origin}");
    }
}

/// Fetches a file and compares it; gives its kind, and who served it.
#[track_caller]
fn fetch(client: &mut Client, path: &str, content: &[u8]) -> (&'static str, String) {
    let response = client.get(&path.replace(' ', "%20"));
    assert_eq!(response.status(), 200, "{path}");
    assert!(response.complete && response.body == content, "{path} is not what it was");
    (kind(path), response.value("x-origin").unwrap().to_owned())
}

fn kind(path: &str) -> &'static str {
    if path.ends_with(".php") { "php" } else { "static" }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples")
}

fn example(name: &str) -> String {
    fs::read_to_string(examples().join(name).join("linkspan.toml")).unwrap()
}

/// Files of all the kinds that the Monkey example tells apart, empty ones and large ones among them.
struct Tree {
    directory: TempDir,
    files: Vec<(String, Vec<u8>)>,
}

impl Tree {
    fn generate() -> Self {
        let suffixes = ["html", "php", "jpg", "png", "css", "js", "HTML"];
        let directory = TempDir::new().unwrap();
        let mut files = Vec::new();
        let mut state = 1_u64;
        for (number, suffix) in (0..FILES).zip(suffixes.into_iter().cycle()) {
            // Most are small, some are not, as in a tree of documents.
            let length = match number % 40 {
                0 => 0,
                20 => number * 400,
                _ => number * 7 % 20_000,
            };
            let content: Vec<_> = (0..length).map(|_| noise(&mut state)).collect();
            let path = format!("/part {}/file-{number}.{suffix}", number % 12);
            let file = directory.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &content).unwrap();
            files.push((path, content));
        }
        Self { directory, files }
    }

    fn root(&self) -> String {
        self.directory.path().to_str().unwrap().to_owned()
    }
}

/// The next byte of a sequence without pattern.
fn noise(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_le_bytes()[3]
}

/// A real nginx with the example's configuration. Dropped, it ends.
struct Nginx {
    address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl Nginx {
    #[track_caller]
    fn start(name: &str, root: &str) -> Self {
        // A port that was free can be taken before nginx has it.
        let tries = (0..5).find_map(|_| Self::try_start(name, root));
        tries.unwrap_or_else(|| panic!("nginx does not start"))
    }

    fn try_start(name: &str, root: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let template = fs::read_to_string(examples().join("monkey/origin.conf")).unwrap();
        let port = address.port().to_string();
        let text = template.replace("PORT", &port).replace("NAME", name).replace("ROOT", root);
        let file = directory.path().join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program());
        command.arg("-p").arg(directory.path()).arg("-c").arg(file).stdin(Stdio::null());
        if fs::metadata(directory.path()).unwrap().uid() == 0 {
            // It would serve as somebody who may not read the folder.
            command.args(["-g", "user root;"]);
        }
        let process = command.spawn().unwrap();
        let mut nginx = Self { address, process, _directory: directory };
        let listens = eventually("nginx to listen", || {
            let ended = nginx.process.try_wait().unwrap().is_some();
            let listens = TcpStream::connect(address).is_ok();
            (ended || listens).then_some(!ended)
        });
        listens.then_some(nginx)
    }

    /// Ends as `nginx -s quit` does: requests that it has are served.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::QUIT).unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
            let _ = self.process.wait();
        }
    }
}

/// Where nginx is. Servers live where an ordinary user's PATH does not reach.
#[track_caller]
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    let mut programs = places.map(|place: PathBuf| place.join("nginx"));
    programs.find(|program| program.is_file()).unwrap_or_else(|| {
        panic!("this test needs nginx: `sudo apt-get install nginx-light`, or `make test` does it")
    })
}
