#!/usr/bin/env python3
"""How proxies fare with hostile, malformed and ambiguous traffic.

    bench/cases.py [--program FILE] [--patience 1.4] [--proxies NAME ...] [ID-PREFIX ...]

The plain cases of tests/cases/cases.json, those that need nothing but bytes, against Linkspan and, as far as they are
installed, nginx, HAProxy and Envoy, each as one would configure it at first. A coarse look, the same for all: whether
the first status is one that the case allows, the connection ends where it has to, and no more requests reach the
upstream than may. (tests/cases.rs looks at everything, and plays the other cases too.) Prints a table by group, in
Markdown, and below it what each proxy does that its case does not allow. Ends with 1 if Linkspan fails any.

All proxies run at the same time, each in front of an upstream of its own. Envoy comes from PyPI, if that can be reached.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import envoy
from base import ROOT, Trouble, free_ports, wait_for

os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

GROUPS = {
    "rl": "request lines",
    "tg": "targets",
    "ho": "Host",
    "hd": "header fields",
    "fr": "framing",
    "ch": "chunks",
    "cn": "connections",
    "ur": "paths",
    "rs": "responses",
}

LINKSPAN = """
[listeners.web]
bind = "127.0.0.1:{port}"
default-cluster = "main"
[clusters.main]
endpoints = ["127.0.0.1:{upstream}"]
"""

NGINX = """
daemon off; {user} worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream main {{ server 127.0.0.1:{upstream}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://main; proxy_http_version 1.1;
      proxy_set_header Host $http_host; proxy_set_header Connection "";
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:{port}
  default_backend main
backend main
  server one 127.0.0.1:{upstream}
"""

ENVOY_CONFIG = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          codec_type: HTTP1
          http_protocol_options: {{ accept_http_10: true, default_host_for_http_10: a.test }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: main }} }}] }}
  clusters:
  - name: main
    type: STATIC
    load_assignment:
      cluster_name: main
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }}
"""


def expanded(text):
    """The bytes of a case: `<<X*N>>` is X, N times, and there are escapes within and around it."""
    def unescaped(part):
        return part.encode("latin-1").decode("unicode_escape").encode("latin-1")

    out, place = b"", 0
    for match in re.finditer(r"<<(.*?)\*(\d+)>>", text, re.S):
        out += unescaped(text[place:match.start()]) + unescaped(match.group(1)) * int(match.group(2))
        place = match.end()
    return out + unescaped(text[place:])


class Upstream(threading.Thread):
    """Counts requests, and answers them plainly or with the bytes of a case."""

    def __init__(self):
        super().__init__(daemon=True)
        self.count, self.reply = 0, None
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.settimeout(8)
        reader = connection.makefile("rb")
        try:
            while head := self.head(reader):
                self.count += 1
                if self.reply is not None:
                    connection.sendall(self.reply)
                    time.sleep(0.15)
                    return
                self.body(reader, head)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (OSError, ValueError, OverflowError):
            pass  # Nobody else needs to hear of a length that none can have.
        finally:
            reader.close()
            connection.close()

    @staticmethod
    def head(reader):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                return None
            head += line
        return head.lower()

    @staticmethod
    def body(reader, head):
        length = re.search(rb"\r\ncontent-length:\s*(\d+)", head)
        if re.search(rb"\r\ntransfer-encoding:\s*chunked", head):
            while size := int(reader.readline().split(b";")[0], 16):
                reader.read(size + 2)
            while reader.readline() not in (b"\r\n", b""):
                pass
        elif length:
            reader.read(int(length.group(1)))


def sent(case):
    """What the client sends."""
    if case["kind"] == "request":
        return expanded(case["bytes"])
    line, _, more = case.get("request", "GET / HTTP/1.1").partition(" with ")
    line = line if "HTTP/1" in line else f"{line} HTTP/1.1"
    fields = {"Upgrade: websocket": UPGRADE, "If-None-Match": 'If-None-Match: "x"\r\n'}
    return f"{line}\r\nHost: a.test\r\n{fields.get(more, '')}\r\n".encode()


def play(case, port, upstream, patience):
    """What of a case is not as it allows."""
    upstream.count = 0
    upstream.reply = expanded(case["bytes"]) if case["kind"] == "response" else None
    heard, closed = b"", False
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(patience)
        end = time.monotonic() + patience + 0.3
        try:
            client.sendall(sent(case))
        except OSError:
            closed = True
        try:
            while time.monotonic() < end:
                more = client.recv(65536)
                if not more:
                    closed = True
                    break
                heard += more
        except TimeoutError:
            pass
        except OSError:
            closed = True
    time.sleep(0.02)
    allowed = case.get("allow_status", [])
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d\d\d)", heard)]
    status = next((each for each in statuses if each != 100 or 100 in allowed), None)
    wrong = []
    # Closing without a word counts as a refusal.
    if allowed and status is None and not set(allowed) & {400, 408, 413, 414, 431, 502}:
        wrong.append("no answer")
    if allowed and status is not None and status not in allowed:
        wrong.append(f"{status}, not one of {', '.join(map(str, allowed))}")
    if case.get("close") and not closed and status is not None:
        wrong.append("not closed")
    if upstream.count > case.get("upstream_max", upstream.count):
        wrong.append(f"{upstream.count} requests upstream, of at most {case['upstream_max']}")
    return wrong


def envoy_program():
    """Envoy's, if it is here or can be fetched."""
    try:
        return envoy.program()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return None


def proxies(options):
    """The name, version and start of each that is here."""
    def version(*command):
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        return re.search(r"\d+(\.\d+)+", said.stdout + said.stderr).group()

    programs = {
        "Linkspan": (options.program, ["--version"], LINKSPAN, "toml", lambda p, f: [p, "run", "-c", f]),
        "nginx": (shutil.which("nginx"), ["-v"], NGINX, "conf", lambda p, f: [p, "-p", f.parent, "-c", f]),
        "HAProxy": (shutil.which("haproxy"), ["-v"], HAPROXY, "cfg", lambda p, f: [p, "-db", "-f", f]),
        "Envoy": (
            envoy_program() if "Envoy" in options.proxies else None,
            ["--version"],
            ENVOY_CONFIG,
            "yaml",
            lambda p, f: [p, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "off", "-c", f],
        ),
    }
    for name, (program, asks, config, ending, command) in programs.items():
        if name not in options.proxies:
            continue
        if not program:
            print(f"{name} is not here", file=sys.stderr)
            continue
        yield f"{name} {version(program, *asks)}", config, ending, lambda file, p=program, c=command: c(p, file)


def fare(config, ending, command, cases, options):
    """What of each case goes wrong with a proxy."""
    upstream = Upstream()
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / f"proxy.{ending}"
        user = "user root;" if os.getuid() == 0 else ""
        file.write_text(config.format(port=port, upstream=upstream.port, directory=directory, user=user))
        with open(pathlib.Path(directory) / "log", "wb") as log:
            process = subprocess.Popen(command(file), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(port, process, path="/")
            return {case["id"]: play(case, port, upstream, options.patience) for case in cases}
        finally:
            process.terminate()
            process.wait()


def plain(case):
    special = any(case.get(key) for key in ("setup", "client_action", "proto", "via"))
    return not special and case["id"][:2] in GROUPS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "target/quick/linkspan", type=pathlib.Path)
    parser.add_argument("--patience", type=float, default=1.4, help="how long anything is waited for, in seconds")
    names = ["Linkspan", "nginx", "HAProxy", "Envoy"]
    parser.add_argument("--proxies", nargs="+", choices=names, default=names)
    parser.add_argument("prefixes", nargs="*", metavar="ID-PREFIX")
    options = parser.parse_args()
    every = json.loads((ROOT / "tests/cases/cases.json").read_text())["cases"]
    wanted = tuple(options.prefixes) or ("",)
    cases = [case for case in every if plain(case) and case["id"].startswith(wanted)]
    if not cases:
        sys.exit("there is no such case")
    here = list(proxies(options))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {name: pool.submit(fare, *how, cases, options) for name, *how in here}
        results = {name: run.result() for name, run in runs.items()}
    sizes = collections.Counter(case["id"][:2] for case in cases)
    print(f"| cases | of | {' | '.join(results)} |")
    print(f"|---|--:|{'--:|' * len(results)}")
    for group, size in sizes.items():
        good = [sum(not bad for id, bad in found.items() if id.startswith(group)) for found in results.values()]
        print(f"| {GROUPS[group]} (`{group}`) | {size} | {' | '.join(map(str, good))} |")
    good = [sum(not bad for bad in found.values()) for found in results.values()]
    print(f"| all | {len(cases)} | {' | '.join(map(str, good))} |")
    for name, found in results.items():
        bad = {id: wrong for id, wrong in found.items() if wrong}
        print(f"\n{name} fails {len(bad)}:\n" if bad else f"\n{name} fails none.")
        for id, wrong in bad.items():
            print(f"- `{id}`: {'; '.join(wrong)}")
    own = [found for name, found in results.items() if name.startswith("Linkspan")]
    return any(bad for found in own for bad in found.values())


if __name__ == "__main__":
    sys.exit(main())
