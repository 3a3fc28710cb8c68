//! An authoritative name server whose zone a test changes while it runs.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::PATIENCE;

/// The most bytes of an answer over UDP; longer ones are cut short.
const DATAGRAM: usize = 1_200;

/// A name server on a port of its own, over UDP and TCP.
pub(crate) struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What it does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    /// It answers from its zone.
    #[default]
    Answers,
    /// It answers SERVFAIL.
    Fails,
    /// It says nothing.
    IsSilent,
    /// What it says over UDP is cut short.
    Truncates,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    zone: Mutex<Zone>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, (u32, Vec<RData>)>,
    mood: Mood,
    queries: Vec<(String, RecordType)>,
    over_tcp: usize,
}

impl NameServer {
    /// A name server that knows nothing yet.
    pub(crate) fn start() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let (by_udp, by_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || serve_udp(&udp, &by_udp)),
            thread::spawn(move || serve_tcp(&tcp, &by_tcp)),
        ];
        Self { address, shared, threads }
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `[dns]` that asks it, and asks again soon.
    pub(crate) fn section(&self) -> String {
        format!(
            "[dns]\nservers = ['{}']\ntimeout = '1s'\nmin-ttl = '100ms'\nretry = '50ms'\n",
            self.address
        )
    }

    /// From now on a host has these addresses.
    pub(crate) fn host(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let records = addresses.iter().map(|address| address.parse::<IpAddr>().unwrap().into());
        self.set(name, ttl, records.collect());
    }

    /// From now on a service has these targets: priority, weight, port and host.
    pub(crate) fn service(&self, name: &str, ttl: u32, targets: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let target = Name::from_ascii(format!("{target}.")).unwrap();
            RData::SRV(SRV::new(*priority, *weight, *port, target))
        };
        self.set(name, ttl, targets.iter().map(record).collect());
    }

    /// From now on there is no such name.
    pub(crate) fn remove(&self, name: &str) {
        self.zone().records.remove(name);
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.zone().mood = mood;
    }

    /// How often it has been asked for the addresses (of IPv4) or the records of a name.
    pub(crate) fn queries(&self, name: &str) -> usize {
        let zone = self.zone();
        let asked = zone.queries.iter();
        asked.filter(|(of, kind)| of == name && *kind != RecordType::AAAA).count()
    }

    /// How many questions came over TCP.
    pub(crate) fn over_tcp(&self) -> usize {
        self.zone().over_tcp
    }

    fn set(&self, name: &str, ttl: u32, records: Vec<RData>) {
        self.zone().records.insert(name.to_owned(), (ttl, records));
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.shared.zone.lock().unwrap()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the threads. Nothing else can be listening there as long as they do.
        let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _ = waker.send_to(b"", self.address);
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Sockets of both kinds on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Some(reply) = shared.reply(buffer.get(..length).unwrap_or_default(), false) {
            let _ = socket.send_to(&reply, from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let shared = Arc::clone(shared);
        thread::spawn(move || converse(stream, &shared));
    }
}

/// Answers what comes over a connection, until it ends.
fn converse(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).ok()?;
        let reply = shared.reply(&query, true)?;
        let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &reply].concat()).ok()?;
    }
}

impl Shared {
    fn reply(&self, query: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?;
        let mut zone = self.zone.lock().unwrap();
        zone.over_tcp += usize::from(over_tcp);
        zone.queries.push((key(question), question.query_type()));
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.metadata.authoritative = true;
        reply.add_query(question.clone());
        match zone.mood {
            Mood::IsSilent => return None,
            Mood::Fails => reply.metadata.response_code = ResponseCode::ServFail,
            Mood::Truncates if !over_tcp => reply.metadata.truncation = true,
            Mood::Truncates | Mood::Answers => zone.answer(question, &mut reply),
        }
        let bytes = reply.to_vec().unwrap();
        if over_tcp || bytes.len() <= DATAGRAM {
            return Some(bytes);
        }
        Some(reply.truncate().to_vec().unwrap())
    }
}

impl Zone {
    fn answer(&self, question: &Query, reply: &mut Message) {
        let Some((ttl, records)) = self.records.get(&key(question)) else {
            reply.metadata.response_code = ResponseCode::NXDomain;
            return;
        };
        for data in records.iter().filter(|data| data.record_type() == question.query_type()) {
            reply.add_answer(Record::from_rdata(question.name().clone(), *ttl, data.clone()));
        }
    }
}

fn key(question: &Query) -> String {
    let name = question.name().to_lowercase().to_ascii();
    name.trim_end_matches('.').to_owned()
}
