//! The page in a real browser: what it shows, that it follows, that it needs nothing else, and that it
//! fits a phone and the dark.

use super::toml;
use crate::support::{Browser, Down, Origin, Proxy};

/// The text of the page as it is read.
const TEXT: &str = "document.body.innerText";

/// Whether the page says this of itself.
fn news(words: &str) -> String {
    format!("document.getElementById('live').innerText.startsWith('{words}')")
}

#[test]
fn the_page_follows_what_happens_without_loading_again() {
    let (dead, origin) = (Down::new(), Origin::replying("hello"));
    let health = "health = { attempts = 2, offline = '60s' }";
    let proxy = Proxy::start(&toml(&[dead.address(), origin.address()], health));
    for _ in 0..4 {
        proxy.get("/");
    }
    let mut browser = Browser::start();
    let url = format!("http://{}/proxy-status", proxy.address("web"));
    browser.open(&url);
    let text = browser.run(TEXT);
    let text = text.as_str().unwrap();
    for told in [
        "Linkspan",
        "serving",
        "1 of 2 alive",
        "offline",
        &origin.address().to_string(),
        "headers@",
    ] {
        assert!(text.contains(told), "no {told} in {text}");
    }
    // What somebody has selected, and where they are.
    let kept = "window.kept = true; scrollTo(0, 120); \
                getSelection().selectAllChildren(document.querySelector('article h3'));";
    browser.run(kept);
    let at = "scrollY";
    let before = browser.run(at);
    for _ in 0..3_000 {
        proxy.get("/");
    }
    let figure = format!("{TEXT}.includes('3,004')");
    assert_eq!(
        browser.run(&figure),
        false,
        "not yet there, or there without having been asked for"
    );
    browser.wait_for("the requests to appear", &figure);
    assert_eq!(browser.run("window.kept"), true, "the page was loaded again");
    assert_eq!(browser.run("getSelection().toString()"), "web");
    assert_eq!(browser.run(at), before);
    assert_eq!(browser.run(&news("live")), true);

    // It rests while nobody sees it.
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.run(&hide(true));
    browser.wait_for("it to pause", &news("paused"));
    browser.run(&hide(false));
    browser.wait_for("it to go on", &news("live"));

    let elsewhere: Vec<_> = browser
        .requests()
        .into_iter()
        .filter(|asked| *asked != url && !asked.starts_with("data:") && asked != "about:blank")
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(browser.requests().len() > 1, "it asked for nothing");
    assert_eq!(browser.complaints(), [""; 0]);
    // A complaint would be heard: the policy keeps the page from asking anybody else.
    let stranger = format!("fetch('http://{}/').then(() => 'got', () => 'kept')", origin.address());
    let hits = origin.hits();
    assert_eq!(browser.run(&stranger), "kept");
    assert_eq!(origin.hits(), hits);
    assert!(browser.complaints().iter().any(|said| said.contains("Content Security Policy")));
}

#[test]
fn the_page_says_when_the_proxy_is_gone() {
    let proxy = Proxy::start(&toml(&[], ""));
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", proxy.admin()));
    let (live, lost) = (news("live"), news("proxy not reachable since"));
    browser.wait_for("it to be live", &live);
    // For a while, and for good.
    browser.run("window.real = fetch; window.fetch = () => Promise.reject(); 0");
    browser.wait_for("it to tell", &lost);
    browser.run("window.fetch = real; 0");
    browser.wait_for("it to be live again", &live);
    drop(proxy);
    browser.wait_for("it to tell again", &lost);
    assert!(browser.run(TEXT).as_str().unwrap().contains("Clusters"), "the last figures stay");
}

/// The texts whose contrast with what is behind them is too low (WCAG 1.4.3: 4.5).
const FAINT: &str = r#"
(() => {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest('script, style')) continue;
    seen += 1;
    const [a, b] = [rgb(getComputedStyle(element).color), behind(element)].map(light);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.add(`${texts.currentNode.data}: ${contrast.toFixed(2)}`);
  }
  return seen > 50 ? [...faint] : ['only ' + seen + ' texts'];
})()
"#;

/// The elements that reach beyond the window.
const WIDE: &str = r#"
[...document.querySelectorAll('body *')]
  .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .filter((e) => !e.closest('.unseen, thead'))
  .map((e) => e.outerHTML.slice(0, 120))
  .concat(document.documentElement.scrollWidth > document.documentElement.clientWidth ? ['the page'] : [])
"#;

#[test]
fn the_page_fits_a_phone_and_the_dark() {
    let (dead, a, b) = (Down::new(), Origin::replying("hello"), Origin::replying("hello"));
    let long =
        "a-cluster-with-a-name-that-is-longer-than-anybody-would-type-twice-and-has-no-blank_in_it";
    let more = format!(
        "[listeners.internal]\nbind = '127.0.0.1:0'\nrouters = ['by-path', 'then-by-host']\n\
         [clusters.{long}]\nendpoints = ['[2001:db8:1234:5678:9abc:def0:1234:5678]:65535', \
         'unix:/run/some/folder/that/is/far/away/from/the/root/of/the/tree/application.sock', \
         {{ address = '10.0.0.3:80', status = 'disabled' }}, {{ address = '10.0.0.4:80', weight = 2.5, status = 'drain' }}]\n\
         balancer = ['sticky', 'maglev']\n[clusters.nobody]\nendpoints = []\n\
         [plugins.by-path]\ncomponent = 'regex-match'\nconfig = {{ rules = [{{ match = ['^/x'], cluster = '{long}' }}] }}\n\
         [plugins.then-by-host]\ncomponent = 'regex-match'\nconfig = {{ rules = [{{ host = ['x'], cluster = 'nobody' }}] }}\n\
         [plugins.sticky]\nconfig = {{ cookie = 'route' }}\n"
    );
    let health = "health = { attempts = 2, offline = '60s', check = { path = '/', interval = '1s' } }\n\
                  balancer = 'by-requests'";
    let origins = [dead.address(), a.address(), b.address()];
    let proxy = Proxy::start(&format!("{}{more}", toml(&origins, health)));
    for _ in 0..200 {
        proxy.get("/");
    }
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", proxy.admin()));
    for (width, phone) in [(390, true), (320, true), (768, false), (1000, false), (1280, false)] {
        for dark in [false, true] {
            browser.look(width, phone, dark);
            let scheme = if dark { "dark" } else { "light" };
            browser.screenshot(&format!("status-{width}-{scheme}"));
            let none = serde_json::json!([]);
            assert_eq!(browser.run(WIDE), none, "at {width}");
            assert_eq!(browser.run(FAINT), none, "in the {scheme}");
        }
    }
    assert_eq!(browser.complaints(), [""; 0]);
}
