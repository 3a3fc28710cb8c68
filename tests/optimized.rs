//! The program that is built by what it was seen to do: what runs count has to reach the compiler.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Calls functions directly, indirectly and not at all, and copies as much as it has arguments.
const COUNTED: &str = r#"
use std::hint::black_box;

#[inline(never)]
pub fn called_often(number: u64) -> u64 {
    black_box(number).wrapping_mul(3)
}

#[inline(never)]
pub fn never_called(number: u64) -> u64 {
    black_box(number) + 1
}

fn main() {
    let way: [fn(u64) -> u64; 2] = [called_often, never_called];
    let chosen = black_box(0);
    let sum: u64 = (0..1000).map(way[chosen]).sum();
    let bytes = black_box(vec![1_u8; 100]);
    let copy = bytes[..black_box(7)].to_vec();
    println!("{} {}", sum, copy.len());
}
"#;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_runs_count_is_added_up_and_understood_by_the_compiler() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("counted.rs"), COUNTED).unwrap();
    let rustc = |arguments: &[&str]| {
        let file = at("counted.rs");
        run(Command::new("rustc").args(["-O", "--edition=2024", &file]).args(arguments))
    };
    let counts = at("counts");
    rustc(&[&format!("-Cprofile-generate={counts}"), "-o", &at("counted")]);
    for run_of in ["one", "other"] {
        let file = format!("{counts}/{run_of}.profraw");
        let said = run(Command::new(at("counted")).env("LLVM_PROFILE_FILE", file));
        assert_eq!(said, "1498500 7\n");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/profdata.py");
    let raws = ["one", "other"].map(|run_of| format!("{counts}/{run_of}.profraw"));
    let said = run(Command::new("python3").arg(&script).arg(at("all.profdata")).args(&raws));
    assert!(said.ends_with(" of 2 runs\n"), "{said}");

    let read = format!("-Cprofile-use={}", at("all.profdata"));
    rustc(&[&read, "--emit=llvm-ir", "-o", &at("counted.ll")]);
    let code = fs::read_to_string(at("counted.ll")).unwrap();
    let entries = |function: &str| {
        let begins = |line: &&str| line.starts_with("define") && line.contains(function);
        let definition = code.lines().find(begins).unwrap_or_else(|| panic!("no {function}"));
        let told = definition.split(" !prof !").nth(1).unwrap();
        let told = told.split_whitespace().next().unwrap();
        let about = format!("!{told} = !{{!\"function_entry_count\", i64 ");
        let about = code.lines().find_map(|line| line.strip_prefix(&about)).unwrap();
        about.trim_end_matches('}').parse::<u64>().unwrap()
    };
    assert_eq!((entries("called_often"), entries("never_called")), (2_000, 0));

    let wrong = Command::new("python3").arg(&script).args([at("wrong"), at("counted.rs")]).output();
    let wrong = wrong.unwrap();
    assert!(!wrong.status.success() && !Path::new(&at("wrong")).exists());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no raw profile of version 10"));
}
