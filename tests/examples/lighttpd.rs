//! lighttpd's example: URLs are hashed onto origins that know neither the client's name for them nor
//! its paths.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Nginx, example, examples, served};
use crate::support::{Binary, Client, Origin};

/// The example, with other addresses for its three origins.
fn with_origins<'a>(text: &str, addresses: impl IntoIterator<Item = &'a String>) -> Binary {
    let mut text = text.to_owned();
    for (place, address) in addresses.into_iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:900{}", place + 1), address);
    }
    served("lighttpd", &text, &["-p", "0"])
}

/// The application that names files. Dropped, it ends.
struct App(Child);

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn files_that_an_application_names_are_sent_from_below_the_root_alone() {
    let mut command = Command::new("python3");
    command.arg(examples().join("lighttpd/app.py")).arg("0");
    let mut app = App(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(app.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap();
    let text = example("lighttpd").replace("127.0.0.1:9004", address);
    let mut binary = served("lighttpd", &text, &["-p", "0"]);
    let mut client = binary.connect();

    let bytes = fs::read_to_string(examples().join("lighttpd/files/hello.txt")).unwrap();
    let answer = client.get("/files/hello.txt");
    assert_eq!((answer.status(), answer.text()), (200, bytes));
    assert_eq!(answer.value("x-sendfile"), None);
    assert_eq!(answer.value("cache-control"), Some("private"), "what the application says stays");
    let tag = answer.value("etag").unwrap().to_owned();
    let answer = client.ask("GET", "/files/hello.txt", &[("range", "bytes=0-11")], b"");
    assert_eq!((answer.status(), answer.text()), (206, "The upstream".to_owned()));
    let answer = client.ask("GET", "/files/hello.txt", &[("if-none-match", &tag)], b"");
    assert_eq!((answer.status(), answer.text()), (304, String::new()));
    assert_eq!(client.get("/files/..%2fREADME.md").status(), 403);
    assert_eq!(client.get("/files/none.txt").status(), 404);
}

/// Sixty names that differ in more than a digit: CARP's sums are near each other for such as do not,
/// and would give an origin most of them for some ports.
fn files() -> impl Iterator<Item = String> {
    (0..60).map(|number| format!("/part/{:x}-{:o}", number * 7919 % 10_007, number * number * 31))
}

/// Who serves each file.
#[track_caller]
fn owners(client: &mut Client) -> BTreeMap<String, String> {
    let owner = |file: String| {
        let answer = client.get(&format!("/proxyme{file}"));
        assert_eq!((answer.status(), answer.text()), (200, file.clone()));
        (file, answer.value("x-origin").unwrap().to_owned())
    };
    files().map(owner).collect()
}

#[test]
fn urls_are_hashed_onto_real_origins_and_redirects_come_back() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("part")).unwrap();
    for file in files() {
        fs::write(directory.path().join(&file[1..]), &file).unwrap();
    }
    let root = directory.path().to_str().unwrap();
    let origins = ["one", "two", "three"].map(|name| Nginx::start(name, root));
    let addresses = [0, 1, 2].map(|place: usize| origins[place].address.to_string());
    let mut binary = with_origins(&example("lighttpd"), &addresses);
    let mut client = binary.connect();

    let before = owners(&mut client);
    assert_eq!(owners(&mut client), before, "a URL is one origin's");
    for name in ["one", "two", "three"] {
        let share = before.values().filter(|owner| *owner == name).count();
        assert!((1..50).contains(&share), "{name} serves {share} of 60");
    }
    let answer = client.get("/proxyme/part?a=b");
    assert_eq!(answer.status(), 301);
    // nginx has named itself as it was asked, with its port.
    assert_eq!(answer.value("location"), Some("http://127.0.0.1:8080/proxyme/part/?a=b"));
    assert_eq!(client.get("/part/0-0").status(), 404, "nobody's");
    assert!(client.get("/proxy-status").text().contains("3 of 3 alive"));

    // Without the rule for Location.
    let text = example("lighttpd");
    let text =
        text.replace(r#"rewriters = ["english"]"#, r#"rewriters = ["english", "reverse-map"]"#);
    let answer = with_origins(&text, &addresses).connect().get("/proxyme/part?a=b");
    assert_eq!(answer.value("location"), Some("http://test/proxyme/part/?a=b"));

    let [first, ..] = origins;
    first.stop();
    for (file, owner) in owners(&mut client) {
        assert_ne!(owner, "one");
        assert!(before[&file] == owner || before[&file] == "one", "{file} has moved to {owner}");
    }
}

#[test]
fn origins_see_their_own_name_and_paths() {
    let origin = Origin::replying("");
    let addresses = [origin.address().to_string()];
    let mut binary = with_origins(&example("lighttpd"), addresses.iter().cycle().take(3));
    let fields = [("host", "www.example:81"), ("x-host", "evil.example")];
    let answer = binary.connect().ask("GET", "/proxyme/a%20b+c?d=e", &fields, b"");
    assert_eq!(answer.status(), 200);
    let request = origin.request();
    assert_eq!(request.target(), "/a%20b+c?d=e");
    assert_eq!(request.values("host"), ["en.example"]);
    assert_eq!(request.values("x-host"), ["www.example:81"]);
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
}
