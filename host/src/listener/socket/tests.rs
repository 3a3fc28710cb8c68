//! Whose paths are whose.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const RIGHTS: Rights = Rights { mode: 0o640, owner: None, group: None };

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_path_is_taken_from_the_dead_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let bind = Bind::Unix(path.clone());
    let socket = Socket::open(&bind, &RIGHTS).unwrap();
    assert_eq!(mode(&path), 0o640);
    for refused in [Socket::open(&bind, &RIGHTS).map(drop), probe(&bind)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(error.to_string(), "another process listens there");
    }
    drop(socket);
    assert!(!path.exists());

    drop(unix::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left by the dead");
    probe(&bind).unwrap();
    let socket = Socket::open(&bind, &RIGHTS).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another's").unwrap();
    let error = Socket::open(&bind, &RIGHTS).unwrap_err();
    assert_eq!(error.to_string(), "there is something that is no socket");
    assert_eq!(socket.set_rights(&RIGHTS).unwrap_err().kind(), io::ErrorKind::NotFound);
    drop(socket);
    assert!(path.exists(), "not ours to remove");
}

#[tokio::test]
async fn answers_wait_for_no_acknowledgements() {
    let any = Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let socket = Socket::open(&any, &RIGHTS).unwrap();
    let listener = socket.handle().unwrap().register().unwrap();
    let _client = net::TcpStream::connect(socket.bound().address().unwrap()).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let Stream::Tcp(stream) = stream else { panic!("{stream:?}") };
    assert!(stream.nodelay().unwrap(), "inherited");
}

#[test]
fn somebody_whose_queue_is_full_is_not_taken_for_dead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let (_socket, _claim) = path::listen(&path, &RIGHTS, 0).unwrap();
    let _waiting = unix::UnixStream::connect(&path).unwrap();
    let error = probe(&Bind::Unix(path)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let bind = Bind::Unix(directory.path().join("none/web.sock"));
    let error = probe(&bind).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().starts_with("the folder /"), "{error}");
}

#[test]
fn the_last_handle_takes_the_path_along() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let socket = Socket::open(&Bind::Unix(path.clone()), &RIGHTS).unwrap();
    let other = socket.share().unwrap();
    drop(socket);
    assert!(path.exists());
    other.set_rights(&Rights::PRIVATE).unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(other);
    assert!(!path.exists());
}

#[test]
fn who_has_adopted_a_socket_removes_its_path_once_it_is_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let bind = Bind::Unix(path.clone());
    let before = Socket::open(&bind, &RIGHTS).unwrap();
    let adopt = || Socket::adopt(&bind, &RIGHTS, before.pass().unwrap()).unwrap();
    drop(adopt());
    assert!(path.exists(), "who fails to start leaves it to the one before");
    let after = adopt();
    before.give_away();
    after.take_over();
    drop(before);
    assert!(path.exists());
    drop(after);
    assert!(!path.exists());
}

#[test]
fn what_a_service_manager_has_passed_stays_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let socket = OwnedFd::from(unix::UnixListener::bind(&path).unwrap());
    let before = mode(&path);
    let passed = Passed { socket, by_manager: true };
    let wanted = Bind::Unix("/elsewhere".into());
    let socket = Socket::adopt(&wanted, &Rights::PRIVATE, passed).unwrap();
    assert_eq!((socket.wanted(), socket.bound()), (&wanted, &Bind::Unix(path.clone())));
    assert!(socket.pass().unwrap().by_manager);
    socket.take_over();
    drop(socket);
    assert!(path.exists());
    assert_eq!(mode(&path), before);
}
