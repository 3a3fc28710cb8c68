//! One call of each kind before a version serves: what cannot answer a simple request is refused.
//!
//! It is made in an instance of its own, which is dropped. What that sees of the world is real but for what
//! it could change: its stores are empty and its own, and so are its cells, its figures and its log.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response};
use smallvec::smallvec;
use tokio::runtime::Handle;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::config::Limits;
use crate::log::id::RequestIds;
use crate::metrics::{Metrics, Words};
use crate::plugin::cells::Cells;
use crate::plugin::component::Kind;
use crate::plugin::definition::Definition;
use crate::plugin::error::{FAILURES, Refusal};
use crate::plugin::exchange::{Connection, Exchange, Taken, Trail};
use crate::plugin::guest::Running;
use crate::plugin::identity::{Given, Identity};
use crate::plugin::instance::{Call, Faces, Instance};
use crate::plugin::members::Members;
use crate::store::Store;

/// How long a call may compute: the first of an instance may be slow.
const DEADLINE: Duration = Duration::from_secs(1);

/// Whom the request is for: nobody can be asked for it.
const AUTHORITY: &str = "probe.invalid";

impl Definition {
    /// Makes a call of each kind that this is used as, on a thread of its own.
    ///
    /// # Errors
    ///
    /// What keeps one from coming to its end. What it answers does not matter.
    pub async fn probe_apart(self: &Arc<Self>) -> Result<(), Refusal> {
        let (scratch, runtime) = (self.scratch(), Handle::current());
        let probe = move || runtime.block_on(probe(&scratch));
        match tokio::task::spawn_blocking(probe).await {
            Ok(probed) => probed,
            Err(_ended) => Err(Refusal::Unfit("the process is ending".to_owned())),
        }
    }

    /// The same plugin without anything that it shares with its instances.
    fn scratch(&self) -> Self {
        let given = &self.identity.given;
        let metrics = Metrics::new(1, Words { errors: &[], plugin_failures: &FAILURES });
        let stores = given.stores.iter();
        let stores = stores.map(|(name, _)| (Arc::clone(name), Arc::new(Store::scratch())));
        let given = Given {
            limits: Limits { deadline: DEADLINE, log_rate: 0, ..given.limits },
            stores: stores.collect(),
            cells: Arc::new(Cells::default()),
            metrics: metrics.plugin(&given.name),
            ..given.clone()
        };
        let identity = Arc::new(Identity::new(given, Arc::default()));
        let (component, machine) = (Arc::clone(&self.component), Arc::clone(&self.machine));
        let (config, members) = (self.config.clone(), self.members.clone());
        Self::new(config, component, &self.kinds, members, identity, machine)
    }
}

async fn probe(scratch: &Definition) -> Result<(), Refusal> {
    let mut instance = Instance::birth(scratch).await?;
    let exports = &scratch.component.exports;
    for kind in &scratch.kinds {
        match kind {
            Kind::Router => {
                let (name, running) = ("route", Running::Request);
                ask(&mut instance, Call { name, face: |faces| faces.route, params: (), running })
                    .await?;
            }
            Kind::Balancer => {
                let cluster = scratch.members.as_deref().map_or(0, Members::cluster);
                let (name, running) = ("pick", Running::Request);
                let params = (cluster, 0, None);
                ask(&mut instance, Call { name, face: |faces| faces.pick, params, running })
                    .await?;
            }
            Kind::Rewriter => {
                if exports.on_request.is_some() {
                    let (name, running) = ("on-request", Running::Request);
                    let face = |faces: &Faces| faces.on_request;
                    ask(&mut instance, Call { name, face, params: (), running }).await?;
                }
                if exports.on_response.is_some() {
                    let (name, running) = ("on-response", Running::Response);
                    let face = |faces: &Faces| faces.on_response;
                    ask(&mut instance, Call { name, face, params: (), running }).await?;
                }
            }
            Kind::StreamRouter => {
                let running = Running::Stream;
                let face = |faces: &Faces| faces.accepted;
                ask(&mut instance, Call { name: "accepted", face, params: (0,), running }).await?;
                let (face, params) = (|faces: &Faces| faces.decide, (0, Vec::new(), false));
                ask(&mut instance, Call { name: "decide", face, params, running }).await?;
            }
        }
    }
    Ok(())
}

async fn ask<P, R>(instance: &mut Instance, call: Call<P, R>) -> Result<(), Refusal>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let (step, about) = (call.name, exchange(call.running));
    let (_, answer) = instance.call_yielding(call, about).await;
    answer.map(drop).map_err(|cause| Refusal::Start { step, cause })
}

/// `GET / HTTP/1.1` from nobody, and an answer to it where that is what a call is about; or a connection
/// of nobody's on which nothing has come.
fn exchange(running: Running) -> Box<Exchange> {
    let nobody = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1));
    let trail = Trail::new(RequestIds::new().issue(), false);
    if running == Running::Stream {
        return Exchange::of_stream(connection(nobody, "tcp"), trail);
    }
    let (mut request, ()) = Request::new(()).into_parts();
    request.headers.insert(HOST, HeaderValue::from_static(AUTHORITY));
    let answered = matches!(running, Running::Response);
    let response = answered.then(|| {
        let (mut response, ()) = Response::new(()).into_parts();
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        response
    });
    Box::new(Exchange {
        connection: connection(nobody, "http"),
        authority: AUTHORITY.into(),
        target_origin: None,
        request: Box::new(request),
        response,
        cluster: answered.then(|| "probe".into()),
        endpoint: answered.then(|| nobody.to_string().into()),
        attributes: smallvec![Arc::from([])],
        tried: smallvec![],
        taken: Taken::default(),
        trail,
        stream: None,
    })
}

fn connection(client: SocketAddr, scheme: &'static str) -> Arc<Connection> {
    Arc::new(Connection {
        listener: "probe".into(),
        client: Some(client),
        slot: 0,
        scheme,
        tls: None,
    })
}
