//! The Rust side of `wit/`: generated types and traits, and nothing else.
//!
//! One world imports every interface of the contract, those that plugins export too: all that is
//! wanted of them is their types. Calls into guests are made with typed functions looked up in
//! [`super::instance`], because one store must be callable both ways, synchronously and not.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package linkspan:host;
        world everything {
            import linkspan:plugin/types@0.1.0;
            import linkspan:plugin/request@0.1.0;
            import linkspan:plugin/original@0.1.0;
            import linkspan:plugin/response@0.1.0;
            import linkspan:plugin/log@0.1.0;
            import linkspan:plugin/clock@0.1.0;
            import linkspan:plugin/random@0.1.0;
            import linkspan:plugin/metrics@0.1.0;
            import linkspan:plugin/cells@0.1.0;
            import linkspan:plugin/hashing@0.1.0;
            import linkspan:plugin/endpoints@0.1.0;
            import linkspan:plugin/reports@0.1.0;
            import linkspan:plugin/attempts@0.1.0;
            import linkspan:plugin/served@0.1.0;
            import linkspan:plugin/phases@0.1.0;
            import linkspan:plugin/clusters@0.1.0;
            import linkspan:plugin/grants@0.1.0;
            import linkspan:plugin/keyvalue@0.1.0;
            import linkspan:plugin/tls@0.1.0;
            import linkspan:plugin/router@0.1.0;
            import linkspan:plugin/balancer@0.1.0;
            import linkspan:plugin/outcomes@0.1.0;
            import linkspan:plugin/edits@0.1.0;
            import linkspan:plugin/body@0.1.0;
            import linkspan:plugin/giving-up@0.1.0;
            import linkspan:plugin/connection@0.1.0;
            import linkspan:plugin/stream-router@0.1.0;
        }
    ",
    world: "linkspan:host/everything",
    imports: {
        "linkspan:plugin/keyvalue@0.1.0.[method]bucket.get": async | trappable,
        "linkspan:plugin/keyvalue@0.1.0.[method]bucket.get-recent": async | trappable,
        "linkspan:plugin/keyvalue@0.1.0.[method]bucket.set": async | trappable,
        "linkspan:plugin/keyvalue@0.1.0.[method]bucket.delete": async | trappable,
        "linkspan:plugin/keyvalue@0.1.0.[method]bucket.increment": async | trappable,
        default: trappable,
    },
    with: { "linkspan:plugin/keyvalue@0.1.0.bucket": super::imports::keyvalue::Bucket },
});

pub(super) use linkspan::plugin::{
    attempts, balancer, body, cells, clock, clusters, connection, edits, endpoints, giving_up,
    grants, hashing, keyvalue, log, metrics, original, outcomes, phases, random, reports, request,
    response, router, served, stream_router, tls, types,
};
