//! The examples whose READMEs show what comes when one types along.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::shell::Shell;
use super::{Ports, free_ports, pieces, root, walk, with};

/// Types along with an example's README, in a folder with nothing but the examples, on free ports.
fn type_along(name: &str, title: &str) {
    let pieces = pieces(&format!("examples/{name}"), title);
    assert!(pieces.len() > 8, "{pieces:#?}");
    let ports = free_ports();
    let mut shell = Shell::start();
    shell.run("export PATH=$PWD/target/quick:$PATH; mkdir ~/project && cd ~/project");
    copy(&mut shell, "examples", &ports);
    walk(&mut shell, &pieces, &ports);
}

/// Copies a folder into the one where the shell is, with other ports.
fn copy(shell: &mut Shell, folder: &str, ports: &Ports) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        let metadata = entry.metadata().unwrap();
        // Nobody types along there, and what was built there is no text.
        if entry.file_name() == "languages" {
            continue;
        }
        if metadata.is_dir() {
            copy(shell, &path, ports);
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        // Here others keep the processors busy for longer than that.
        let text = text.replace("timeout = \"50ms\"", "timeout = \"5s\"");
        shell.write(&format!("project/{path}"), &with(ports, &text));
        let mode = metadata.permissions().mode() & 0o777;
        shell.run(&format!("chmod {mode:o} {path}"));
    }
}

#[test]
fn the_how_to_of_memcached_remap_goes_as_it_says() {
    type_along("memcached-remap", "Step by step");
}

#[test]
fn two_paths_share_a_cluster_as_in_apache() {
    type_along("apache", "Try it");
}

#[test]
fn urls_are_hashed_and_files_are_sent_as_in_lighttpd() {
    type_along("lighttpd", "Try it");
}
