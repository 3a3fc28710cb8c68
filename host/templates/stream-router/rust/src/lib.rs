//! Stream router: what begins as SSH does goes to the cluster `ssh`, what else comes to `main`.

use exports::linkspan::plugin::lifecycle;
use exports::linkspan::plugin::stream_router::{self, Decision, Target, Trouble, Upstream};

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        if config == "{}" { Ok(()) } else { Err(format!("expected no keys, found {config}")) }
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        None
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        if bytes.len() < 4 && !ended {
            return Decision::Wait;
        }
        let cluster = if bytes.starts_with(b"SSH-") { "ssh" } else { "main" };
        Decision::Forward(Target {
            upstreams: vec![Upstream::Cluster(cluster.into())],
            data: None,
            reply: None,
            connect_timeout: None,
            inactivity_timeout: None,
        })
    }

    fn failed(_id: u64, _upstream: String, _trouble: Trouble) {}
}

export!(Plugin);
