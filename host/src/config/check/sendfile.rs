//! `sendfile-*` of clusters. The directories are opened while they are read: one that is missing is a
//! fault at its place, and what is served is what was there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::config::check::Context;
use crate::config::file::{Choice, Kind, List, Table, Value, key};
use crate::config::sendfile::{Compression, Root, Sendfile};

/// The directories that are open, by their paths: many clusters may share them.
pub(super) type Roots = BTreeMap<PathBuf, Arc<Root>>;

const ROOTS: &str = "sendfile-roots";
const PREFIXES: &str = "sendfile-prefixes";

pub(super) fn sendfile(table: &mut Table<'_>, context: &Context<'_>) -> Sendfile {
    const COMPRESSIONS: Choice<Compression> = Choice(&[
        ("off", Compression::Off, "as they are"),
        ("precompressed", Compression::Precompressed, "a `.br`, `.zst` or `.gz` beside them"),
        ("on-the-fly", Compression::OnTheFly, "the same, or else compressed while they are sent"),
    ]);
    let roots = "Directories whose files endpoints may name in X-Sendfile; none turns it off";
    let roots = key(ROOTS, roots, List(Directory(context))).such_as(vec!["/srv/files"]);
    let prefixes = "Paths of X-Accel-Redirect, each with the directory that it stands for";
    let prefixes = key(PREFIXES, prefixes, Prefixes(context));
    let prefixes = prefixes.such_as(json!({ "/protected/": "/srv/files" }));
    let compression = "How files are sent to clients that accept compressed ones";
    let compression = key("sendfile-compression", compression, COMPRESSIONS);
    Sendfile {
        roots: table.or(roots, Vec::new()),
        prefixes: table.or(prefixes, Vec::new()),
        compression: table.or(compression, Compression::default()),
    }
}

/// A directory that is there.
struct Directory<'c>(&'c Context<'c>);

impl Kind for Directory<'_> {
    type Value = Arc<Root>;

    fn read(&self, value: &Value<'_>) -> Option<Arc<Root>> {
        let path = self.0.path().read(value)?;
        if let Some(root) = self.0.roots.borrow().get(&path) {
            return Some(Arc::clone(root));
        }
        match Root::open(&path) {
            Ok(root) => {
                let root = Arc::new(root);
                self.0.roots.borrow_mut().insert(path, Arc::clone(&root));
                Some(root)
            }
            Err(error) => {
                let message =
                    format!("{} cannot be opened as a directory: {error}", path.display());
                value.refuse(&message, "expected a directory", None)
            }
        }
    }

    fn write(&self, value: &Arc<Root>) -> Json {
        value.path().to_string_lossy().into()
    }

    fn schema(&self) -> Json {
        self.0.path().schema()
    }
}

/// A table of directories by the beginnings of paths.
struct Prefixes<'c>(&'c Context<'c>);

impl Kind for Prefixes<'_> {
    type Value = Vec<(Box<str>, Arc<Root>)>;

    fn read(&self, value: &Value<'_>) -> Option<Self::Value> {
        value.table(|table| {
            let entry = |(prefix, value): (&str, Value<'_>)| {
                let simple = prefix.split('/').all(|part| part != "." && part != "..");
                if !prefix.starts_with('/')
                    || !prefix.ends_with('/')
                    || !simple
                    || prefix.contains("//")
                {
                    let expected =
                        "expected one that begins and ends with a slash, such as `/protected/`";
                    value.refuse_name("this cannot be the beginning of a path", expected);
                }
                Some((prefix.into(), Directory(self.0).read(&value)?))
            };
            table.entries().into_iter().filter_map(entry).collect()
        })
    }

    fn write(&self, value: &Self::Value) -> Json {
        let entry = |(prefix, root): &(Box<str>, Arc<Root>)| {
            (prefix.to_string(), Directory(self.0).write(root))
        };
        value.iter().map(entry).collect()
    }

    fn schema(&self) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^/(.*/)?$" },
            "additionalProperties": Directory(self.0).schema(),
        })
    }
}
