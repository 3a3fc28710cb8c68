#!/usr/bin/env bash
# Sets, gets and deletes keys of a memcached, for those who have no client at hand:
# `keys.sh set KEY VALUE`, `keys.sh get KEY`, `keys.sh delete KEY`.
# The server is the one of MEMCACHED, or 127.0.0.1:11211.
set -euo pipefail

server=${MEMCACHED:-127.0.0.1:11211}
case "${1:-} $#" in
  "set 3") request="set $2 0 0 ${#3}"$'\r\n'"$3" ;;
  "get 2" | "delete 2") request="$1 $2" ;;
  *)
    echo "usage: $0 set KEY VALUE | get KEY | delete KEY" >&2
    exit 2
    ;;
esac
exec 3<>"/dev/tcp/${server%:*}/${server##*:}"
printf '%s\r\nquit\r\n' "$request" >&3
tr -d '\r' <&3
