//! Those who ask while versions change: requests on connections that stay open, tunnels, and downloads
//! that take longer than a version lives.

use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Client, Message, Origin, Peer, eventually, request};

/// What a download consists of, how many of these, and how long its origin waits after each.
const PIECE: [u8; 16 << 10] = [b'p'; 16 << 10];
const PAUSE: Duration = Duration::from_millis(50);

/// How often something is said in a tunnel.
const TALK: Duration = Duration::from_millis(20);

/// The most errors that are told of.
const TOLD: usize = 20;

/// Who asks, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Connections that stay open, and the requests a second that they come to together.
    pub(super) clients: u32,
    pub(super) rate: u32,
    pub(super) tunnels: usize,
    pub(super) downloads: usize,
    /// How long a tunnel or a download takes.
    pub(super) life: Duration,
}

/// What they have met with.
#[derive(Debug, Default)]
pub(super) struct Seen {
    over: AtomicBool,
    requests: AtomicU64,
    tunnels: AtomicU64,
    downloads: AtomicU64,
    failed: AtomicU64,
    errors: Mutex<Vec<String>>,
    /// How long requests took since when they were due, in microseconds.
    waits: Mutex<Vec<u64>>,
}

/// Dropped, it ends the asking.
pub(super) struct Until<'s>(&'s AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for a moment, for which there is no condition: it is the load that is measured out.
pub(super) fn wait_until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// An origin that says by which version it was asked.
pub(super) fn origin(life: Duration) -> Origin {
    let pieces = usize::try_from(life.as_millis() / PAUSE.as_millis()).unwrap();
    Origin::scripted(move |peer| {
        while let Some(head) = peer.request_head() {
            // As often as it came: each version that was asked has added one.
            let asked = head.values("x-asked").into_iter();
            let asked: String = asked.map(|by| format!("x-asked: {by}\r\n")).collect();
            let done = match head.target() {
                "/tunnel" => return tunnel(peer, &asked),
                "/download" => download(peer, &asked, pieces),
                _ => {
                    peer.write(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{asked}\r\nhello"))
                }
            };
            if done.is_err() {
                return;
            }
        }
    })
}

fn tunnel(peer: &mut Peer, asked: &str) {
    let agreed = peer.write(format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         {asked}\r\n"
    ));
    let mut said = Vec::new();
    while agreed.is_ok() && peer.take(8, &mut said).is_ok() && peer.write(&said).is_ok() {
        said.clear();
    }
}

fn download(peer: &mut Peer, asked: &str, pieces: usize) -> std::io::Result<()> {
    let length = pieces * PIECE.len();
    peer.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{asked}\r\n"))?;
    for _ in 0..pieces {
        peer.write(PIECE)?;
        wait_until(Instant::now() + PAUSE);
    }
    Ok(())
}

/// The version that a response is stamped by, once, as its request was: stamps are appended, so that
/// there would be two of two versions.
pub(super) fn stamp(answer: &Message) -> Result<String, String> {
    let (asked, answered) = (answer.values("x-asked"), answer.values("x-answered"));
    match (asked.as_slice(), answered.as_slice()) {
        ([asked], [answered]) if asked == answered => Ok(answered.trim_end_matches('-').to_owned()),
        _ => Err(format!("asked by {asked:?}, answered by {answered:?}")),
    }
}

