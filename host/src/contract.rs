//! The contract with plugins: the package `linkspan:plugin@0.1.0`, one module for each file of `wit/`.
//!
//! For reading only. What is compiled against it is made by `bindgen!`, within
//! [`plugin`](crate::plugin).

/// A module that shows a file.
macro_rules! files {
    ($($(#[doc = $about:literal])+ $name:ident $file:literal)*) => {$(
        $(#[doc = $about])+
        ///
        /// ```wit
        #[doc = include_str!(concat!("../../wit/", $file))]
        /// ```
        pub mod $name {}
    )*};
}

files! {
    /// What the host promises, and the worlds that a toolchain is pointed at.
    world "world.wit"
    /// What plugins may import, whatever they are.
    imports "imports.wit"
    /// Shapes that several interfaces share.
    types "types.wit"

    /// Exported by all: how instances begin.
    lifecycle "lifecycle.wit"
    /// Exported by routers: which cluster a request goes to.
    router "router.wit"
    /// Exported by balancers: which endpoint serves it.
    balancer "balancer.wit"
    /// Exported by rewriters: how heads are edited.
    rewriter "rewriter.wit"
    /// Exported by stream routers: where a connection goes.
    stream_router "stream-router.wit"
    /// Exported by whoever wants to know what became of a choice.
    outcomes "outcomes.wit"
    /// Exported by rewriters of bodies.
    body "body.wit"
    /// Exported by whoever hands its state to its successor.
    handover "handover.wit"

    /// Imported: the running request.
    request "request.wit"
    /// Imported: the same as its client sent it.
    original "original.wit"
    /// Imported: the response to it.
    response "response.wit"
    /// Imported: the running connection.
    connection "connection.wit"
    /// Imported: the TLS that its client speaks.
    tls "tls.wit"
    /// Imported: live figures about endpoints.
    endpoints "endpoints.wit"
    /// Imported: what endpoints say of themselves.
    reports "reports.wit"
    /// Imported: who was tried for the running request.
    attempts "attempts.wit"
    /// Imported: the endpoint that answered.
    served "served.wit"
    /// Imported: which clusters there are.
    clusters "clusters.wit"
    /// Imported: what is granted.
    grants "grants.wit"
    /// Imported: hashes over parts of the request.
    hashing "hashing.wit"
    /// Imported, if granted: stores.
    keyvalue "keyvalue.wit"
    /// Imported: saying that a body cannot be transformed.
    giving_up "giving-up.wit"
    /// Imported: numbers that the instances of a plugin share.
    cells "cells.wit"
    /// Imported: the time.
    clock "clock.wit"
    /// Imported: random numbers.
    random "random.wit"
    /// Imported: the log.
    log "log.wit"
    /// Imported: counters and gauges of the plugin's own.
    metrics "metrics.wit"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_file_of_the_contract_is_shown() {
        let shown = include_str!("contract.rs");
        let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
        let mut count = 0;
        for file in files {
            let name = format!("{:?}", file.unwrap().file_name());
            assert!(shown.contains(&name), "{name} is not shown");
            count += 1;
        }
        assert!(count > 15, "{count} files found");
    }
}
