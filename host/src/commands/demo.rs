//! A proxy to try without a file: three origins of our own, and the built-in plugins in front.

mod origin;
mod switch;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Demo;
use crate::commands::demo::origin::Origin;
use crate::commands::run::{Begin, Service};
use crate::commands::{fail, say};
use crate::config::{Config, Reading};
use crate::listener::socket::bind;
use crate::socket::bind::Bind;
use crate::takeover::Inherited;
use crate::watch::Watch;

/// What the demo serves; the variables `ORIGIN1` to `ORIGIN3` are the addresses of its origins.
const CONFIG: &str = include_str!("../../../examples/demo/linkspan.toml");

/// The origins: who they are, and how long they take.
const ORIGINS: [(&str, Duration); 3] = [
    ("anna", Duration::from_millis(5)),
    ("bert", Duration::from_millis(25)),
    ("cora", Duration::from_millis(60)),
];

/// Serves the demo until a signal says to leave.
pub async fn demo(wanted: &Demo) -> ExitCode {
    let mut origins = Vec::new();
    for (name, latency) in ORIGINS {
        match Origin::start(name, latency) {
            Ok(origin) => origins.push(Arc::new(origin)),
            Err(error) => return fail(&format_args!("no port for an origin: {error}")),
        }
    }
    let switch = match switch::start(origins.clone()) {
        Ok(address) => address,
        Err(error) => return fail(&format_args!("no port to stop origins by: {error}")),
    };
    let mut reading = read(&origins);
    let (config, taken) = match configuration(wanted, &reading) {
        Ok(both) => both,
        Err(text) => return fail(&text),
    };
    let (watch, inherited) = (Watch::new(None), Inherited::default());
    let begin = Begin { moved: true, watch, inherited, replaces: false };
    let service = match Service::start(config, &mut reading, begin).await {
        Ok(service) => service,
        Err(code) => return code,
    };
    for origin in &origins {
        let (name, address, latency) = (origin.name(), origin.address(), origin.latency());
        say(&format_args!("{name} at {address} answers after {} ms", latency.as_millis()));
    }
    for port in taken {
        say(&format_args!("port {port} is taken, so this uses another:"));
    }
    service.announce(&[]);
    let web = service.proxy().addresses().values().next().map(ToString::to_string);
    let admin = service.proxy().admin().map(|bind| bind.url("http"));
    say(&instructions(&web.unwrap_or_default(), &admin.unwrap_or_default(), switch));
    service.serve(None).await
}

/// Reads the configuration for these origins.
fn read(origins: &[Arc<Origin>]) -> Reading {
    let variables = |name: &str| -> Option<OsString> {
        let place = name.strip_prefix("ORIGIN").and_then(|place| place.parse::<usize>().ok());
        let origin = place.and_then(|place| origins.get(place.checked_sub(1)?));
        origin.map(|origin| origin.address().to_string().into()).or_else(|| env::var_os(name))
    };
    Reading::parse_with(CONFIG, Path::new("demo.toml"), &variables)
}

/// The configuration on ports that are free, and the ports that it had to do without.
fn configuration(wanted: &Demo, reading: &Reading) -> Result<(Config, Vec<u16>), String> {
    let mut config = reading.sound().cloned().ok_or_else(|| reading.faults().to_string())?;
    let mut taken = Vec::new();
    let mut free = |port: u16| {
        // It could be taken from now on; then that is said as it always is.
        let is_free = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok();
        if !is_free {
            taken.push(port);
        }
        if is_free { port } else { 0 }
    };
    let own = config.listeners.values().next().and_then(|listener| listener.bind.address());
    let own = own.map_or(0, |address| address.port());
    let port = wanted.port.unwrap_or_else(|| free(own));
    config.override_bind(None, Some(port)).map_err(|error| error.to_string())?;
    if let Some(Bind::Tcp(address)) = config.admin.as_mut().map(|admin| &mut admin.bind) {
        address.set_port(free(address.port()));
    }
    Ok((config, taken))
}

/// What to try, as lines for a shell: what is no command is a comment.
fn instructions(web: &str, admin: &str, switch: SocketAddr) -> String {
    let turns = format!("for i in 1 2 3 4 5 6; do curl -s http://{web}/ | head -n 1; done");
    let get = |more: &str, path: &str| format!("curl -s{more} http://{web}{path}");
    let switched = |what: &str| format!("curl -sX POST http://{switch}/{what}/bert");
    let steps: [(&str, Vec<String>); 8] = [
        ("The origins take turns: anna, bert, cora, and again.", vec![turns.clone()]),
        (
            "The router sends what begins with /first to a cluster whose balancer takes the first\n\
             # origin that is alive: anna, each time.",
            vec![get("", "/first")],
        ),
        ("The router answers by itself, with 410: no origin is asked.", vec![get("i", "/gone")]),
        (
            "The rewriter adds x-demo to the request, which the origin shows, and x-proxy to the\n\
             # response, from which it removes server. The host adds via and x-forwarded-*.",
            vec![get("i", "/headers")],
        ),
        (
            "Stop bert, and nobody notices: anna and cora take turns, and no request fails.",
            vec![switched("stop"), turns.clone()],
        ),
        (
            "What the proxy knows: bert, the second of the cluster all, is offline (first never \
             tried it); and how often it had to try again.",
            vec![
                format!("curl -s {admin}/api/clusters | grep -E '\"(name|address|state)\"'"),
                format!("curl -s {admin}/metrics | grep retries"),
            ],
        ),
        (
            "Start bert again: two seconds after it last failed, it takes its turns.",
            vec![format!("{}; sleep 2", switched("start")), turns],
        ),
        (
            "All of it in a browser; here, its title.",
            vec![format!("curl -s {admin}/ | grep -o '<h1>.*</h1>'")],
        ),
    ];
    let mut text = "\nTry these in another terminal; ^C ends the demo.\n".to_owned();
    for (number, (comment, commands)) in steps.iter().enumerate() {
        let _ = write!(text, "\n# {}. {comment}\n{}\n", number + 1, commands.join("\n"));
    }
    text.push_str("\nThe log follows on standard error; `linkspan demo 2>/dev/null` is silent.");
    text
}
