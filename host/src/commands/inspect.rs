//! Telling what components are, before and after they are used.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use crate::commands::{BUILT_IN, check, fail, options, say, uncounted};
use crate::config::Reading;
use crate::plugin::{self, Compiler, Component, Host, Settings, Source};
use crate::proxy::plugin_host;

/// Tells what a component is.
pub async fn inspect(file: &Path) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return fail(&error),
    };
    // Nothing is kept: a stranger's component is compiled to see what that takes.
    let settings = Settings {
        plugin_dir: None,
        cache_dir: None,
        cache_bytes: 0,
        compiler: Compiler { program, timeout: Duration::from_secs(60), memory_bytes: 2 << 30 },
        built_in: BUILT_IN,
        metrics: uncounted(),
    };
    let host = match Host::start(settings) {
        Ok(host) => host,
        Err(error) => return fail(&error),
    };
    let begin = Instant::now();
    let loaded = match plugin::read(file) {
        Ok(bytes) => host.load(&bytes).await,
        Err(refusal) => Err(refusal),
    };
    match loaded {
        Ok(component) => {
            say(&description(&component, begin.elapsed()));
            ExitCode::SUCCESS
        }
        Err(refusal) => fail(&format_args!("{}: {refusal}", file.display())),
    }
}

fn description(component: &Component, compiled_in: Duration) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "kind      {}", kinds(component));
    let _ = writeln!(text, "contract  linkspan:plugin@0.1.0");
    let _ = writeln!(text, "digest    {}", component.digest);
    let _ = writeln!(text, "size      {} bytes", component.size);
    let _ = writeln!(text, "compiled  in {} ms", compiled_in.as_millis());
    let calls = if component.waits { "may wait for a store" } else { "synchronous" };
    let _ = writeln!(text, "calls     {calls}");
    let wants = if component.waits { "stores = [...]" } else { "nothing" };
    let _ = writeln!(text, "to grant  {wants}");
    if !component.uncalled.is_empty() {
        let uncalled = component.uncalled.join(", ");
        let _ = writeln!(text, "unused    {uncalled}: exported, and not called by this version");
    }
    let _ = write!(text, "imports   {}", component.imports.join("\n          "));
    text
}

fn kinds(component: &Component) -> String {
    let kinds: Vec<_> = component.kinds.iter().map(|kind| kind.name()).collect();
    kinds.join(", ")
}

/// Lists the plugins of a configuration, then the components that no plugin uses.
/// Those that are refused are told where they stand in the file.
pub async fn plugins(path: Result<PathBuf, String>) -> ExitCode {
    let mut reading = match path {
        Ok(path) => Reading::load(&path),
        Err(text) => return fail(&text),
    };
    let Some(config) = reading.sound().cloned() else { return check::refuse(&mut reading).await };
    let host = options(None).map_err(|error| error.to_string()).and_then(|options| {
        plugin_host(&config, &options, &uncounted()).map_err(|error| error.to_string())
    });
    let host = match host {
        Ok(host) => host,
        Err(text) => return fail(&text),
    };
    let mut rows = vec![Row::header()];
    let mut refused = Vec::new();
    for plugin in config.plugins.values() {
        match load(&host, &plugin.component).await {
            Ok((source, component)) => {
                let version = plugin::version(plugin, &component);
                rows.push(Row::new(&plugin.name, &version, &source, &component));
            }
            // Told below, with its place.
            Err(_refusal) => {}
        }
    }
    for (name, _) in host.names() {
        if config.plugins.values().any(|plugin| plugin.component == name) {
            continue;
        }
        match load(&host, &name).await {
            Ok((source, component)) => rows.push(Row::new(&name, "unused", &source, &component)),
            Err(refusal) => refused.push(format!("{name}.wasm, unused: {refusal}")),
        }
    }
    say(&table(&rows));
    for text in &refused {
        fail(text);
    }
    check::judge_with(&mut reading, &host).await;
    if !reading.faults().is_empty() {
        return check::tell(reading.faults());
    }
    if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn load(
    host: &Host,
    name: &str,
) -> Result<(Source, std::sync::Arc<Component>), plugin::Refusal> {
    let (source, bytes) = host.find(name)?;
    Ok((source, host.load(&bytes).await?))
}

/// One line of the table.
struct Row([String; 6]);

impl Row {
    fn header() -> Self {
        Self(["NAME", "KIND", "VERSION", "SOURCE", "SIZE", "IMPORTS"].map(str::to_owned))
    }

    fn new(name: &str, version: &str, source: &Source, component: &Component) -> Self {
        let source = match source {
            Source::BuiltIn => "built-in".to_owned(),
            Source::File(path) => path.display().to_string(),
        };
        let short = |import: &String| {
            let import = import.strip_prefix("linkspan:plugin/").unwrap_or(import);
            import.split('@').next().unwrap_or_default().to_owned()
        };
        let (wasi, own): (Vec<_>, Vec<_>) =
            component.imports.iter().partition(|import| import.starts_with("wasi:"));
        let mut imports: Vec<_> = own.into_iter().map(short).collect();
        if !wasi.is_empty() {
            // A dozen interfaces come with any toolchain, and all of them deny.
            imports.push(format!("wasi({})", wasi.len()));
        }
        let size = component.size.to_string();
        Self([
            name.to_owned(),
            kinds(component),
            version.to_owned(),
            source,
            size,
            imports.join(" "),
        ])
    }
}

fn table(rows: &[Row]) -> String {
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.0) {
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &Row| {
        let cells = row.0.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
