#!/usr/bin/env bash
# Fetches what plugins in other languages are built with to target/languages, each tool once, at the
# version that its project in examples/languages names: `tools/languages.sh c js python go`. Go itself
# it does not fetch.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

tools=$PWD/target/languages
for language; do
  case $language in
    c | go | python) python3 -m pip --version >/dev/null 2>&1 || tools/need.sh python3 pip3 ;;
    js) tools/need.sh npm ;;
  esac
  make --silent -C "examples/languages/$language" tools TOOLS="$tools"
done
