//! What is told of the configuration is what is read: the schema, the reference in the README, the
//! examples and the reader agree.

use std::fs;
use std::path::{Path, PathBuf};

use linkspan::config::Config;
use tempfile::TempDir;

use crate::support::{tls, tombi};

const SMALLEST: &str = "[listeners.web]\nbind = ':0'\n";

/// Where the schema stands for editors, from the root of the repository.
const SCHEMA: &str = "linkspan.schema.json";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Compares a file with what it should be, or makes it that.
#[track_caller]
fn holds(file: &str, expected: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let same = text == expected;
    assert!(same, "{file} is not what the code says; `UPDATE=1 cargo test schema` rewrites it");
}

#[test]
fn the_schema_for_editors_is_the_one_of_this_version() {
    holds(SCHEMA, &format!("{:#}\n", Config::schema()));
}

#[test]
fn the_readme_has_the_reference_of_this_version() {
    const START: &str = "<!-- what `linkspan schema --reference` prints -->\n```toml\n";
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (_, after) = rest.split_once("```\n").unwrap();
    holds("README.md", &format!("{before}{START}{}```\n{after}", Config::reference()));
}

/// Files that an editor sees with the schema beside them, and that the reader sees.
#[derive(Default)]
struct Judged {
    texts: Vec<String>,
}

impl Judged {
    fn add(&mut self, text: &str) {
        self.texts.push(text.to_owned());
    }

    /// Each text with what is wrong with it: to the editor, and to the reader.
    fn judge(self) -> Vec<(String, String, String)> {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("schema.json"), Config::schema().to_string()).unwrap();
        let name = |index: usize| format!("{index}.toml");
        for (index, text) in self.texts.iter().enumerate() {
            let text = format!("#:schema schema.json\n\n{text}");
            fs::write(directory.path().join(name(index)), text).unwrap();
        }
        let mut faults = tombi::lint(directory.path());
        let judge = |(index, text): (usize, String)| {
            let reader = Config::parse(&text, Path::new("linkspan.toml"));
            let reader = reader.err().map(|faults| faults.to_string()).unwrap_or_default();
            let editor = faults.remove(&name(index)).unwrap_or_default();
            (text, editor, reader)
        };
        self.texts.into_iter().enumerate().map(judge).collect()
    }
}

#[test]
fn examples_name_the_schema() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let file = entry.unwrap().path().join("linkspan.toml");
        if let Ok(text) = fs::read_to_string(&file) {
            let folder = file.parent().unwrap();
            let line = text.lines().next().and_then(|line| line.strip_prefix("#:schema "));
            let named =
                folder.join(line.unwrap_or_else(|| panic!("{} names none", file.display())));
            let (named, schema) = (named.canonicalize(), root().join(SCHEMA).canonicalize());
            assert_eq!(named.unwrap(), schema.unwrap(), "{}", file.display());
            count += 1;
        }
    }
    assert!(count >= 2, "only {count} examples found");
    let faults = tombi::lint(&root().join("examples"));
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn configurations_of_the_readme_are_what_the_schema_says() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    let mut judged = Judged::default();
    let vault = TempDir::new().unwrap();
    for block in blocks.filter(|block| block.contains("[listeners.")) {
        judged.add(&tls::provided(block, "/etc/linkspan/", vault.path()));
    }
    let judged = judged.judge();
    assert!(judged.len() >= 2, "{judged:?}");
    for (text, editor, reader) in judged {
        assert_eq!((editor.as_str(), reader.as_str()), ("", ""), "{text}");
    }
}