impl Load {
    /// All of them, each in a thread.
    pub(super) fn begin<'s>(self, scope: &'s Scope<'s, '_>, address: SocketAddr, seen: &'s Seen) {
        for number in 0..self.clients {
            scope.spawn(move || self.ask(number, address, seen));
        }
        for _ in 0..self.tunnels {
            scope.spawn(move || {
                seen.again(|| self.talk(address, seen).map(|()| &seen.tunnels));
            });
        }
        for _ in 0..self.downloads {
            scope.spawn(move || seen.again(|| download_of(address).map(|()| &seen.downloads)));
        }
    }

    fn ask(self, number: u32, address: SocketAddr, seen: &Seen) {
        let period = Duration::from_secs(1) * self.clients / self.rate;
        let mut due = Instant::now() + period * number / self.clients;
        let mut client = Client::connect(address);
        while !seen.is_over() {
            wait_until(due);
            // Whoever fails says why, and the next ones are to be seen as well.
            let answer = catch_unwind(AssertUnwindSafe(|| client.get("/")));
            let wait = u64::try_from(due.elapsed().as_micros()).unwrap();
            let judged = match &answer {
                Ok(answer) if answer.closes() => Err("closes the connection".to_owned()),
                Ok(answer) => is_right(answer, b"hello"),
                Err(_told) => Err("no answer".to_owned()),
            };
            if judged.is_err() {
                client = Client::connect(address);
            }
            seen.waits.lock().unwrap().push(wait);
            seen.count(judged.map(|()| &seen.requests));
            due += period;
        }
    }

    fn talk(self, address: SocketAddr, seen: &Seen) -> Result<(), String> {
        let mut client = Client::connect(address);
        let fields = [("connection", "Upgrade"), ("upgrade", "websocket")];
        client.send(request("GET", "/tunnel", &fields, b""));
        let head = client.response_head();
        if head.status() != 101 {
            return Err(format!("{} instead of a tunnel", head.status()));
        }
        stamp(&Message { head, ..Message::default() })?;
        let end = Instant::now() + self.life;
        for number in 0_u64.. {
            if seen.is_over() || Instant::now() > end {
                break;
            }
            let (said, mut heard) = (number.to_be_bytes(), Vec::new());
            client.send(said);
            client.take(said.len(), &mut heard).map_err(|error| format!("a tunnel: {error}"))?;
            if heard != said {
                return Err(format!("a tunnel says {heard:?} for {said:?}"));
            }
            wait_until(Instant::now() + TALK);
        }
        client.stream().shutdown(Shutdown::Write).map_err(|error| error.to_string())?;
        client.expect_closed();
        Ok(())
    }
}

fn download_of(address: SocketAddr) -> Result<(), String> {
    let answer = Client::connect(address).get("/download");
    let length = answer.length().unwrap_or_default();
    if length < PIECE.len() {
        return Err(format!("a download of {length} bytes"));
    }
    is_right(&answer, &vec![b'p'; length])
}

fn is_right(answer: &Message, body: &[u8]) -> Result<(), String> {
    if answer.status() != 200 || !answer.complete || answer.body != body {
        let (status, length) = (answer.status(), answer.body.len());
        return Err(format!("{status} with {length} of {} bytes", body.len()));
    }
    stamp(answer).map(drop)
}

impl Seen {
    pub(super) fn until_dropped(&self) -> Until<'_> {
        Until(&self.over)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Does something over and over.
    fn again<'s>(&'s self, once: impl Fn() -> Result<&'s AtomicU64, String>) {
        while !self.is_over() {
            let done = catch_unwind(AssertUnwindSafe(&once));
            self.count(done.unwrap_or_else(|_told| Err("broke off".to_owned())));
        }
    }

    fn count(&self, done: Result<&AtomicU64, String>) {
        match done {
            Ok(counter) => drop(counter.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let mut errors = self.errors.lock().unwrap();
                if errors.len() < TOLD {
                    errors.push(error);
                }
            }
        }
    }

    /// Waits until there was at least one tunnel and one download from its beginning to its end.
    #[track_caller]
    pub(super) fn wait_for_each(&self) {
        eventually("a tunnel and a download", || {
            let all = [&self.tunnels, &self.downloads];
            all.iter().all(|it| it.load(Ordering::Relaxed) > 0).then_some(())
        });
    }

    /// The time that all but one in a hundred requests took at most since this was last asked.
    pub(super) fn p99(&self) -> Duration {
        let waits = self.waits();
        let place = waits.len() * 99 / 100;
        Duration::from_micros(waits.get(place).copied().unwrap())
    }

    /// The longest that one took since then.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_micros(self.waits().last().copied().unwrap())
    }

    /// The times of all, from the shortest to the longest, from when this was last asked.
    fn waits(&self) -> Vec<u64> {
        let mut waits = std::mem::take(&mut *self.waits.lock().unwrap());
        waits.sort_unstable();
        waits
    }

    /// Fails if anything failed, or nothing was asked.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        let errors = self.errors.lock().unwrap();
        assert_eq!(self.failed.load(Ordering::Relaxed), 0, "{errors:#?}");
        assert!(self.requests.load(Ordering::Relaxed) > 0, "{self}");
    }

    /// The same, of tunnels and downloads, too.
    #[track_caller]
    pub(super) fn assert_unharmed(&self) {
        self.assert_clean();
        for counter in [&self.tunnels, &self.downloads] {
            assert!(counter.load(Ordering::Relaxed) > 0, "{self}");
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [requests, tunnels, downloads, failed] =
            [&self.requests, &self.tunnels, &self.downloads, &self.failed]
                .map(|counter| counter.load(Ordering::Relaxed));
        write!(
            formatter,
            "{requests} requests, {tunnels} tunnels, {downloads} downloads; {failed} failed"
        )
    }
}
