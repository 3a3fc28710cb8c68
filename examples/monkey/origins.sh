#!/usr/bin/env bash
# Serves a folder from three nginx origins, one, two and three, on ports 9001 to 9003 of this
# machine, until it is interrupted: `examples/monkey/origins.sh /usr/share/doc`.
set -euo pipefail

root=$(realpath "${1:?which folder?}")
here=$(dirname "$(realpath "$0")")
PATH=$PATH:/usr/sbin
scratch=$(mktemp -d)
# As root, nginx would serve as somebody who may not read the folder.
user=()
if [ "$(id -u)" = 0 ]; then user=(-g "user root;"); fi

for origin in one:9001 two:9002 three:9003; do
  name=${origin%:*} port=${origin#*:}
  sed "s|PORT|$port|; s|NAME|$name|; s|ROOT|$root|" "$here/origin.conf" >"$scratch/$name.conf"
  nginx -p "$scratch" -c "$scratch/$name.conf" "${user[@]}" &
  echo "$name: http://127.0.0.1:$port, process $!"
done
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT
trap exit INT TERM
wait
