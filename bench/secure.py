#!/usr/bin/env python3
"""What TLS and HTTP/2 cost, measured beside nginx and HAProxy in the same run.

    bench/secure.py            all of these, in some five minutes
    bench/secure.py requests   CPU time of the proxy per request: HTTP/1.1 over TLS 1.3 on connections that are kept alive, the
                               same with a connection and a full handshake for each, HTTP/2 over TLS 1.3 (16 connections of
                               16 streams, --streams), and HTTP/2 in the clear (by prior knowledge)
    bench/secure.py idle       memory: 1,000 (--idle) connections over TLS that have made one request each by HTTP/2, and by
                               HTTP/1.1, and are idle

Conditions are those of bench/base.py: two cores, of which the proxy under test has one to itself; one worker each, which
take turns in every round. Upstreams are spoken to in HTTP/1.1 in the clear. Certificates are ECDSA with P-256, sessions
are not taken up again, and all write an access log but HAProxy. Linkspan has three plugins in the path (regex-match,
round-robin, headers), and round-robin alone besides. Needs the release build of the proxy, and
`tools/need.sh nginx haproxy wrk h2load openssl`.
"""

import os
import re
import resource
import ssl
import socket
import statistics
import subprocess
import sys
import time

import base

LINKSPAN, ALONE = "linkspan, three plugins", "linkspan, round-robin"
NGINX, HAPROXY = "nginx", "haproxy, no access log"
PATH = "/w/index.html"


