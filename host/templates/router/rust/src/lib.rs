//! Router: what begins with `/api/` goes to the cluster `api`.

use exports::linkspan::plugin::lifecycle;
use exports::linkspan::plugin::router::{self, Decision, Target, Upstream};
use linkspan::plugin::request;

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        if config == "{}" { Ok(()) } else { Err(format!("expected no keys, found {config}")) }
    }
}

impl router::Guest for Plugin {
    fn route() -> Decision {
        if !request::path().starts_with("/api/") {
            return Decision::Next;
        }
        let upstream = Upstream::Cluster("api".into());
        Decision::Forward(Target { upstream, host: None, path: None })
    }
}

export!(Plugin);
