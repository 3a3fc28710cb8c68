#!/usr/bin/env bash
# Gives this Rust the standard library of the target that plugins are compiled for.
#
#   tools/wasm-target.sh             adds it if it is missing: with rustup, else from Debian
#   tools/wasm-target.sh --debian    adds it from Debian's packages, without asking rustup
#
# The way through Debian is for machines whose rustup cannot reach its server. It takes the sources
# of the very Rust that is installed (rust-src) and wasi-libc, and compiles the standard library:
# a few minutes. Packages are unpacked, not installed, so it needs no root, only a Rust that may be
# written to.
set -euo pipefail

target=wasm32-wasip2
suites="trixie trixie-backports sid"

say() { printf 'wasm-target: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
libdir() { rustc --print target-libdir --target "$target"; }
present() { compgen -G "$(libdir)/libstd-*.rlib" >/dev/null; }

main() {
  command -v rustc >/dev/null || fail "there is no rustc: install Rust with rustup first"
  if [ "${1:-}" != --debian ]; then
    if present; then return; fi
    if command -v rustup >/dev/null; then
      if rustup target add "$target"; then return; fi
      say "rustup could not add it; trying Debian's packages"
    fi
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work" ${link:+"$link"}' EXIT
  unpack
  compile
  present || fail "nothing was compiled"
  try
  say "added $target to $(rustc --print sysroot)"
}

# apt-get with sources and lists of its own: the machine's are left alone.
apt() {
  local command=$1
  shift
  "$command" -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
    -o Debug::NoLocking=1 "$@"
}

unpack() {
  local version mirror suite found
  for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || fail "there is no $tool: this way needs Debian"
  done
  version=$(rustc --version | cut -d' ' -f2)
  # The mirror that the machine uses already.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' |
    grep -m1 -E '/debian/?$') || fail "no source of Debian's packages is configured"
  mkdir -p "$work"/{lists,cache,debs,root}
  for suite in $suites; do
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite"
  done >"$work/sources.list"
  say "looking for the sources of Rust $version"
  apt apt-get update
  found=$(apt apt-cache madison rust-src | awk '{print $3}' | grep -m1 "^${version//./\\.}[+~-]") ||
    fail "Debian has no rust-src $version; it has $(apt apt-cache madison rust-src | awk '{print $3}' | paste -sd' ')"
  (cd "$work/debs" && apt apt-get download "rust-src=$found" wasi-libc)
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
}

compile() {
  local sysroot lib source start
  sysroot=$(rustc --print sysroot)
  lib=$(libdir)
  mkdir -p "$lib/self-contained" || fail "$sysroot cannot be written to"
  start=$(dirname "$(find "$work/root" -path "*$target*" -name crt1-command.o | head -n1)")
  [ -f "$start/libc.a" ] || fail "Debian's wasi-libc has nothing for $target"
  cp "$start"/crt1-*.o "$start/libc.a" "$lib/self-contained/"
  source=$(dirname "$(find "$work/root" -path '*/library/Cargo.lock' | head -n1)")
  [ -d "$source/std" ] || fail "Debian's rust-src has no standard library"
  if [ ! -e "$sysroot/lib/rustlib/src/rust" ]; then
    link=$sysroot/lib/rustlib/src/rust
    mkdir -p "$(dirname "$link")"
    ln -s "$(dirname "$source")" "$link"
  fi
  mkdir -p "$work/empty/src"
  printf '[package]\nname = "empty"\nedition = "2024"\n[workspace]\n' >"$work/empty/Cargo.toml"
  : >"$work/empty/src/lib.rs"
  say "compiling the standard library"
  (cd "$work/empty" && RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
    cargo build --quiet --release -Zbuild-std=std,panic_abort,panic_unwind --target "$target")
  find "$work/target/$target/release/deps" -name '*.rlib' ! -name 'libempty-*' -exec cp {} "$lib/" \;
}

# Compiles something with what was added, by plain cargo.
try() {
  mkdir -p "$work/trial/src"
  printf '[package]\nname = "trial"\nedition = "2024"\n[lib]\ncrate-type = ["cdylib"]\n[workspace]\n' >"$work/trial/Cargo.toml"
  printf 'pub fn trial() -> std::collections::HashMap<u8, String> { Default::default() }\n' >"$work/trial/src/lib.rs"
  (cd "$work/trial" && CARGO_TARGET_DIR="$work/target" cargo build --quiet --release --target "$target") ||
    fail "what was compiled does not work"
}

main "$@"
