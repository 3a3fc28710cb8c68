//! The examples: each is served as it stands, but for its addresses.

mod lighttpd;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::support::{
    Binary, Client, Down, Message, Origin, Signal, eventually, ports_of_the_demo, reply,
};

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
        let text = fs::read_to_string(&file).unwrap();
        // One port may be taken, and is not what matters here.
        let text = text.replace("127.0.0.1:9901", "127.0.0.1:0");
        let name = file.parent().and_then(Path::file_name).unwrap().to_str().unwrap().to_owned();
        served(&name, &text, &["-h", "127.0.0.1", "-p", "0"]).connect();
        names.insert(name);
    }
    let expected = ["apache", "demo", "lighttpd", "memcached-remap", "monkey", "proxymachine"]
        .map(str::to_owned);
    assert!(names.is_superset(&expected.into()), "{names:?}");
}

#[test]
fn the_demo_does_what_it_says() {
    let _ports = ports_of_the_demo();
    let mut demo = Binary::run(&["demo", "--port", "0"]);
    demo.wait_for_stdout("is silent.");
    assert!(demo.stdout().contains("admin on http://127.0.0.1:"), "{}", demo.stdout());
    let steps = steps(&demo.stdout());
    assert_eq!(steps.len(), 8, "{steps:#?}");
    let turns = |name: [&str; 3], text: &str| {
        let names: Vec<_> = text.lines().filter(|line| line.contains(" answers ")).collect();
        let names: Vec<_> = names.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names.len(), 6, "a request failed: {text}");
        assert!(names.iter().all(|own| name.contains(own)), "{text}");
        for name in name {
            assert!(names.contains(&name), "{name} has no turn: {text}");
        }
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "no turns: {text}");
    };
    let said: Vec<String> = steps.iter().map(|commands| shell(commands)).collect();
    let expect = |step: usize, texts: &[&str]| {
        for text in texts {
            assert!(said[step - 1].contains(text), "no {text} in step {step}: {}", said[step - 1]);
        }
    };
    turns(["anna", "bert", "cora"], &said[0]);
    assert!(said[0].starts_with("anna answers GET / after 5 ms\nbert answers"), "{}", said[0]);
    expect(2, &["anna answers GET /first", "  via: 1.1 linkspan", "  x-forwarded-for: 127.0.0.1"]);
    expect(3, &["410 Gone", "this is gone"]);
    expect(4, &["x-proxy: linkspan", "  x-demo: added by a plugin", "x-origin: "]);
    assert!(!said[3].contains("server: "), "{}", said[3]);
    expect(5, &["bert is stopped\n"]);
    turns(["anna", "cora", "cora"], &said[4]);
    expect(
        6,
        &["\"state\": \"offline\"", "\"state\": \"alive\"", "retries_total{cluster=\"all\"} 2"],
    );
    expect(7, &["bert runs\n"]);
    turns(["anna", "bert", "cora"], &said[6]);
    expect(8, &["<h1>Linkspan "]);
    demo.signal(Signal::INT);
    assert_eq!(demo.wait().code(), Some(0), "{}", demo.stderr());
}

#[test]
fn the_demo_says_which_ports_it_found_taken() {
    let _ports = ports_of_the_demo();
    // Whoever has them: this test, or somebody else.
    let _held = [8080, 9901].map(|port| TcpListener::bind(("127.0.0.1", port)));
    let mut demo = Binary::run(&["demo"]);
    let web = demo.address("web");
    let admin = demo.admin();
    demo.wait_for_stdout("is silent.");
    let said = demo.stdout();
    assert!(said.contains("port 8080 is taken") && said.contains("port 9901 is taken"), "{said}");
    assert!(web.port() != 8080 && admin.port() != 9901, "{said}");
    assert!(said.contains(&format!("curl -s http://{web}/first")), "{said}");
    assert!(said.contains(&format!("http://{admin}/metrics")), "{said}");
    assert_eq!(demo.connect().get("/gone").status(), 410);

    let wanted = web.port().to_string();
    let mut second = Binary::run(&["demo", "--port", &wanted]);
    assert_eq!(second.wait().code(), Some(1), "what was asked for is not changed");
    assert!(second.stderr().contains(&wanted), "{}", second.stderr());
}

