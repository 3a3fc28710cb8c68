//! lighttpd's example: URLs are hashed onto origins that know neither the client's name for them nor
//! its paths.

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::{Nginx, example};
use crate::support::{Binary, Client, Origin};

/// The example, with other addresses for its three origins.
fn with_origins<'a>(text: &str, addresses: impl IntoIterator<Item = &'a String>) -> Binary {
    let mut text = text.to_owned();
    for (place, address) in addresses.into_iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:900{}", place + 1), address);
    }
    Binary::with(&text, &[], &["-p", "0"])
}

/// Who serves each file.
#[track_caller]
fn owners(client: &mut Client) -> BTreeMap<String, String> {
    let files = (0..60).map(|number| format!("/part/file-{number}"));
    let owner = |file: String| {
        let answer = client.get(&format!("/proxyme{file}"));
        assert_eq!((answer.status(), answer.text()), (200, file.clone()));
        (file, answer.value("x-origin").unwrap().to_owned())
    };
    files.map(owner).collect()
}

#[test]
fn urls_are_hashed_onto_real_origins_and_redirects_come_back() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("part")).unwrap();
    for number in 0..60 {
        let file = format!("/part/file-{number}");
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
        assert!((5..40).contains(&share), "{name} serves {share} of 60");
    }
    let answer = client.get("/proxyme/part?a=b");
    assert_eq!(answer.status(), 301);
    // nginx has named itself as it was asked, with its port.
    assert_eq!(answer.value("location"), Some("http://127.0.0.1:8080/proxyme/part/?a=b"));
    assert_eq!(client.get("/part/file-1").status(), 404, "nobody's");
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
