//! The examples whose READMEs show what comes when one types along.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::shell::Shell;
use super::{free_ports, pieces, root, walk, with};

/// Types along with an example's README, in a folder with nothing but the example, on free ports.
fn type_along(name: &str, title: &str) {
    let folder = format!("examples/{name}");
    let pieces = pieces(&folder, title);
    assert!(pieces.len() > 8, "{pieces:#?}");
    let ports = free_ports();
    let mut shell = Shell::start();
    shell.run("export PATH=$PWD/target/quick:$PATH; mkdir ~/project && cd ~/project");
    for entry in fs::read_dir(root().join(&folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        let text = fs::read_to_string(entry.path()).unwrap();
        shell.write(&format!("project/{path}"), &with(&ports, &text));
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        shell.run(&format!("chmod {mode:o} {path}"));
    }
    walk(&mut shell, &pieces, &ports);
}

#[test]
fn the_how_to_of_memcached_remap_goes_as_it_says() {
    type_along("memcached-remap", "Step by step");
}

#[test]
fn two_paths_share_a_cluster_as_in_apache() {
    type_along("apache", "Try it");
}