def certificate(bench):
    """The paths of a certificate and its key, and of both in one file."""
    cert, key = (bench.directory / f"web.{end}" for end in ("pem", "key"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )
    return cert, key, bench.file("both.pem", cert.read_text() + key.read_text())


def linkspan(chain):
    def start(bench, name, origins, secure, clear, files):
        config = bench.linkspan_config(name, secure, origins, chain)
        text = config.read_text().replace(
            f'bind = "127.0.0.1:{secure}"\n',
            f'bind = "127.0.0.1:{secure}"\ntls = {{ cert = "{files[0]}", key = "{files[1]}" }}\n',
        )
        listener = re.search(r"\[listeners\.web\]\n(.*?)\n(?=\[)", text, re.S)[0]
        listener = listener.replace("[listeners.web]", "[listeners.clear]").replace(str(secure), str(clear))
        listener = re.sub(r"tls = .*", 'http-versions = ["h2"]', listener)
        config.write_text(f"{text}\n{listener}\n")
        return bench.start(bench.options.proxy_core, bench.options.program, "-c", config)

    return start


def nginx(bench, name, origins, secure, clear, files):
    servers = " ".join(f"server 127.0.0.1:{origin};" for origin in origins)
    return bench.nginx(
        name,
        bench.options.proxy_core,
        f"access_log {bench.directory}/{name}.log;"
        f"upstream origins {{ {servers} keepalive 64; keepalive_requests 1000000000; }}"
        f"ssl_certificate {files[0]}; ssl_certificate_key {files[1]}; ssl_protocols TLSv1.3;"
        f"server {{ listen 127.0.0.1:{secure} ssl http2; listen 127.0.0.1:{clear} http2;"
        ' location / { proxy_pass http://origins; proxy_http_version 1.1; proxy_set_header Connection ""; } }',
    )


def haproxy(bench, name, origins, secure, clear, files):
    servers = "\n".join(f"  server s{place} 127.0.0.1:{origin}" for place, origin in enumerate(origins))
    config = bench.file(
        f"{name}.cfg",
        f"""
global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend web
  bind 127.0.0.1:{secure} ssl crt {files[2]} alpn h2,http/1.1
  bind 127.0.0.1:{clear} proto h2
  default_backend origins
backend origins
  balance roundrobin
{servers}
""",
    )
    return bench.start(bench.options.proxy_core, "haproxy", "-f", config)


PROXIES = {
    LINKSPAN: linkspan(["router", "rewriter"]),
    ALONE: linkspan([]),
    NGINX: nginx,
    HAPROXY: haproxy,
}


class Field:
    """Origins, and the proxies in front of them."""

    def __init__(self, bench):
        self.bench = bench
        self.files = certificate(bench)
        self.origins = base.free_ports(3)
        bench.origins(self.origins, "secure-origins")

    def start(self, name, turn=""):
        secure, clear = base.free_ports(2)
        file = re.sub(r"\W+", "-", name + turn)
        process = PROXIES[name](self.bench, file, self.origins, secure, clear, self.files)
        deadline = time.monotonic() + 60
        while True:
            try:
                request(secure, ["http/1.1"]).close()
                return process, secure, clear
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{name} does not serve")
                time.sleep(0.05)


def request(port, protocols):
    """A connection over TLS on which a request was answered."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="localhost")
    if protocols == ["h2"]:
        if stream.selected_alpn_protocol() != "h2":
            raise OSError("no HTTP/2 was agreed on")
        path = PATH.encode()
        block = b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x01\x09localhost"
        head = len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big")
        stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\4\1\0\0\0\0" + head + block)
        while True:
            head = exactly(stream, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            exactly(stream, length)
            if kind in (0, 1) and flags & 1:
                return stream
            if kind in (3, 7):
                raise OSError(f"a frame of type {kind} instead of an answer")
    stream.sendall(f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    text = b""
    while b"\r\n\r\n" not in text:
        text += some(stream)
    head, rest = text.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    exactly(stream, length - len(rest))
    return stream


def some(stream):
    read = stream.recv(65536)
    if not read:
        raise OSError("closed")
    return read


def exactly(stream, length):
    read = b""
    while len(read) < length:
        piece = stream.recv(length - len(read))
        if not piece:
            raise OSError("closed")
        read += piece
    return read


def wrk(bench, secure, _clear, seconds, *more):
    command = ["taskset", "-c", str(bench.options.load_core), "wrk", "-t1", f"-c{bench.options.connections}",
               f"-d{seconds}s", "--timeout", "10s", *more, f"https://127.0.0.1:{secure}{PATH}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    trouble = re.search(r"Non-2xx.*|Socket errors.*", output)
    # Who closes after each answer is counted as an error of reading.
    if trouble and not more:
        sys.exit(f"port {secure}: {trouble[0]}")
    return int(re.search(r"(\d+) requests in", output)[1])


def h2load(bench, url, seconds):
    connections = bench.options.h2_connections
    command = ["taskset", "-c", str(bench.options.load_core), "h2load", "-t1", "-c", str(connections),
               "-m", str(bench.options.streams), "-D", str(seconds), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    done, succeeded, failed, errored, late = map(int, found.groups())
    if failed or errored or late or not succeeded:
        sys.exit(f"{url}: {found[0]}")
    return succeeded


LOADS = {
    "HTTP/1.1 over TLS, kept alive": lambda bench, secure, clear, seconds: wrk(bench, secure, clear, seconds),
    "HTTP/1.1, a full handshake each": lambda bench, secure, clear, seconds: wrk(
        bench, secure, clear, seconds, "-H", "Connection: close"),
    "HTTP/2 over TLS": lambda bench, secure, clear, seconds: h2load(bench, f"https://127.0.0.1:{secure}{PATH}", seconds),
    "HTTP/2 in the clear": lambda bench, secure, clear, seconds: h2load(bench, f"http://127.0.0.1:{clear}{PATH}", seconds),
}


def requests(field):
    bench, options = field.bench, field.bench.options
    proxies = {name: field.start(name) for name in PROXIES}
    costs = {}
    for what, load in LOADS.items():
        for _, secure, clear in proxies.values():
            load(bench, secure, clear, 1)
        for turn, name in base.turns(options, proxies):
            process, secure, clear = proxies[name]
            before = base.cpu_seconds(process.pid)
            served = load(bench, secure, clear, options.seconds)
            cost = (base.cpu_seconds(process.pid) - before) / served * 1e6
            costs.setdefault((what, name), []).append(cost)
            print(f"round {turn}: {what}: {name}: {cost:.1f} us, {served} requests", file=sys.stderr)
    print(f"{options.rounds} rounds of {options.seconds} s; {options.connections} connections of HTTP/1.1,"
          f" {options.h2_connections} of HTTP/2 with {options.streams} streams; load average {os.getloadavg()[0]:.1f}")
    print(f"| CPU per request, median (least to most) | {' | '.join(PROXIES)} |")
    print("|---" * (len(PROXIES) + 1) + "|")
    for what in LOADS:
        cells = []
        for name in PROXIES:
            values = costs[what, name]
            middle = statistics.median(values)
            share = middle / statistics.median(costs[what, NGINX])
            cells.append(f"{middle:.1f} us ({min(values):.1f} to {max(values):.1f}), {share:.2f}")
        print(f"| {what} | {' | '.join(cells)} |", flush=True)
    for process, _, _ in proxies.values():
        bench.stop(process)


def idle(field):
    options = field.bench.options
    print(f"| {options.idle} idle connections | before, KiB | with them | KiB each | after them |\n|---|---|---|---|---|")
    for name in (LINKSPAN, NGINX, HAPROXY):
        for protocol in ("h2", "http/1.1"):
            process, secure, _ = field.start(name, protocol)
            # As large as one at work.
            for each in [request(secure, [protocol]) for _ in range(64)]:
                each.close()
            time.sleep(1)
            before = base.resident(process)
            streams = [request(secure, [protocol]) for _ in range(options.idle)]
            time.sleep(2)
            within = base.resident(process)
            for each in streams:
                each.close()
            time.sleep(2)
            print(f"| {name}, {protocol} | {before:.0f} | {within:.0f} | {(within - before) / options.idle:.1f}"
                  f" | {base.resident(process):.0f} |", flush=True)
            field.bench.stop(process)


def mode(*measures):
    def measure(bench):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        field = Field(bench)
        for each in measures:
            each(field)

    return measure


def more(parser):
    parser.set_defaults(rounds=5, seconds=3)
    parser.add_argument("--h2-connections", type=int, default=16)
    parser.add_argument("--streams", type=int, default=16, help="streams of an HTTP/2 connection")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections")


if __name__ == "__main__":
    measures = {"requests": requests, "idle": idle}
    modes = {"all": mode(*measures.values())} | {name: mode(each) for name, each in measures.items()}
    base.run(__doc__, modes, more)
