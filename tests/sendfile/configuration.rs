//! Roots that are not there, and roots that come and go.

use std::fs;

use super::{JUNK, Scene};
use crate::support::{Binary, Proxy, one_cluster};

#[test]
fn a_root_that_is_missing_is_a_fault_at_its_place() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    for (name, why) in [("none", "No such file or directory"), ("file", "Not a directory")] {
        let path = directory.path().join(name);
        let lines = [
            (format!("sendfile-roots = [{path:?}]"), "clusters.main.sendfile-roots[0]"),
            (
                format!("sendfile-prefixes = {{ '/p/' = {path:?} }}"),
                "clusters.main.sendfile-prefixes.\"/p/\"",
            ),
        ];
        for (line, place) in lines {
            let toml = one_cluster(&[([127, 0, 0, 1], 1).into()], "", &line);
            let error = Proxy::try_start(&toml, &[]).err().unwrap();
            let expected =
                format!("{place}: {} cannot be opened as a directory: {why}", path.display());
            assert!(error.contains(&expected), "{error}");
            let mut check = Binary::with(&toml, &[], &["check"]);
            assert!(!check.wait().success());
            assert!(check.stderr().contains("cannot be opened as a directory"));
        }
    }
    let slip = "sendfile-prefixes = { '/p' = '/usr' }";
    let toml = one_cluster(&[([127, 0, 0, 1], 1).into()], "", slip);
    let error = Proxy::try_start(&toml, &[]).err().unwrap();
    assert!(error.contains("expected one that begins and ends with a slash"), "{error}");
}

#[test]
fn a_relative_root_starts_from_the_file() {
    let toml = one_cluster(&[([127, 0, 0, 1], 1).into()], "", "sendfile-roots = ['plugins.d']");
    let mut check = Binary::with(&toml, &[], &["check"]);
    assert!(check.wait().success(), "{}", check.stderr());
}

#[test]
fn a_reload_turns_it_on_and_off_and_is_refused_without_its_root() {
    let mut scene = Scene::new("");
    scene.put("a", "file");
    let on = |root: &str| {
        let root = format!("sendfile-roots = [{:?}]", scene.path(root));
        one_cluster(&[scene.origin.address()], "", &root)
    };
    let (on, missing) = (on(""), on("none"));
    let off = one_cluster(&[scene.origin.address()], "", "");
    assert_eq!(scene.get("/a", &[]).text(), "file");
    scene.proxy.reload(&off).unwrap();
    assert_eq!(scene.get("/a", &[]).text(), JUNK);
    scene.proxy.reload(&on).unwrap();
    assert_eq!(scene.get("/a", &[]).text(), "file");
    assert!(scene.proxy.reload(&missing).is_err());
    assert_eq!(scene.get("/a", &[]).text(), "file", "the old one goes on");
}
