//! Rewriter: requests and responses carry the name of this plugin.

use exports::linkspan::plugin::{lifecycle, request_rewriter, response_rewriter};
use linkspan::plugin::edits::Edit;
use linkspan::plugin::types::Field;

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        if config == "{}" { Ok(()) } else { Err(format!("expected no keys, found {config}")) }
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        name()
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        name()
    }
}

fn name() -> Vec<Edit> {
    vec![Edit::Set(Field { name: "x-plugin".into(), value: b"by-path".to_vec() })]
}

export!(Plugin);
