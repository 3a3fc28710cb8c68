//! Telling what a component is, before it is used.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::cli::Inspect;
use crate::commands::terminal::{Paint, Terminal};
use crate::commands::{BUILT_IN, fail, json, say, uncounted};
use crate::plugin::{self, CONTRACT, Compiler, Component, Found, Host, Refusal, Settings, Source};

/// How long compiling may take: who is waiting can stop it, and components of Python take minutes where
/// the processor is busy.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);

/// What there is to tell. What is not known is absent.
#[derive(Default, Serialize)]
struct Report {
    path: String,
    kinds: Option<Vec<&'static str>>,
    contract: Option<&'static str>,
    digest: Option<Arc<str>>,
    size_bytes: Option<usize>,
    compile_ms: Option<u64>,
    waits: Option<bool>,
    transforms: Option<bool>,
    names: Option<bool>,
    imports: Option<Vec<String>>,
    uncalled: Option<Vec<String>>,
    needs: Option<Vec<&'static str>>,
    error: Option<String>,
}

/// Tells what a component is.
pub async fn inspect(wanted: &Inspect) -> ExitCode {
    let mut report = Report { path: wanted.file.display().to_string(), ..Report::default() };
    if let Err(reason) = examine(&wanted.file, &mut report).await {
        // What cannot be read is named by its path already.
        let named = reason.starts_with(&report.path);
        let text = if named { reason.clone() } else { format!("{}: {reason}", report.path) };
        if wanted.json {
            report.error = Some(reason);
            say(&json(&report));
        }
        return fail(&text);
    }
    if wanted.json {
        say(&json(&report));
    } else {
        say(&report.text(Terminal::stdout()));
    }
    ExitCode::SUCCESS
}

async fn examine(file: &Path, report: &mut Report) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let words = |refusal: Refusal| match refusal.source() {
        Some(cause) => format!("{refusal}: {cause}"),
        None => refusal.to_string(),
    };
    // Nothing is kept: a stranger's component is compiled to see what that takes.
    let host = Host::start(Settings {
        plugin_dir: None,
        cache_dir: None,
        cache_bytes: 0,
        compiler: Compiler { program, timeout: PATIENCE, memory_bytes: 2 << 30 },
        built_in: BUILT_IN,
        metrics: uncounted(),
    })
    .map_err(words)?;
    let bytes = plugin::read(file).map_err(words)?;
    report.size_bytes = Some(bytes.len());
    let begin = Instant::now();
    let found = Found::new(Source::File(file.to_owned()), bytes);
    let component = host.load(&found).await.map_err(words)?;
    report.compile_ms = u64::try_from(begin.elapsed().as_millis()).ok();
    report.names = Some(plugin::has_names(&found.bytes));
    report.add(&component);
    Ok(())
}

impl Report {
    fn add(&mut self, component: &Component) {
        self.kinds = Some(component.kinds.iter().map(|kind| kind.name()).collect());
        self.contract = Some(CONTRACT);
        self.digest = Some(Arc::clone(&component.digest));
        self.waits = Some(component.waits);
        self.transforms = Some(component.transforms());
        self.imports = Some(component.imports.clone());
        self.uncalled = Some(component.uncalled.clone());
        self.needs = Some(component.needs());
    }

    /// For people to read.
    fn text(&self, terminal: Terminal) -> String {
        let kinds = self.kinds.as_deref().unwrap_or_default();
        let calls = if self.waits == Some(true) {
            "asynchronous: they may wait for a store, and the worker serves others meanwhile"
        } else {
            "synchronous: nothing it imports can wait, so calls are made on the worker's own \
             thread,\nat least cost, and end at the deadline"
        };
        let bodies = "transformed, if `on-response` asks for that: piece by piece, in calls that are\n\
                      asynchronous, to instances of their own";
        let mut grants = Vec::new();
        if self.needs.as_ref().is_some_and(|needs| needs.contains(&"stores")) {
            grants.push("stores = [\"NAME\"], for it imports keyvalue; else it is refused");
        }
        if kinds.contains(&"router") {
            grants.push("addresses = [\"…\"], if it forwards to addresses and not to clusters");
        }
        let names = if self.names == Some(true) {
            "there are: the report of a trap tells in which functions it happened"
        } else {
            "there are none: the report of a trap tells function numbers only; build it with\n\
             `strip = \"debuginfo\"` or `strip = false` in its profile to have them"
        };
        let lines = |list: Option<&Vec<String>>| list.map(|list| list.join("\n"));
        let uncalled = lines(self.uncalled.as_ref()).filter(|text| !text.is_empty());
        let text = |text: &str| Some(text.to_owned());
        let rows = [
            ("kind", Some(kinds.join(", "))),
            ("contract", self.contract.map(str::to_owned)),
            ("digest", self.digest.as_deref().map(str::to_owned)),
            ("size", self.size_bytes.map(|size| format!("{size} bytes"))),
            ("compiled", self.compile_ms.map(|ms| format!("in {ms} ms"))),
            ("calls", text(calls)),
            ("bodies", text(bodies).filter(|_| self.transforms == Some(true))),
            (
                "to grant",
                if grants.is_empty() { text("nothing") } else { text(&grants.join("\n")) },
            ),
            ("names", text(names)),
            ("imports", lines(self.imports.as_ref())),
            ("uncalled", uncalled.map(|list| format!("{list}\n(this version does not call them)"))),
        ];
        let row = |(name, text): (&str, Option<String>)| {
            let text = text.filter(|text| !text.is_empty())?.replace('\n', "\n          ");
            Some(format!("{}  {text}", terminal.paint(Paint::Heading, &format!("{name:8}"))))
        };
        rows.into_iter().filter_map(row).collect::<Vec<_>>().join("\n")
    }
}
