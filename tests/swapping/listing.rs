//! What `linkspan plugins` says of a process that serves.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use super::digests::digest;
use super::{Bridge, stamp, stamped, stamped_as};
use crate::support::{Binary, Origin, eventually, one_cluster, reply};

/// What the command prints and says.
struct Listing {
    code: Option<i32>,
    table: String,
    said: String,
    json: Value,
    /// What it says where it prints JSON.
    said_beside: String,
}

impl Listing {
    /// Beside a process, of this configuration.
    fn of(linkspan: &Binary, toml: &str) -> Self {
        let file = linkspan.file().with_file_name("listed.toml");
        fs::write(&file, toml).unwrap();
        let command = ["plugins", "-c", file.to_str().unwrap()];
        let mut printed = linkspan.beside(&command);
        let mut as_json = linkspan.beside(&[&command[..], &["--json"]].concat());
        let code = printed.wait().code();
        assert_eq!(as_json.wait().code(), code, "{}", as_json.stderr());
        let json = serde_json::from_str(&as_json.stdout()).unwrap();
        let (table, said) = (printed.stdout(), printed.stderr());
        Self { code, table, said, json, said_beside: as_json.stderr() }
    }

    /// Beside a process that prints where its administrator's listener is.
    fn beside(bridge: &Bridge) -> Self {
        let toml = fs::read_to_string(bridge.linkspan.file()).unwrap();
        let admin = format!("bind = '{}'", bridge.admin);
        Self::of(&bridge.linkspan, &toml.replacen("bind = '127.0.0.1:0'", &admin, 1))
    }

    /// What stands for the version of a plugin.
    fn version(&self, plugin: &str) -> &str {
        let mut rows = self.table.lines().map(|line| line.split('\t'));
        rows.find_map(|mut row| (row.next()? == plugin).then(|| row.nth(2))?).unwrap()
    }

    /// What is known of a plugin.
    fn told(&self, plugin: &str) -> &Value {
        let mut all = self.json.as_array().unwrap().iter();
        all.find(|told| told["name"] == plugin).unwrap()
    }

    /// That all is well with all.
    #[track_caller]
    fn is_well(&self) {
        let said = [self.said.as_str(), &self.said_beside];
        assert_eq!((self.code, said), (Some(0), ["", ""]), "{}", self.table);
    }

    /// That a plugin is refused for this reason, and goes on as this version of `guest`.
    #[track_caller]
    fn refuses(&self, plugin: &str, reason: &str, [serves, refused]: [&[u8]; 2]) {
        assert_eq!((self.code, self.said_beside.as_str()), (Some(1), ""), "{}", self.said);
        assert_eq!(self.version(plugin), "refused", "{}", self.table);
        assert!(self.said.contains(reason), "{}", self.said);
        let told = self.told(plugin);
        assert!(told["error"].as_str().unwrap().contains(reason), "{told}");
        assert_eq!(told["digest"], digest(refused));
        let serving = |key: &str| told.pointer(&format!("/serving/{key}")).unwrap();
        assert_eq!(*serving("digest"), digest(serves));
        assert_eq!(*serving("candidate/digest"), digest(refused));
        let version = serving("version").as_str().unwrap();
        assert!(told["version"] != version && self.said.contains(version), "{}", self.said);
    }
}

#[test]
fn what_does_not_take_the_state_of_the_version_before_is_listed_as_refused() {
    let heirs = |stamp| stamped_as("hands-over", stamp);
    let folder = tempfile::TempDir::new().unwrap();
    // Only whoever may connect there is told.
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\n[admin]\nbind = 'unix:{}'\n[listeners.web]\n\
         bind = '127.0.0.1:0'\nrouters = ['heir']\n[plugins.heir]\ncomponent = 'heirs'\n",
        folder.path().join("admin.sock").display()
    );
    let mut linkspan = Binary::prepared(&toml, &[], &["run"], |directory| {
        fs::write(directory.join("heirs.wasm"), heirs("a")).unwrap();
    });
    linkspan.address("web");
    let listing = Listing::of(&linkspan, &toml);
    listing.is_well();
    let told = listing.told("heir");
    assert_eq!(told["serving"]["version"], told["version"]);
    assert_eq!(told["serving"]["candidate"], Value::Null);

    let reason = "it does not take the state of the version before: these are no calls";
    let path = linkspan.file().with_file_name("plugins.d/heirs.wasm");
    fs::write(&path, heirs("x")).unwrap();
    linkspan.wait_for_stderr(reason);
    Listing::of(&linkspan, &toml).refuses("heir", reason, [&heirs("a"), &heirs("x")]);

    fs::write(&path, heirs("b")).unwrap();
    linkspan.wait_for_stderr("plugin swapped");
    Listing::of(&linkspan, &toml).is_well();
}

