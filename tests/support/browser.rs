//! Chromium, a real browser: it shows a page as people see it, and tells what it asked for and what it
//! had to complain about. Spoken to over the DevTools protocol, through pipes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{PATIENCE, eventually};

/// Nothing of it reaches for the network but what pages ask for; its sandbox needs rights that root in
/// a container has not.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,800",
    "--remote-debugging-pipe",
];

/// What a shell does for it: it reads commands from descriptor 3 and writes to 4.
const LAUNCH: &str = r#"exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec chromium "$@""#;

/// A browser with one tab. Dropped, it ends.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Json>,
    session: Option<String>,
    last: u64,
    /// What was told unasked, in order.
    events: Vec<Json>,
    _profile: TempDir,
}

impl Browser {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that takes anybody's certificate.
    #[track_caller]
    pub(crate) fn trusting_anybody() -> Self {
        Self::start_with(&["--ignore-certificate-errors"])
    }

    #[track_caller]
    fn start_with(flags: &[&str]) -> Self {
        let found = Command::new("sh").args(["-c", "command -v chromium"]).output().unwrap();
        assert!(found.status.success(), "there is no chromium; tools/need.sh chromium installs it");
        let profile = TempDir::new().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", LAUNCH, "sh"])
            .args(FLAGS)
            .args(flags)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
                message.pop();
                let Ok(json) = serde_json::from_slice(&message) else { return };
                if sender.send(json).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let (session, events) = (None, Vec::new());
        let mut browser =
            Self { child, commands, messages, session, last: 0, events, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": at(&target, "/targetId"), "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = at(&attached, "/sessionId").as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Goes to a page and waits until it is there.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert!(at(&answer, "/errorText").is_null(), "{answer}");
        self.wait_for("the page to be loaded", "document.readyState === 'complete'");
    }

    /// How wide the window is, and whether it is a phone's and dark.
    pub(crate) fn look(&mut self, width: u32, phone: bool, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": feature }));
        // As high as the page, so that all of it is seen.
        for whole in [false, true] {
            let height =
                if whole { self.run("document.documentElement.scrollHeight") } else { json!(844) };
            let metrics = json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone
            });
            self.call("Emulation.setDeviceMetricsOverride", &metrics);
        }
    }

    /// What a script comes to.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> Json {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &params);
        assert!(at(&answer, "/exceptionDetails").is_null(), "{script}: {answer}");
        at(&answer, "/result/value").clone()
    }

    /// Waits until a script comes to true.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, script: &str) {
        eventually(what, || (self.run(script) == true).then_some(()));
    }

    /// Keeps what the whole page looks like, as NAME.png among what tests leave behind.
    pub(crate) fn screenshot(&mut self, name: &str) -> PathBuf {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", &params);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        fs::write(&path, base64(at(&answer, "/data").as_str().unwrap())).unwrap();
        path
    }

    /// The addresses that were asked for so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent =
            self.events.iter().filter(|event| at(event, "/method") == "Network.requestWillBeSent");
        sent.map(|event| at(event, "/params/request/url").as_str().unwrap().to_owned()).collect()
    }

    /// What it had to complain about so far: errors of scripts, of the policy, of the network.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let complains = |event: &&Json| {
            matches!(
                at(event, "/method").as_str(),
                Some("Log.entryAdded" | "Runtime.exceptionThrown" | "Runtime.consoleAPICalled")
            )
        };
        self.events.iter().filter(complains).map(|event| at(event, "/params").to_string()).collect()
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: &Json) -> Json {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let (Some(session), Some(message)) = (&self.session, message.as_object_mut()) {
            message.insert("sessionId".to_owned(), session.as_str().into());
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("chromium does not answer {method}"),
                Err(RecvTimeoutError::Disconnected) => panic!("chromium is gone at {method}"),
            };
            let id = at(&message, "/id");
            if *id == self.last {
                assert!(at(&message, "/error").is_null(), "{method}: {message}");
                return at(&message, "/result").clone();
            }
            if id.is_null() {
                self.events.push(message);
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a message has at a place, which may be nothing.
fn at<'m>(message: &'m Json, place: &str) -> &'m Json {
    message.pointer(place).unwrap_or(&Json::Null)
}

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for value in text.bytes().filter_map(value) {
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}
