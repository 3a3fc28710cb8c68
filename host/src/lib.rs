//! Linkspan: a reverse proxy whose every decision is a WebAssembly component.
//!
//! The host accepts connections, tracks health and relays bytes natively, on tokio. Which cluster a
//! request goes to, which endpoint serves it, and how heads are rewritten is decided per request by
//! sandboxed plugins. `wit/` is the [`contract`] with them, and the one thing that host and plugins
//! share.
//!
//! ```text
//! accept -> read head -> ROUTERS decide -> REWRITERS edit the request head -> BALANCER picks an endpoint
//!        -> connect or reuse -> relay request -> relay response -> REWRITERS edit the head, and the
//!        body, if they ask to
//! TCP:   accept -> keep what comes -> STREAM ROUTER decides -> BALANCER picks an endpoint -> connect
//!        -> send on what was kept, or what the router says instead -> relay
//! ```
//!
//! # Threads
//!
//! - **Workers**, one per core, each with a runtime of its own ([`proxy`], [`worker`]). A connection,
//!   the upstream connections it uses and the plugin instances it calls live on one worker: no lock,
//!   no channel and no wake-up of another thread on the path of a request. The one exception is the
//!   queue of a cluster whose endpoints all have as many requests in flight as they may
//!   ([`cluster::queue`]).
//! - **The acceptor** owns the listening sockets and the limits ([`listener::accept`]).
//! - **The admin thread** answers the operator's requests ([`admin`]).
//! - **The control thread** is whoever awaits [`proxy::Proxy`]: configuration, loading plugins, making
//!   instances, signals. Its tasks make active checks ([`cluster::check`]), obtain certificates ([`acme`])
//!   and resolve names, again when their time has come, and for workers ([`dns`]). Guests that begin compute on threads of its
//!   pool, never on a worker.
//! - **The administrator's listener**, where there is one, has a thread with a runtime of its own
//!   ([`admin`]): it reads what is shared, asks the control thread to reload, and sets states of
//!   endpoints by hand. What it tells is gathered in one place ([`status`]), which listeners use too,
//!   on their workers, for their `status-path`.
//! - **Up to eight threads of each worker** open, read and compress files ([`sendfile`]), which may block.
//! - **The ticker** counts time while guests run ([`plugin`]), by the millisecond while one takes long, and sleeps otherwise. One thread
//!   per log target writes lines ([`log`]), and one per recording of a plugin's decisions.
//!
//! # From a file to a snapshot
//!
//! Each key of the configuration is declared once, where it is read ([`config`]). The same readers run
//! over nothing give the schema and the reference, and run over a file, what that comes to. They go on
//! after a fault: what could be read is a [`config::Reading`], and the plugins in it that no fault
//! concerns are found, compiled and configured all the same, so that what they refuse joins the list, at
//! its own place of the file. Only a list without errors becomes a snapshot ([`commands`]).
//!
//! # What is shared
//!
//! All that comes from one configuration is one immutable [`snapshot::Snapshot`]; a request takes what
//! it needs of it once ([`view::View`]) and keeps it to the end. What changes per request (in flight,
//! health, latency) are atomics of an endpoint ([`cluster::endpoint`]), which outlive a reload, as do
//! the requests that wait for one; counters are per worker and summed up by readers ([`metrics`]).
//!
//! # How a request goes
//!
//! Every byte of a connection is judged before anything is made of it, in both directions ([`wire`]): what
//! could be understood in two ways gets no further. HTTP/1 is read and written by the host itself, without
//! tasks or channels between the sides: a request is part of its client's connection
//! ([`listener::http1`]), and drives the upstream's ([`cluster::pool`]). A head that is refused is replaced
//! by one of ours, so that it is answered in its turn.
//!
//! TLS is a kind of stream ([`socket`]): once hands are shaken ([`listener::secure`]) nobody else knows of it,
//! but for what the kernel cannot move by itself. Certificates are read with the configuration ([`tls`]) or
//! obtained by a task of the control thread ([`acme`]), and chosen by the name that a client asks for.
//!
//! HTTP/2 is read by a library of its own, beneath which frames are counted ([`listener::http2`]). Each of
//! its requests has a task, and goes the way of all others ([`listener::handle`]): what makes its body and
//! its answer those of a stream is at both ends of that.
//!
//! What has been read is decided on first, of all connections that something has come over; then requests and
//! answers are written, one after the other ([`turn`]): to wake a peer for each of them costs more than to
//! decide.
//!
//! [`relay`] reads like a table of contents: vet, route, complete, rewrite, attempt, respond. The
//! upstream connection has no task of its own: the request drives it until the head of the response is
//! there, then the response's body does ([`cluster::pool`]); one of HTTP/2 has a task, and carries many
//! requests. A response can name a file that is sent in
//! its place ([`sendfile`]). Getters of plugins answer from the
//! exchange, which is handed to the store of an instance for the length of a call and back, so nothing
//! is copied ahead of a plugin asking ([`plugin`]). A body that plugins transform is pulled through
//! them: each call is made when the client has taken what the last one gave ([`plugin::Session`]).
//! Where client and upstream agree on another protocol, HTTP lets go of both connections, and what
//! comes from one goes to the other ([`tunnel`]).
//!
//! A listener can relay connections as they are instead ([`stream`]). Their first bytes are shown to a
//! stream router, of TLS with the names that a client asks for ([`hello`]); from then on they are such a
//! tunnel.
//!
//! # How a process ends, and begins
//!
//! Whoever works holds a guard ([`drain`]); the control thread waits for these, as long as it has to. Listening
//! sockets can be had from the process before or from a service manager ([`takeover`]): then somebody
//! accepts at any time.
//!
//! # What is not
//!
//! - Plugins never see sockets, files, the environment or each other's memory. WASI links, and denies.
//! - No policy lives here: whatever could be decided in two ways is decided by a component. The one
//!   exception is the first usable endpoint, where a balancer failed and where a router named an
//!   address itself.
//! - Nothing below [`snapshot`] knows of routes; [`plugin`] knows nothing of relaying, and nobody else
//!   knows wasmtime; [`cluster`] knows of plugins only the trait that it implements.
//! - Nothing that comes from the network, a guest, a file or a store is trusted to be small: each limit
//!   is a configuration key with a default, or a named constant.
//!
//! # Order of dependence
//!
//! Modules use only those that stand before them in this list; a test holds them to it.

pub mod contract;
pub mod hello;
pub mod proxy_protocol;
pub mod socket;
pub mod takeover;
pub mod tls;
pub mod memory;
pub mod background;
pub mod deadline;
pub mod turn;
pub mod tunnel;
pub mod wire;
pub mod drain;
pub mod config;
pub mod log;
pub mod dns;
pub mod headers;
pub mod metrics;
pub mod body;
pub mod sendfile;
pub mod listener;
pub mod store;
pub mod plugin;
pub mod cluster;
pub mod snapshot;
pub mod status;
pub mod view;
pub mod worker;
pub mod relay;
pub mod stream;
pub mod admin;
pub mod watch;
pub mod acme;
pub mod proxy;
pub mod cli;
pub mod commands;