#[test]
fn schema_and_reader_accept_the_same() {
    let mut judged = Judged::default();
    for text in [
        "",
        "head-timeout = '1h30m'\nidle-timeout = '5ms6us'",
        "head-timeout = '${SURELY_UNSET:-5s}'\nmax-head-bytes = '${SURELY_UNSET:-8KiB}'",
        "max-head-bytes = 0x4000\nmax-body-bytes = '1GB'",
        "[log]\nlevel = '${SURELY_UNSET:-warn}'\nfile = 'a.log'\naccess = 'off'",
        "trusted-proxies = ['unix', '::1', '10.0.0.0/8']",
        "[clusters.c]\nendpoints = ['https://a', 'HTTPS://[::1]:8443/', 'srv+https://_https._tcp.a']\n\
         tls = { verify = false, server-name = 'App.internal', min-version = '1.3' }",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-mode = '660'\nsocket-owner = 'root'",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-mode = '0606'\nsocket-group = 1_000",
        "[clusters.c]\nendpoints = []\nbalancer = 'Lockless Round Robin'",
        "[clusters.c]\nendpoints = []\nbalancer = ['first-alive', 'mine']",
        "[clusters.c]\nendpoints = ['a', 'a:1', '[::1]:1', 'HTTP://a/', 'unix:/x', '1.2.3.4']",
        "[clusters.c]\nendpoints = [{ address = 'a', weight = 2.5, n = 1, b = true, s = 'x' }]",
        "[clusters.c]\nendpoints = [{ address = 'a', status = 'spare', lbset = 99 }]",
        "[clusters.'a b']\nendpoints = []\nhealth = { offline = '0s' }",
        "[plugins.p.config]\nany = [{ thing = 1.5 }]\nat = 1979-05-27T07:32:00Z",
        "[plugins.p.grants]\naddresses = ['10.0.0.0/8:*', '[fd00::/8]:443', 'a.b:80', '[::1]:1']",
        "[plugins.p]\nrecord = 'x.jsonl'",
        "[plugins.p.record]\nfile = 'x'\nheaders = ['Accept']\nshare = '0.5%'\nmax-bytes = '1GiB'",
        "[plugins.p]\nconfig = {\n  a = 1, # one\n  b = \"\\e\",\n}",
        "[stores.s]\ntype = 'memory'\nentries = { 'http://a/' = 'b' }",
        "[stores.s]\ntype = 'memcached'\nservers = ['a', 'a:1', '[::1]', 'unix:/m', '1.2.3.4']",
        "[stores.s]\ntype = 'memcached'\nservers = 'a'\nmax-connections = 1\nidle-timeout = '1s'",
        "[defaults.cluster]\nhealth.attempts = 3\n[defaults.listener]\nrouters = ['x']",
    ] {
        judged.add(&format!("{SMALLEST}{text}"));
    }
    judged.add("[listeners.web]\nbind = 'localhost:80'\n[listeners.'b c']\nbind = '[::]:80'");
    for (text, editor, reader) in judged.judge() {
        assert_eq!((editor.as_str(), reader.as_str()), ("", ""), "{text}");
    }
}

#[test]
fn schema_and_reader_refuse_the_same() {
    let mut judged = Judged::default();
    judged.add("");
    for text in [
        "hed-timeout = '1s'",
        "head-timeout = 5",
        "head-timeout = '10'",
        "head-timeout = '1.5s'",
        "head-timeout = '30m1h'",
        "head-timeout = ''",
        "max-head-bytes = '64K'",
        "max-head-bytes = 1",
        "max-headers = 0",
        "max-headers = '9'",
        "routers = 'x'",
        "routers = [1]",
        "protocol = 'udp'",
        "pin = 'connection'",
        "tls.min-version = '1.1'",
        "[sever]",
        "[log]\nlevel = 'inof'",
        "[log]\nfile = 'off'",
        "[listeners.b]",
        "[listeners.b]\nbind = '1.2.3.4'",
        "[listeners.b]\nbind = 'unix:b'",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-mode = '0680'",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-mode = 0o660",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-owner = -1",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-group = ''",
        "[clusters.c]",
        "[clusters.'']\nendpoints = []",
        "[clusters.c]\nendpoints = ['']",
        "[clusters.c]\nendpoints = ['h2c://a']",
        "[clusters.c]\nendpoints = []\ntls = true",
        "[clusters.c]\nendpoints = []\ntls = { verify = 'no' }",
        "[clusters.c]\nendpoints = []\ntls = { min-version = '1.1' }",
        "[clusters.c]\nendpoints = []\ntls = { server-name = 'a b' }",
        "[clusters.c]\nendpoints = []\ntls = { ca-file = 'a' }",
        "[clusters.c]\nendpoints = [{ weight = 2 }]",
        "[clusters.c]\nendpoints = [{ address = 'a', weight = 0 }]",
        "[clusters.c]\nendpoints = [{ address = 'a', weight = -1 }]",
        "[clusters.c]\nendpoints = [{ address = 'a', status = 'of' }]",
        "[clusters.c]\nendpoints = [{ address = 'a', lbset = 100 }]",
        "[clusters.c]\nendpoints = [{ address = 'a', x = {} }]",
        "[clusters.c]\nendpoints = []\nbalancer = []",
        "[clusters.c]\nendpoints = []\nbalancer = 1",
        "[clusters.c]\nendpoints = []\nforwarded-headers = ['x-forwarded']",
        "[clusters.c]\nendpoints = []\nhealth.attempt = 1",
        "[plugins.p]\ncomponent = '../x'",
        "[plugins.p]\nconfig = 'x'",
        "[plugins.p]\nlimits.memory = '1 MiB'",
        "[plugins.p]\nlimits.log-rate = -1",
        "[plugins.p]\nrecord = 1",
        "[plugins.p]\nrecord = { headers = [] }",
        "[plugins.p]\nrecord = { file = 'x', headers = ['a b'] }",
        "[plugins.p]\nrecord = { file = 'x', share = '5' }",
        "[plugins.p]\ninstances = 'many'",
        "[plugins.p]\ngrants.addresses = ['a']",
        "[stores.s]\ntype = 'memcachd'",
        "[stores.s]\ntype = 'memcached'\nservers = ['a b']",
        "[stores.s]\ntype = 'memcached'\nservers = []",
        "[stores.s]\nentries = { a = 1 }",
        "[defaults.listener]\nbind = ':1'",
        "[defaults.server]",
    ] {
        judged.add(&format!("{SMALLEST}{text}"));
    }
    for (text, editor, reader) in judged.judge() {
        assert!(!editor.is_empty() && !reader.is_empty(), "{text}\n{editor}\n{reader}");
    }
}

