//! Stores as plugins get them, without a plugin in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use linkspan::config::{Address, Memcached as Servers, Name, Store as Settings, StoreKind};
use linkspan::dns::Inquiries;
use linkspan::metrics::Metrics;
use linkspan::proxy::WORDS;
use linkspan::store::{Error, Reader, Store};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, yield_now};

use crate::support::eventually;
use crate::support::memcached::Memcached;

/// Threads with connections of their own.
const THREADS: u64 = 4;

/// Look-ups of one thread at a time.
const AT_ONCE: u64 = 128;

/// Look-ups of all of them.
const LOOKUPS: u64 = 100_000;

fn open(kind: StoreKind) -> Store {
    let settings = Settings {
        name: Name::from("sites"),
        kind,
        timeout: Duration::from_secs(30),
        max_value_bytes: 1 << 20,
    };
    Store::open(&settings, &Inquiries::default(), &Metrics::new(1, WORDS))
}

fn memcached(server: &Memcached) -> Store {
    open(StoreKind::Memcached(Servers {
        servers: vec![Address::Socket(server.address())],
        max_connections: 64,
        idle_timeout: Duration::from_mins(1),
    }))
}

fn memory(max_bytes: usize) -> Store {
    open(StoreKind::Memory {
        entries: [("inline".to_owned(), "1".to_owned())].into(),
        max_bytes,
        latency: Duration::ZERO,
    })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What all stores do alike.
async fn does_as_the_contract_says(store: &Store) {
    assert_eq!(store.get("a").await, Ok(None));
    assert_eq!(store.set("a", b"\r\nEND\r\n\0\xff".to_vec(), None).await, Ok(()));
    assert_eq!(store.get("a").await, Ok(Some(b"\r\nEND\r\n\0\xff".to_vec())));
    assert_eq!(store.set("a", Vec::new(), Some(60_000)).await, Ok(()));
    assert_eq!(store.get("a").await, Ok(Some(Vec::new())));
    assert_eq!(store.increment("a", 1).await, Err(Error::NotANumber));
    assert_eq!(store.delete("a").await, Ok(()));
    assert_eq!(store.delete("a").await, Ok(()), "it is no error that there is none");
    assert_eq!(store.get("a").await, Ok(None));
    assert_eq!(store.increment("n", 41).await, Ok(41), "0 where there is none");
    assert_eq!(store.increment("n", 1).await, Ok(42));
    assert_eq!(store.increment("n", u64::MAX).await, Ok(41), "it wraps");
    assert_eq!(store.get("n").await, Ok(Some(b"41".to_vec())));
    assert_eq!(store.set("gone", b"x".to_vec(), Some(0)).await, Ok(()));
    assert_eq!(store.get("gone").await, Ok(None), "for no time at all");
    let key = "ä".repeat(125);
    assert_eq!(store.set(&key, b"x".to_vec(), None).await, Ok(()));
    assert_eq!(store.get(&key).await, Ok(Some(b"x".to_vec())));
    for key in ["", "a b", "a\r\nflush_all", "\u{7f}", &"k".repeat(251)] {
        assert_eq!(store.get(key).await, Err(Error::InvalidKey));
        assert_eq!(store.set(key, Vec::new(), None).await, Err(Error::InvalidKey));
        assert_eq!(store.delete(key).await, Err(Error::InvalidKey));
        assert_eq!(store.increment(key, 1).await, Err(Error::InvalidKey));
    }
    assert_eq!(store.set("giant", vec![0; (1 << 20) + 1], None).await, Err(Error::TooLarge));
}

#[test]
fn memory_and_memcached_do_as_the_contract_says() {
    let server = Memcached::start();
    wait(does_as_the_contract_says(&memory(8 << 20)));
    wait(does_as_the_contract_says(&memcached(&server)));
}

#[test]
fn what_is_remembered_for_a_shadow_is_not_told_to_whom_it_shadows() {
    const HOUR: Duration = Duration::from_hours(1);
    let server = Memcached::start();
    let store = memcached(&server);
    let recent = |reader| store.get_recent("n", HOUR, reader);
    wait(async {
        assert_eq!(recent(Reader::Beside).await, Ok(None));
        server.set("n", "1");
        assert_eq!(recent(Reader::Deciding).await, Ok(Some(b"1".to_vec())));
        assert_eq!(recent(Reader::Beside).await, Ok(None));
        assert_eq!(store.delete("n").await, Ok(()));
        server.set("n", "2");
        assert_eq!(recent(Reader::Beside).await, Ok(Some(b"2".to_vec())), "a change is for both");
        assert_eq!(recent(Reader::Deciding).await, Ok(Some(b"2".to_vec())));
    });
}

#[test]
fn what_a_worker_remembers_it_forgets_when_it_changes_it() {
    const HOUR: Duration = Duration::from_hours(1);
    let server = Memcached::start();
    let store = memcached(&server);
    wait(async {
        assert_eq!(store.get_recent("n", HOUR, Reader::Deciding).await, Ok(None));
        server.set("n", "1");
        assert_eq!(
            store.get_recent("n", HOUR, Reader::Deciding).await,
            Ok(None),
            "others change it unnoticed"
        );
        assert_eq!(store.get("n").await, Ok(Some(b"1".to_vec())), "always asked for");
        assert_eq!(store.increment("n", 1).await, Ok(2));
        assert_eq!(store.get_recent("n", HOUR, Reader::Deciding).await, Ok(Some(b"2".to_vec())));
        assert_eq!(store.set("n", b"x".to_vec(), None).await, Ok(()));
        assert_eq!(store.get_recent("n", HOUR, Reader::Deciding).await, Ok(Some(b"x".to_vec())));
        assert_eq!(store.delete("n").await, Ok(()));
        assert_eq!(store.get_recent("n", HOUR, Reader::Deciding).await, Ok(None));
        assert_eq!(store.get_recent("a b", HOUR, Reader::Deciding).await, Err(Error::InvalidKey));
    });
    server.set("n", "3");
    wait(async {
        assert_eq!(
            store.get_recent("n", HOUR, Reader::Deciding).await,
            Ok(Some(b"3".to_vec())),
            "another worker"
        );
    });
    let memory = memory(8 << 20);
    wait(async {
        assert_eq!(
            memory.get_recent("inline", HOUR, Reader::Deciding).await,
            Ok(Some(b"1".to_vec()))
        );
        assert_eq!(memory.set("inline", b"2".to_vec(), None).await, Ok(()));
        assert_eq!(
            memory.get_recent("inline", HOUR, Reader::Deciding).await,
            Ok(Some(b"2".to_vec()))
        );
        assert_eq!(memory.get_recent("a b", HOUR, Reader::Deciding).await, Err(Error::InvalidKey));
    });
}

#[test]
fn memcached_takes_less_than_it_may_hold() {
    let server = Memcached::start();
    let store = memcached(&server);
    wait(async {
        // A server has its own limit, 1 MiB with what it writes beside.
        assert_eq!(store.set("giant", vec![0; 1 << 20], None).await, Err(Error::TooLarge));
        let large = vec![b'x'; 700_000];
        assert_eq!(store.set("large", large.clone(), None).await, Ok(()));
        assert_eq!(store.get("large").await, Ok(Some(large)));
    });
}

#[test]
fn what_is_set_for_a_while_is_there_for_no_less() {
    let server = Memcached::start();
    let store = memcached(&server);
    wait(store.set("short", b"x".to_vec(), Some(1_000))).unwrap();
    wait(store.set("long", b"x".to_vec(), Some(40 * 24 * 3_600_000))).unwrap();
    assert_eq!(server.get("short").as_deref(), Some("x"));
    eventually("the end of one", || server.get("short").is_none().then_some(()));
    assert_eq!(server.get("long").as_deref(), Some("x"), "a date, and not long past");
}

#[test]
fn memory_is_bounded_and_crowds_out_what_was_set_first() {
    let store = memory(100_000);
    wait(async {
        for number in 0..2_000 {
            assert_eq!(store.set(&format!("k{number}"), vec![0; 1_000], None).await, Ok(()));
        }
        assert_eq!(store.get("inline").await, Ok(Some(b"1".to_vec())), "it is configured");
        assert_eq!(store.get("k0").await, Ok(None));
        assert_eq!(store.get("k1999").await, Ok(Some(vec![0; 1_000])));
        let mut held = 0;
        for number in 0..2_000 {
            held += usize::from(store.get(&format!("k{number}")).await.unwrap().is_some());
        }
        assert!((70..100).contains(&held), "{held}");
        assert_eq!(store.set("giant", vec![0; 100_000], None).await, Err(Error::TooLarge));
    });
}

#[test]
fn no_answer_is_paired_with_another_key() {
    let server = Memcached::start();
    let store = Arc::new(memcached(&server));
    wait(async {
        for number in (0..1_000).step_by(2) {
            store.set(&format!("key-{number}"), value(number), None).await.unwrap();
        }
    });
    let next = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (store, next) = (Arc::clone(&store), Arc::clone(&next));
            thread::spawn(move || wait(look_up_all(&store, &next)))
        })
        .collect();
    let answered: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answered > LOOKUPS * 9 / 10, "{answered}");
}

