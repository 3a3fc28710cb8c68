//! What every shipped component promises: it asks for nothing but the contract, and exports a
//! decision of it.
#![expect(clippy::expect_used, reason = "a test may panic, and its helpers too")]

use linkspan_plugins::{COMPONENTS, component};
use wasmparser::{Parser, Payload};

const CONTRACT: &str = "linkspan:plugin/";
const VERSION: &str = "@0.1.0";

struct Face {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// The names that a component imports and exports, without those of what is nested in it.
fn face(bytes: &[u8]) -> Face {
    let mut face = Face { imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("a well-formed component") {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 1 => {
                face.imports.extend(
                    imports
                        .into_iter()
                        .map(|import| import.expect("an import").name.name.to_owned()),
                );
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                face.exports.extend(
                    exports
                        .into_iter()
                        .map(|export| export.expect("an export").name.name.to_owned()),
                );
            }
            _ => {}
        }
    }
    face
}

#[test]
fn components_import_nothing_but_the_contract() {
    let kinds = ["balancer", "request-rewriter", "response-rewriter", "router", "stream-router"];
    assert!(COMPONENTS.len() >= 26, "the standard plugins are missing");
    for (name, bytes) in COMPONENTS {
        let face = face(bytes);
        println!(
            "{name}: {} bytes, imports {:?}, exports {:?}",
            bytes.len(),
            face.imports,
            face.exports
        );
        for import in &face.imports {
            // A panic that cannot be ruled out makes std import WASI; the host answers that with
            // denials.
            assert!(
                import.starts_with(CONTRACT) && import.ends_with(VERSION)
                    || import.starts_with("wasi:"),
                "{name}: {import}"
            );
        }
        let exports =
            |interface: &str| face.exports.contains(&format!("{CONTRACT}{interface}{VERSION}"));
        assert!(exports("lifecycle"), "{name} cannot be configured");
        assert!(kinds.iter().any(|kind| exports(kind)), "{name} decides nothing");
    }
}

#[test]
fn components_are_found_by_name() {
    for (name, bytes) in COMPONENTS {
        assert_eq!(component(name), Some(*bytes));
    }
    assert_eq!(component("none-of-ours"), None);
    assert!(COMPONENTS.is_sorted());
}
