//! Plays a case against a real proxy, and compares everything that can be seen of it with its rule:
//! what the client gets, what reaches the upstream, what is counted and logged, and that neither the
//! same connection nor another client suffers.

mod answers;
mod reached;

use crate::support::Proxy;

pub(super) use answers::Expected;

use super::client::{End, Talk};
use super::complaints::Complaints;
use super::file::Case;
use super::rules::{Gets, Relayed, Rule, Setting, Step};
use super::upstream::{Script, Upstream};

/// What a client without fault asks for: over the case's own connection, and over another.
const SAME: &str = "GET /same HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OTHER: &str = "GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Plays bytes that a client sends.
pub(super) fn request(case: &Case, rule: &Rule, complaints: &mut Complaints) {
    let script = rule.slow.map_or(Script::Plainly, Script::Slowly);
    let upstream = Upstream::start(script);
    let proxy = start(&upstream, &rule.setting);
    let mut client = Talk::connect(proxy.address("web"), complaints.patience);
    client.send(case.wire_with(rule.stands_for), rule.half_closes);
    let mut methods = vec!["GET"; rule.steps.len()];
    client.listen_for(&methods);
    let mut expected: Vec<_> =
        rule.steps.iter().map(|step| answers::of_step(step, rule.closes)).collect();
    if !rule.closes {
        methods.push("GET");
        expected.push(answers::plain("GET /same"));
    }
    end(&mut client, rule.closes, &methods, complaints);
    complaints.answers(&client, &methods, &expected);
    drop(client);
    innocent(&proxy, complaints);
    let faults: Vec<_> = rule.steps.iter().filter_map(fault).collect();
    complaints.records(&proxy, expected.len() + 1, &faults, rule.reason);
    drop(proxy);
    complaints.reached(&upstream, &rule.steps, followed(rule.closes), case.upstream_max);
}

/// Plays bytes that an upstream sends.
pub(super) fn response(case: &Case, rule: &Relayed, complaints: &mut Complaints) {
    response_of(case.wire(), rule, complaints);
}

/// The same for bytes of no case.
pub(super) fn response_of(bytes: Vec<u8>, rule: &Relayed, complaints: &mut Complaints) {
    let upstream = Upstream::start(Script::First(bytes, rule.then));
    let proxy = start(&upstream, &rule.setting);
    let mut client = Talk::connect(proxy.address("web"), complaints.patience);
    client.send(rule.request, false);
    let method = rule.request.split(' ').next().unwrap_or_default();
    client.listen_for(&[method]);
    end(&mut client, rule.closes, &[method, "GET"], complaints);
    complaints.relayed(&client, method, rule);
    drop(client);
    innocent(&proxy, complaints);
    let faults = match rule.gets {
        Gets::Error(status) | Gets::Truncated(status) => vec![status],
        Gets::Whole(..) => Vec::new(),
    };
    complaints.records(&proxy, if rule.closes { 2 } else { 3 }, &faults, rule.reason);
    let connections = upstream.origin().connections();
    complaints.same("connections to the upstream", &connections, &if rule.reused { 1 } else { 2 });
    complaints.comes_to("those that are open", &1, || upstream.origin().open_connections());
    drop(proxy);
    complaints.asked(&upstream, rule.request, followed(rule.closes));
}

/// A proxy in front of an upstream.
pub(super) fn start(upstream: &Upstream, setting: &Setting) -> Proxy {
    let Setting { router, listener, cluster, tables, guests } = setting;
    let way = match router {
        Some(router) => format!("routers = ['{router}']"),
        None => "default-cluster = 'main'".to_owned(),
    };
    let address = upstream.address();
    let config = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\n{way}\n{listener}\n\
         [clusters.main]\nendpoints = ['{address}']\n{cluster}\n{tables}\n"
    );
    Proxy::start_with(&config, guests)
}

/// Ends a connection: the proxy closes it, or it goes on in step until the client leaves.
fn end(client: &mut Talk, closes: bool, methods: &[&str], complaints: &mut Complaints) {
    if !closes {
        if client.end() != End::Open {
            complaints.add(format!("the connection has ended: {:?}", client.end()));
            return;
        }
        client.send(SAME, false);
        client.listen_for(methods);
        client.half_close();
    }
    client.listen_to_end();
    complaints.same("the connection", &client.end(), &End::Closed);
}

/// Another client is served as if nothing had been.
pub(super) fn innocent(proxy: &Proxy, complaints: &mut Complaints) {
    let mut client = Talk::connect(proxy.address("web"), complaints.patience);
    client.send(OTHER, false);
    end_of_innocent(&mut client);
    complaints.answers(&client, &["GET"], &[answers::plain("GET /other")]);
}

fn end_of_innocent(client: &mut Talk) {
    client.listen_for(&["GET"]);
    client.half_close();
    client.listen_to_end();
}

/// The targets that clients without fault ask for after a case.
fn followed(closes: bool) -> &'static [&'static str] {
    if closes { &["/other"] } else { &["/same", "/other"] }
}

/// The status of a refusal.
fn fault(step: &Step) -> Option<u16> {
    match step {
        Step::Refused(status) | Step::Cut(status) => Some(*status),
        Step::Forwarded(_) | Step::Answered(_) => None,
    }
}
