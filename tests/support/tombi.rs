//! Tombi, a real editor's half that knows TOML: it checks files by their schemas, and completes
//! them over the language server protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{PATIENCE, eventually};

/// What is wrong with the files of a folder, by their names within it, in the words of Tombi.
pub(crate) fn lint(folder: &Path) -> BTreeMap<String, String> {
    let cache = TempDir::new().unwrap();
    let output = command(&cache)
        .args(["lint", "--offline", "--quiet", "--diagnostics-format", "json-lines"])
        .args(["--diagnostics-file", "/dev/stdout", "."])
        .current_dir(folder)
        .output()
        .unwrap();
    let mut faults = BTreeMap::<_, String>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fault: Json = serde_json::from_str(line).unwrap();
        // What it warns of is style.
        if text(&fault, "level") == "error" {
            let file = text(&fault, "path").to_owned();
            *faults.entry(file).or_default() += &format!("{fault}\n");
        }
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), faults.is_empty(), "{stderr}");
    faults
}

/// A file that is open in an editor.
pub(crate) struct Editor {
    server: Child,
    requests: ChildStdin,
    replies: Receiver<Json>,
    file: String,
    last: u64,
    _cache: TempDir,
}

impl Editor {
    /// Opens a file as if it had this text.
    pub(crate) fn open(file: &Path, text: &str) -> Self {
        let cache = TempDir::new().unwrap();
        let mut server = command(&cache)
            .args(["lsp", "--offline"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let requests = server.stdin.take().unwrap();
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let (sender, replies) = channel();
        thread::spawn(move || {
            while let Some(message) = receive(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let file = format!("file://{}", file.display());
        let mut editor = Self { server, requests, replies, file, last: 0, _cache: cache };
        editor
            .ask("initialize", &json!({ "processId": null, "rootUri": null, "capabilities": {} }));
        editor.tell("initialized", &json!({}));
        let document =
            json!({ "uri": editor.file, "languageId": "toml", "version": 1, "text": text });
        editor.tell("textDocument/didOpen", &json!({ "textDocument": document }));
        editor
    }

    /// What it offers at a place, lines and columns from 0, each with what it says about it.
    #[track_caller]
    pub(crate) fn complete(&mut self, line: usize, column: usize) -> BTreeMap<String, String> {
        let position = json!({ "line": line, "character": column });
        let place = json!({ "textDocument": { "uri": self.file }, "position": position });
        let about = |item: &Json| item.get("documentation").map(Json::to_string);
        let item = |item: &Json| (text(item, "label").to_owned(), about(item).unwrap_or_default());
        // It answers with nothing for as long as it has not taken the file in.
        eventually("completions", || {
            let result = self.ask("textDocument/completion", &place);
            let items = result.as_array().or_else(|| result.get("items")?.as_array())?;
            (!items.is_empty()).then(|| items.iter().map(item).collect())
        })
    }

    fn ask(&mut self, method: &str, params: &Json) -> Json {
        self.last += 1;
        let id = self.last;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.replies.recv_timeout(PATIENCE).unwrap();
            match (message.get("method"), message.get("id")) {
                // It asks for something that this editor does not have.
                (Some(_), Some(id)) => {
                    self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null }));
                }
                (None, Some(answered)) if *answered == id => {
                    return message.get("result").cloned().unwrap_or_else(|| panic!("{message}"));
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, method: &str, params: &Json) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn send(&mut self, message: &Json) {
        let text = message.to_string();
        write!(self.requests, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.requests.flush().unwrap();
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[track_caller]
fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_else(|| panic!("{json} has no {key}"))
}

/// The next message; none at the end.
fn receive(output: &mut impl BufRead) -> Option<Json> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        output.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", bytes)) => length = bytes.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut text = vec![0; length];
    output.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn command(cache: &TempDir) -> Command {
    let mut command = Command::new(program());
    command.env("XDG_CACHE_HOME", cache.path()).env("XDG_CONFIG_HOME", cache.path());
    command
}

/// Where Tombi is: where `tools/tombi.sh` puts it, or on the path.
#[track_caller]
fn program() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tombi/bin/tombi");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|place| place.join("tombi"));
    let mut programs = std::iter::once(own).chain(places);
    programs.find(|program| program.is_file()).unwrap_or_else(|| {
        panic!("this test needs Tombi: `tools/tombi.sh` fetches it, and `make test` runs that")
    })
}