#[test]
fn what_takes_more_than_the_form_of_a_value_is_for_the_reader_to_refuse() {
    let mut judged = Judged::default();
    for text in [
        "head-timeout = '25h'",
        "socket-mode = '0660'",
        "[listeners.b]\nbind = 'unix:/b'\nsocket-owner = 'nobody-of-this-name'",
        "head-timeout = '${SURELY_UNSET}'",
        "max-head-bytes = '1B'",
        "default-cluster = 'c'",
        "routers = ['a b']",
        "[clusters.c]\nendpoints = ['1.2.3.4:99999']",
        "[clusters.c]\nendpoints = [{ address = 'a', weight = 1.005 }]",
        "[clusters.c]\nendpoints = []\nbalancer = 'rond robin'",
        "[plugins.p.grants]\nstores = ['s']",
        "[stores.s]\nmax-bytes = '1KiB'\nentries = { a = '${SURELY_UNSET:-}${' }",
    ] {
        judged.add(&format!("{SMALLEST}{text}"));
    }
    for (text, editor, reader) in judged.judge() {
        assert!(editor.is_empty() && !reader.is_empty(), "{text}\n{editor}\n{reader}");
    }
}

#[test]
fn an_editor_offers_the_keys_and_says_what_they_are_for() {
    let text = example("monkey").replace("bind = ", "\nbind = ");
    let line = text.lines().position(|line| line == "[listeners.web]").unwrap() + 1;
    let mut editor = tombi::Editor::open(&root().join("examples/monkey/linkspan.toml"), &text);
    let offered = editor.complete(line, 0);
    let about = offered.get("head-timeout").unwrap_or_else(|| panic!("{offered:?}"));
    assert!(about.contains("The longest that a request's head takes to arrive"), "{about}");
    assert!(about.contains("10s"), "{about}");
    assert!(!offered.contains_key("bind"), "it is there already: {offered:?}");

    let text = "#:schema ../../linkspan.schema.json\n\n[log]\nformat = \n";
    let mut editor = tombi::Editor::open(&root().join("examples/monkey/linkspan.toml"), text);
    let offered = editor.complete(3, 9);
    let about = offered.get("\"auto\"").unwrap_or_else(|| panic!("{offered:?}"));
    assert!(about.contains("text on a terminal"), "{about}");
}

fn example(name: &str) -> String {
    fs::read_to_string(root().join("examples").join(name).join("linkspan.toml")).unwrap()
}
