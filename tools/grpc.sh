#!/usr/bin/env bash
# Fetches what the tests of gRPC speak it with, Python's own library for it, to target/grpc, once.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

folder=$PWD/target/grpc/$(python3 -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
[ ! -d "$folder/grpc" ] || exit 0
python3 -m pip --version >/dev/null 2>&1 || tools/need.sh python3 pip3
python3 -m pip install --quiet --root-user-action ignore --disable-pip-version-check --no-deps --require-hashes \
  --target "$folder" -r tests/grpc/requirements.txt