/// The commands of each step that the demo prints.
fn steps(text: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for line in text.lines() {
        if line
            .strip_prefix("# ")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            steps.push(String::new());
        } else if let Some(step) = steps.last_mut()
            && ["curl ", "for "].iter().any(|word| line.starts_with(word))
        {
            step.push_str(line);
            step.push('\n');
        }
    }
    steps
}

/// What commands print.
#[track_caller]
fn shell(commands: &str) -> String {
    let output = Command::new("sh").arg("-ec").arg(commands).output().unwrap();
    assert!(output.status.success(), "{commands}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
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
    assert!(client.get("/proxy-status").text().contains("3 of 3 alive"));

    // The first origin leaves: the second serves what it did, and nobody notices.
    let [first, ..] = origins;
    first.stop();
    for (path, content) in tree.files.iter().take(200) {
        let (kind, origin) = fetch(&mut client, path, content);
        assert_ne!(origin, "one");
        assert!(kind == "static" || origin == "two", "{path} from {origin}");
    }
}

/// Apache's example, where the first server refuses: the other is asked, and what that answers is
/// the answer, however bad.
#[test]
fn the_apache_example_tries_another_server_for_a_refusal_and_for_nothing_else() {
    let down = Down::new();
    let status = |request: &Message| request.target().rsplit('/').next().unwrap().parse();
    let origin = Origin::answering(move |request| reply(status(request).unwrap_or(200), &[], ""));
    let text = example("apache").replace("127.0.0.1:9001", &down.address().to_string());
    let text = text.replace("127.0.0.1:9002", &origin.address().to_string());
    let mut binary = Binary::with(&text, &[], &["-p", "0"]);
    let mut client = binary.connect();
    let asked = ["/snoop", "/gossip/404", "/snoop/500", "/gossip/503", "/snoop/502"];
    for (path, expected) in asked.into_iter().zip([200, 404, 500, 503, 502]) {
        assert_eq!(client.get(path).status(), expected, "{path}");
    }
    let seen: Vec<_> = origin.requests().iter().map(|it| it.target().to_owned()).collect();
    assert_eq!(seen, asked, "each of them once");
    let server = down.up(|peer| peer.answer(|_| reply(200, &[], "")));
    assert_eq!(client.get("/other").status(), 404);
    assert_eq!((server.hits(), origin.hits()), (0, asked.len()));
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

/// Serves an example with another text, beside the folders that it has.
fn served(name: &str, text: &str, arguments: &[&str]) -> Binary {
    Binary::prepared(text, &[], arguments, |plugins| {
        for entry in fs::read_dir(examples().join(name)).unwrap() {
            let folder = entry.unwrap();
            if folder.file_type().unwrap().is_dir() {
                symlink(folder.path(), plugins.with_file_name(folder.file_name())).unwrap();
            }
        }
    })
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

/// A real nginx. Dropped, it ends.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl Nginx {
    /// One with the example's configuration.
    #[track_caller]
    fn start(name: &str, root: &str) -> Self {
        let template = fs::read_to_string(examples().join("monkey/origin.conf")).unwrap();
        Self::serve(&template.replace("NAME", name).replace("ROOT", root))
    }

    /// One with a configuration in which `PORT` stands for the port.
    #[track_caller]
    pub(crate) fn serve(template: &str) -> Self {
        // A port that was free can be taken before nginx has it.
        let tries = (0..5).find_map(|_| Self::try_serve(template));
        tries.unwrap_or_else(|| panic!("nginx does not start"))
    }

    fn try_serve(template: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = template.replace("PORT", &address.port().to_string());
        let file = directory.path().join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program("nginx", "nginx-light"));
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

/// Where a server of that name is, which comes in this package. Servers live where an ordinary user's
/// PATH does not reach.
#[track_caller]
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    let mut programs = places.map(|place: PathBuf| place.join(name));
    programs.find(|program| program.is_file()).unwrap_or_else(|| {
        panic!("this test needs {name}: `sudo apt-get install {package}`, or `make test` does it")
    })
}
