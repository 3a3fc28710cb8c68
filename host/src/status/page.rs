//! The page: one document that needs nothing but itself, and no script to be complete.
//!
//! It is bounded: of what there is too much of, it shows the beginning, and says where the rest is.

mod clusters;
mod plugins;
mod text;

use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::time::Duration;

use http::HeaderValue;
use sha2::{Digest, Sha256};

use crate::config::Name;
use crate::status::{Audience, ListenerView, Status};

use text::{Escaped, Lasting, Number};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// A bridge on two piers, with its hinged span.
const BRIDGE: &str = "<svg viewBox=\"0 0 36 24\" aria-hidden=\"true\"><path d=\"M1 9h9l16 -6M26 9h9M10 \
     9v8M26 9v8M1 21q4 -3 8.5 0t8.5 0t8.5 0t8.5 0\"/></svg>";

/// The most listeners, clusters and plugins that are shown, of each.
const SHOWN: usize = 200;

/// What a browser may do with the page: use its style, its icon and its script, and ask again.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// The page of this moment.
pub(super) fn page(status: &Status, audience: Audience) -> String {
    let mut body = String::new();
    // Writing to a string does not fail.
    let _ = write_body(&mut body, status, audience);
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + body.len());
    for part in PAGE.split("{{") {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        page.push_str(match name {
            "style" => STYLE,
            "script" => SCRIPT,
            "body" => &body,
            _ => "",
        });
        page.push_str(rest);
    }
    page
}

fn write_body(out: &mut String, status: &Status, audience: Audience) -> fmt::Result {
    let about = &status.about;
    let state = if about.draining {
        "<span class=\"pill warn\">draining"
    } else {
        "<span class=\"pill good\">serving"
    };
    write!(
        out,
        "<header>{BRIDGE}<h1>Linkspan {}</h1>{state}</span>\
         <p class=\"about\">up {}, configuration {}, {} worker{}, \
         as of <time>{}</time></p></header>\n<main>\n",
        about.version,
        Lasting(Duration::from_secs(about.uptime_seconds)),
        about.generation,
        about.workers,
        if about.workers == 1 { "" } else { "s" },
        about.time.get(..19).unwrap_or(&about.time).replace('T', " ") + " UTC",
    )?;
    tiles(out, status)?;
    writeln!(out, "<h2 id=\"listeners\">Listeners and routes</h2>")?;
    for each in status.listeners.iter().take(SHOWN) {
        listener(out, each)?;
    }
    rest(out, status.listeners.len(), SHOWN, "listener")?;
    writeln!(out, "<h2 id=\"clusters\">Clusters and endpoints</h2>")?;
    clusters::clusters(out, &status.clusters)?;
    writeln!(out, "<h2 id=\"plugins\">Plugins</h2>")?;
    plugins::plugins(out, &status.plugins)?;
    plugins::unused(out, &status.unused)?;
    out.push_str("</main>\n<footer><a href=\"?format=json\">The same as JSON</a>");
    if audience == Audience::Administrator {
        let links = ["version", "listeners", "clusters", "plugins"];
        for link in links {
            write!(out, "<a href=\"/api/{link}\">/api/{link}</a>")?;
        }
        out.push_str("<a href=\"/metrics\">/metrics</a><a href=\"/healthz\">/healthz</a>");
    }
    out.push_str("</footer>\n");
    Ok(())
}

/// What is asked first: whether all is well.
fn tiles(out: &mut String, status: &Status) -> fmt::Result {
    let endpoints = || status.clusters.iter().flat_map(|cluster| &cluster.endpoints);
    let alive = endpoints().filter(|endpoint| endpoint.state == "alive").count();
    let in_flight: u64 = endpoints().map(|endpoint| u64::from(endpoint.in_flight)).sum();
    let requests = |class: Option<&str>| -> u64 {
        let classes = status.listeners.iter().flat_map(|listener| &listener.requests);
        classes.filter(|each| class.is_none_or(|class| each.0 == class)).map(|each| each.1).sum()
    };
    let open: u64 = status.listeners.iter().map(|listener| listener.connections_open).sum();
    // What decides nothing is no reason to worry.
    let plugins = || status.plugins.iter().filter(|plugin| plugin.shadow_of.is_none());
    let failures: u64 = plugins().map(|plugin| plugin.failures).sum();
    let parked = plugins().filter(|plugin| plugin.parked > 0).count();
    out.push_str("<dl class=\"tiles\">");
    write!(
        out,
        "<div><dt>Endpoints alive</dt><dd>{alive} <small>of {}</small></dd></div>",
        endpoints().count()
    )?;
    for (name, value) in [
        ("Connections open", open),
        ("Requests in flight", in_flight),
        ("Requests", requests(None)),
        ("Answered 5xx", requests(Some("5xx"))),
        ("Plugin failures", failures),
    ] {
        write!(out, "<div><dt>{name}</dt><dd>{}", Number(value))?;
        if name == "Plugin failures" && parked > 0 {
            write!(out, " <small>{parked} parked</small>")?;
        }
        out.push_str("</dd></div>");
    }
    out.push_str("</dl>\n");
    Ok(())
}

