#!/usr/bin/env bash
# Sees to it that programs are there: `tools/need.sh nginx curl`. Installs what is missing with
# apt-get where it may; where it may not, says what to install and fails.
set -euo pipefail

# The Debian package that a program comes in.
package() {
  case $1 in
    ab) echo apache2-utils ;;
    cc) echo gcc libc6-dev ;;
    h2load | nghttp) echo nghttp2-client ;;
    nginx) echo nginx-light ;;
    nginx-lua) echo nginx-light libnginx-mod-http-lua ;;
    nginx-stream) echo libnginx-mod-stream ;;
    pip3) echo python3-pip ;;
    systemd-analyze) echo systemd ;;
    traffic_server) echo trafficserver ;;
    *) echo "$1" ;;
  esac
}

# Whether it is there: a program, or a module of nginx, which may be built in.
there() {
  case $1 in
    nginx-lua) [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] ;;
    nginx-stream) [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || nginx -V 2>&1 | grep -e '--with-stream ' >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# Servers live where an ordinary user's PATH does not reach.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
for program; do
  there "$program" || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0

packages=()
for program in "${missing[@]}"; do
  read -ra names <<<"$(package "$program")"
  packages+=("${names[@]}")
done
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  echo "installing ${packages[*]}" >&2
  # Nothing may be asked.
  env=(env DEBIAN_FRONTEND=noninteractive)
  "${as_root[@]}" "${env[@]}" apt-get -qq update
  "${as_root[@]}" "${env[@]}" apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
  exit 0
fi
echo "missing: ${missing[*]}. On Debian: sudo apt-get install ${packages[*]}" >&2
exit 1