#[test]
fn what_was_rolled_back_is_listed_as_refused() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    Listing::beside(&bridge).is_well();
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    let listing = Listing::beside(&bridge);
    listing.refuses("one", "a version is rolled back", [&stamped("a"), &stamped("b")]);
    assert_eq!(listing.told("other")["error"], Value::Null);
    // It is about those bytes.
    bridge.drop("stamps", &stamped("a"));
    Listing::beside(&bridge).is_well();
}

#[test]
fn what_failed_on_trial_is_listed_as_refused() {
    let keys = "on-failure = 'skip'\nshadow = 'others'";
    let mut bridge = Bridge::with(keys, "[plugins.one.canary]\nshare = '50%'\nfor = '1h'");
    let mut client = bridge.linkspan.connect();
    // Traps when it is called.
    bridge.drop("stamps", &stamped("?"));
    eventually("the verdict", || {
        assert_eq!(client.get("/").status(), 200);
        (bridge.candidates("one", "withdrawn") == 1).then_some(())
    });
    let reason = "a version on trial is withdrawn";
    Listing::beside(&bridge).refuses("one", reason, [&stamped("a"), &stamped("?")]);
}

#[test]
fn a_shadow_that_is_refused_where_it_serves_is_listed_as_such() {
    let mut bridge = Bridge::new();
    // Traps when it is configured, so that nothing is called beside the plugin.
    bridge.drop("wrong", &stamped("!"));
    bridge.rewrite(|toml| toml.replace("'stamps'", "'stamps'\nshadow = 'wrong'"));
    assert_eq!(bridge.order("/api/reload").0, 200);
    assert!(bridge.told("one")["shadow"]["candidate"].is_object());
    let listing = Listing::beside(&bridge);
    assert_eq!(listing.code, Some(1));
    let serving = &listing.told("one/shadow")["serving"];
    assert_eq!(serving["candidate"]["digest"], digest(&stamped("!")));
    assert_eq!(serving["version"], Value::Null);
}

#[test]
fn a_list_without_anybody_who_serves_says_that_only_the_files_were_judged() {
    let nonsense = Origin::replying("[1, {");
    let forbidden = Origin::answering(|_| reply(403, &[], ""));
    // Nobody accepts there.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = Origin::replying("");
    let serving = Binary::run(&["help"]);
    for (bind, why) in [
        (nonsense.address().to_string(), "what it answers is not understood"),
        (forbidden.address().to_string(), "it answers with 403"),
        (mute.to_string(), "there is no answer within 2 s"),
        (gone.to_string(), "connection refused"),
        ("unix:/nowhere/admin.sock".to_owned(), "connection refused"),
        ("127.0.0.1:0".to_owned(), "its port can be any"),
    ] {
        let cluster = one_cluster(&[origin.address()], "", "");
        let toml = format!("[admin]\nbind = '{bind}'\n{cluster}");
        let listing = Listing::of(&serving, &toml);
        assert_eq!(listing.code, Some(0), "{}", listing.said);
        assert_eq!(listing.said.lines().count(), 1, "{}", listing.said);
        assert!(listing.said.contains("only the files were judged"), "{}", listing.said);
        assert!(listing.said.contains(why), "{}", listing.said);
        let mut told = listing.json.as_array().unwrap().iter();
        assert!(told.all(|told| told["serving"].is_null()), "{}", listing.json);
    }
}

#[test]
fn a_reason_that_comes_from_elsewhere_steers_no_terminal() {
    let found = digest(&stamped("a"));
    let liar = Origin::answering(move |_| {
        let candidate = format!(
            r#"{{"digest":"{found}","reason":"\u001b[2Jno\nreally","since":"then","more":1}}"#
        );
        let plugin = format!(r#"{{"name":"stamps","version":"\u0007","candidate":{candidate}}}"#);
        reply(200, &[], format!("[{plugin}]"))
    });
    let origin = Origin::replying("");
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\n[admin]\nbind = '{}'\n{}",
        liar.address(),
        one_cluster(&[origin.address()], "rewriters = ['stamps']", "")
    );
    let nobody = Binary::prepared("", &[], &["help"], |directory| {
        fs::write(directory.join("stamps.wasm"), stamped("a")).unwrap();
    });
    let listing = Listing::of(&nobody, &toml);
    assert_eq!((listing.code, listing.version("stamps")), (Some(1), "refused"));
    let said = &listing.said;
    assert!(said.contains(r"\u{1b}[2Jno") && said.contains("really"), "{said}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said}");
    assert!(!listing.table.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
}
