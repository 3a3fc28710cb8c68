#!/usr/bin/env bash
# Builds the program as fast as it gets: once so that it counts what it does, which is then tried under the loads that the
# benchmarks measure, and once more by what was counted. The hottest paths end up without jumps and side by side. Some
# twenty minutes on two cores. The program is target/optimized/linkspan; with `calls`, what measures single calls is
# built in the same way, as target/optimized/calls.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
counts=$target/optimized/counts

# Hot functions lie side by side, away from the others.
together=-Clink-arg=-Wl,-z,keep-text-section-prefix

# Named by its target, so that what only runs while building is built as ever.
build() {
  CARGO_ENCODED_RUSTFLAGS=$2 cargo build --release --locked -p "$3" --bin "$4" \
    --target "$host" --target-dir "$target/optimized/$1"
}

build counting "-Cprofile-generate=$counts" linkspan linkspan
rm -rf "$counts"
python3 bench/train.py --program "$target/optimized/counting/$host/release/linkspan"
tools/profdata.py "$target/optimized/linkspan.profdata" "$counts"/*.profraw
by_counts="-Cprofile-use=$target/optimized/linkspan.profdata"$'\x1f'"$together"
build counted "$by_counts" linkspan linkspan
if [ "${1-}" = calls ]; then
  build counted "$by_counts" linkspan-calls calls
  cp --remove-destination "$target/optimized/counted/$host/release/calls" "$target/optimized/calls"
fi
cp --remove-destination "$target/optimized/counted/$host/release/linkspan" "$target/optimized/linkspan"
