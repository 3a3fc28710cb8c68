//! Large files, slow clients, and files that change while they are sent.

use std::fs;
use std::path::Path;

use super::Scene;
use crate::support::{Binary, Client, Message, Origin, eventually, one_cluster, reply, request};

const MIB: usize = 1 << 20;

#[test]
fn a_large_file_to_a_slow_client_takes_no_memory() {
    let scene = Scene::new("");
    let path = scene.put("sparse.bin", "");
    let total = 100 * MIB;
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(u64::try_from(total).unwrap()).unwrap();
    let origin = Origin::answering(|request| {
        let file = request.target().trim_start_matches('/').to_owned();
        reply(200, &[("x-sendfile", &*file)], "junk")
    });
    scene.put("small", "small");
    let roots = format!("sendfile-roots = [{:?}]", scene.path(""));
    let mut proxy = Binary::serve(&one_cluster(&[origin.address()], "", &roots));
    let address = proxy.address("web");
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/small").text(), "small");
    }
    let before = proxy.resident_bytes();
    let mut clients: Vec<_> = (0..4).map(|_| Client::small(address)).collect();
    for client in &mut clients {
        client.send(request("GET", "/sparse.bin", &[], b""));
        assert_eq!(client.response_head().length(), Some(total));
    }
    for client in &mut clients {
        client.skip(total).unwrap();
    }
    let grown = proxy.peak_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB", grown >> 10);
}

/// The files below a directory that this process has open.
fn open_files(directory: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    paths.filter(|path| path.starts_with(directory) && path != directory).count()
}

#[test]
fn a_file_that_shrinks_is_broken_off_visibly() {
    let scene = Scene::new("");
    let path = scene.put("shrinks", vec![b'x'; 32 * MIB]);
    let mut client = Client::small(scene.proxy.address("web"));
    client.send(request("GET", "/shrinks", &[], b""));
    let head = client.response_head();
    assert_eq!((head.status(), head.length()), (200, Some(32 * MIB)));
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let mut message = Message { head, ..Message::default() };
    message.complete = client.take(32 * MIB, &mut message.body).is_ok();
    assert!(!message.complete);
    assert!(message.body.iter().all(|byte| *byte == b'x'), "nothing but the file's own bytes");
    let line = &scene.proxy.access(1)[0];
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("the file that it names became shorter"), "{error}");
    eventually("the file to be closed", || (open_files(&scene.path("")) == 0).then_some(()));
}

#[test]
fn a_file_that_grows_is_sent_as_long_as_it_was() {
    let scene = Scene::new("");
    let path = scene.put("grows", vec![b'x'; 32 * MIB]);
    let mut client = Client::small(scene.proxy.address("web"));
    client.send(request("GET", "/grows", &[], b""));
    assert_eq!(client.response_head().length(), Some(32 * MIB));
    fs::File::options().write(true).open(&path).unwrap().set_len(64 << 20).unwrap();
    client.skip(32 * MIB).unwrap();
    assert_eq!(client.get("/none").status(), 404, "the next response is the next response");
}

#[test]
fn files_are_closed_when_clients_leave() {
    let scene = Scene::new("");
    scene.put("big", vec![b'x'; 32 * MIB]);
    scene.put("small.txt", "line\n".repeat(1_000));
    for _ in 0..10 {
        let mut client = Client::small(scene.proxy.address("web"));
        client.send(request("GET", "/big", &[], b""));
        client.response_head();
    }
    for method in ["GET", "HEAD"] {
        scene.ask(method, "/small.txt", &[]);
        scene.ask(method, "/small.txt", &[("accept-encoding", "gzip")]);
        scene.ask(method, "/small.txt", &[("if-none-match", "*")]);
        scene.ask(method, "/small.txt", &[("range", "bytes=99999-")]);
    }
    eventually("files to be closed", || (open_files(&scene.path("")) == 0).then_some(()));
}