fn listener(out: &mut String, listener: &ListenerView) -> fmt::Result {
    let ListenerView { name, address, protocol, .. } = listener;
    write!(out, "<article class=\"card\"><div class=\"head\"><h3>{}</h3><code>", Escaped(name))?;
    match address.strip_prefix("unix:") {
        Some(_) => write!(out, "{protocol} at {}</code>", Escaped(address))?,
        None => write!(out, "{protocol}://{address}</code>")?,
    }
    if let Some(path) = &listener.status_path {
        write!(out, "<span class=\"soft\">this page at <code>{}</code></span>", Escaped(path))?;
    }
    let requests: u64 = listener.requests.values().sum();
    write!(
        out,
        "</div><ul class=\"figures\"><li>{} open of {} connections</li><li>{} requests</li>",
        Number(listener.connections_open),
        Number(listener.connections),
        Number(requests)
    )?;
    for (class, count) in listener.requests.iter().filter(|(_, count)| **count > 0) {
        let class = if class == "none" { "without an answer" } else { class };
        write!(out, "<li><span class=\"soft\">{class}</span> {}</li>", Number(*count))?;
    }
    let (label, end) = match listener.routers.len() {
        0 => ("Every request goes to", ""),
        1 => ("Every request asks", "else "),
        _ => ("Every request asks, until one decides", "else "),
    };
    write!(out, "</ul><p class=\"label\">{label}</p><ol class=\"route\">")?;
    steps(out, listener, "router")?;
    match &listener.default_cluster {
        Some(cluster) => {
            write!(out, "<li class=\"end\">{end}cluster {}</li>", Escaped(cluster))?;
        }
        None => write!(out, "<li class=\"end\">{end}404</li>")?,
    }
    out.push_str("</ol>");
    if !listener.rewriters.is_empty() {
        out.push_str("<p class=\"label\">Its head is edited by</p><ol class=\"route\">");
        steps(out, listener, "rewriter")?;
        out.push_str("</ol>");
    }
    out.push_str("</article>\n");
    Ok(())
}

fn steps(out: &mut String, listener: &ListenerView, kind: &str) -> fmt::Result {
    for step in listener.steps.iter().filter(|step| step.kind == kind) {
        write!(
            out,
            "<li>{} <small>{kind} <code>{}@{}</code></small></li>",
            Escaped(&step.plugin),
            Escaped(&step.component),
            step.version
        )?;
    }
    Ok(())
}

/// Opens a table whose last columns are numbers. Roles are said as well: where the table is shown as
/// cards, browsers would forget that it is one.
fn begin_table(
    out: &mut String,
    class: &str,
    caption: &str,
    texts: &[&str],
    numbers: &[&str],
) -> fmt::Result {
    write!(
        out,
        "<table class=\"{class}\" role=\"table\"><caption>{caption}</caption>\
         <thead role=\"rowgroup\"><tr role=\"row\">"
    )?;
    let texts = texts.iter().map(|name| (*name, ""));
    for (name, class) in texts.chain(numbers.iter().map(|name| (*name, " class=\"n\""))) {
        write!(out, "<th scope=\"col\" role=\"columnheader\"{class}>{name}</th>")?;
    }
    out.push_str("</tr></thead>\n<tbody role=\"rowgroup\">");
    Ok(())
}

fn cell(out: &mut String, label: &str, markup: impl fmt::Display) -> fmt::Result {
    write!(out, "<td role=\"cell\" data-label=\"{label}\">{markup}</td>")
}

fn figure(out: &mut String, label: &str, value: u64) -> fmt::Result {
    number(out, label, value, "")
}

/// A number, and in small what there is to add; a zero does not stand out.
fn number(out: &mut String, label: &str, value: u64, more: &str) -> fmt::Result {
    let class = if value == 0 { "n zero" } else { "n" };
    write!(out, "<td role=\"cell\" class=\"{class}\" data-label=\"{label}\">{}", Number(value))?;
    if !more.is_empty() {
        write!(out, "<small>{more}</small>")?;
    }
    out.push_str("</td>");
    Ok(())
}

/// What there may be nothing of; a card leaves it out then.
fn optional(out: &mut String, class: &str, label: &str, text: Option<String>) -> fmt::Result {
    let (none, text) = match text {
        Some(text) => ("", text),
        None => (" none zero", "–".to_owned()),
    };
    write!(out, "<td role=\"cell\" class=\"{class}{none}\" data-label=\"{label}\">{text}</td>")
}

/// Says what is not shown.
fn rest(out: &mut String, all: usize, shown: usize, what: &str) -> fmt::Result {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => {
            let s = if more == 1 { "" } else { "s" };
            let link = "<a href=\"?format=json\">the JSON</a>";
            writeln!(out, "<p class=\"note\">{more} more {what}{s} in {link}.</p>")
        }
    }
}

fn names(names: &[Name]) -> String {
    names.join(", ")
}

/// What a policy names an inline text by.
fn digest(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::from("sha256-");
    for chunk in Sha256::digest(text).chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET.get((bits >> (18 - 6 * place) & 63) as usize);
            let letter = letter.filter(|_| place <= chunk.len());
            encoded.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    encoded
}