/// A value that belongs to one key alone, of a length of its own.
fn value(number: u64) -> Vec<u8> {
    format!("key-{number} ").repeat(usize::try_from(number % 17).unwrap() + 1).into_bytes()
}

/// Takes part in all look-ups. Gives how many were answered, each of them rightly.
async fn look_up_all(store: &Arc<Store>, next: &Arc<AtomicU64>) -> u64 {
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (store, next) = (Arc::clone(store), Arc::clone(next));
        tasks.spawn(async move {
            let mut answered = 0;
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= LOOKUPS {
                    return answered;
                }
                let number = turn * 7_919 % 1_000;
                let key = format!("key-{number}");
                // Some are given up on the way, and what they were answered is nobody's.
                tokio::select! {
                    biased;
                    () = give_up(turn) => {}
                    found = store.get(&key) => {
                        let expected = (number % 2 == 0).then(|| value(number));
                        assert_eq!(found.unwrap(), expected, "{key}");
                        answered += 1;
                    }
                }
            }
        });
    }
    let mut answered = 0;
    while let Some(task) = tasks.join_next().await {
        answered += task.unwrap();
    }
    answered
}

/// Ends after a few turns of the runtime for one in twenty, and never for others.
async fn give_up(turn: u64) {
    if !turn.is_multiple_of(20) {
        return std::future::pending().await;
    }
    for _ in 0..turn / 20 % 8 {
        yield_now().await;
    }
}
