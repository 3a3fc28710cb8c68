#!/usr/bin/env bash
# Fetches what plugins are built with in each language, at the versions that its project in
# examples/languages names: `tools/languages.sh rust c js python go`. Tools go to target/languages, each
# once; Go itself is not fetched.
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
