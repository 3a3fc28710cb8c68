#!/usr/bin/env bash
# Sees to it that Tombi is there, the half of an editor that knows TOML: tests complete and check the
# examples with it. What pip has is one program, which goes to target/tombi.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

version=1.9.6
folder=target/tombi

[ "$($folder/bin/tombi --version 2>/dev/null | cut -d' ' -f2)" = "$version" ] && exit 0
if ! python3 -m pip --version >/dev/null 2>&1; then
  tools/need.sh python3 pip3
fi
echo "fetching tombi $version" >&2
rm -rf "$folder"
mkdir -p target
python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "tombi==$version"
$folder/bin/tombi --version >&2
