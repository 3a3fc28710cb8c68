#!/usr/bin/env python3
"""What slow clients cost, and what others notice of them.

    bench/slow.py [--seconds 120] [--connections 4000] [--clients 256] [--limits patient default] [--modes H B R X]

slowhttptest holds connections in each of its modes: heads (H) and bodies (B) that come piece by piece, heads with
thousands of ranges (R), and responses that are read a few bytes a second (X). Before, some hundred ordinary clients
have been served, so that the proxy is as large as one at work. Meanwhile an innocent client sends 50
requests a second on another route. A row for each mode tells how many slow connections were open at most, what the
proxy's memory (RSS) was before, at its peak and a minute after, what that is for each of them, and how the innocent
client fared. Where they are answered as soon as they ask, so that hardly any are there at once (R), what was taken at
the peak is divided by all that were made.

With `patient` the limits that would end slow connections are out of the way, so that all of them are there at once;
with `default` they are what they are without configuration. Exits with 1 if the innocent client saw an error, a slow
connection takes more than 40 KiB, or more than a tenth is left a minute later. Needs the release build of the proxy,
nginx and slowhttptest (`tools/need.sh nginx slowhttptest`), and descriptors for three times as many connections.
"""

import argparse
import asyncio
import http.client
import multiprocessing
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

from base import ROOT, free_ports, wait_for

os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

RATE = 50
MOST_KIB = 40
LARGE = 4 << 20

LIMITS = {
    "default": "",
    "patient": 'head-timeout = "1h"\nbody-timeout = "1h"\nmin-body-rate = 0\n',
}

MODES = {
    "H": ("slow heads", "/slow/large", []),
    "B": ("slow bodies", "/upload", ["-s", "8192", "-x", "10"]),
    "R": ("ranges", "/slow/large", ["-t", "GET"]),
    "X": ("slow reading", "/slow/large", ["-w", "512", "-y", "1024", "-n", "5", "-z", "32"]),
}

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections {files}; }}
http {{
  access_log off;
  send_timeout 1h;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{slow} backlog=4096;
    listen 127.0.0.1:{innocent} backlog=4096;
    location / {{ return 200 "ok"; }}
    location /slow/ {{ alias {directory}/; }}
  }}
}}
"""


def configuration(limits, port, admin, slow, upload, innocent, connections, directory):
    return f"""
[log]
file = "{directory}/linkspan.log"
access = "{directory}/access.log"

[server]
workers = 2

[admin]
bind = "127.0.0.1:{admin}"

[listeners.web]
bind = "127.0.0.1:{port}"
routers = ["by-path"]
default-cluster = "innocent"
max-connections = {2 * connections}
{LIMITS[limits]}
[plugins.by-path]
component = "regex-match"
config.rules = [
  {{ match = ['^/slow/'], cluster = "slow" }},
  {{ match = ['^/upload'], cluster = "upload" }},
]

[clusters.innocent]
endpoints = ["127.0.0.1:{innocent}"]
[clusters.slow]
endpoints = ["127.0.0.1:{slow}"]
body-timeout = "1h"
[clusters.upload]
endpoints = ["127.0.0.1:{upload}"]
"""


async def take(reader, writer):
    """An origin that answers when it has the whole body."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
            await reader.readexactly(int(length.group(1)) if length else 0)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


def serve(port):
    """Runs that origin, in a process of its own: whoever lets thousands of connections go keeps its other clients waiting,
    and the innocent one is to wait for the proxy only."""
    async def forever():
        server = await asyncio.start_server(take, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(forever())


class Innocent:
    """Sends requests at a steady rate, whether answers come or not."""

    def __init__(self, port):
        self.port, self.idle, self.times, self.errors = port, [], [], []

    async def ask(self):
        begun = time.monotonic()
        try:
            await asyncio.wait_for(self.exchange(), 20)
            self.times.append(time.monotonic() - begun)
        except (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError) as error:
            self.errors.append(repr(error))

    async def exchange(self):
        # Whoever keeps connections has to notice that one was closed that was idle for too long.
        while self.idle and self.idle[-1][0].at_eof():
            self.idle.pop()[1].close()
        streams = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = streams
        writer.write(b"GET /innocent HTTP/1.1\r\nhost: test\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ")[1] != b"200" or await reader.readexactly(2) != b"ok":
            raise ValueError(head)
        self.idle.append(streams)

    async def run(self, stop):
        number, begun, tasks = 0, time.monotonic(), set()
        while not stop.is_set():
            task = asyncio.create_task(self.ask())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0, begun + number / RATE - time.monotonic()))
        await asyncio.gather(*tasks)

    def percentile(self, share):
        ordered = sorted(self.times)
        return ordered[int(share * (len(ordered) - 1))] * 1000


def memory(process):
    """What a process has in memory, in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1))


def open_connections(admin):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(re.search(r'^linkspan_connections_open\{.*\} (\d+)', text, re.M).group(1))


def warm_up(port, clients):
    """Ordinary requests of so many clients at once, a few each. What a proxy that has just started takes for its first
    requests is not the slow clients' doing."""
    for path in ["/innocent", "/slow/large", "/upload"] * 5:
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(clients)]
        for connection in connections:
            connection.request("POST" if path == "/upload" else "GET", path, body=b"x")
        for connection in connections:
            connection.getresponse().read()
            connection.close()


async def attack(options, mode, port, admin, proxy, innocent):
    """Holds slow connections. Gives the memory before, at its peak and after, and the most connections."""
    _, path, more = MODES[mode]
    stop = asyncio.Event()
    await asyncio.to_thread(warm_up, port, options.clients)
    load = asyncio.create_task(innocent.run(stop))
    await asyncio.sleep(5)
    before = peak = memory(proxy)
    most, counted = 0, 0.0
    rate = max(1, options.connections // 10)
    slow = await asyncio.create_subprocess_exec(
        "slowhttptest", f"-{mode}", "-c", str(options.connections), "-r", str(rate), "-l", str(options.seconds),
        "-u", f"http://127.0.0.1:{port}{path}", "-v", "0", *more,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + options.seconds + 30
    try:
        while slow.returncode is None and time.monotonic() < end:
            peak = max(peak, memory(proxy))
            if time.monotonic() > counted + 1:
                counted = time.monotonic()
                most = max(most, await asyncio.to_thread(open_connections, admin))
            await asyncio.sleep(0.25)
    finally:
        if slow.returncode is None:
            slow.terminate()
        await slow.wait()
    await asyncio.sleep(options.after)
    after, left = memory(proxy), await asyncio.to_thread(open_connections, admin)
    stop.set()
    await load
    return before, peak, after, max(1, most - len(innocent.idle)), left


async def row(options, limits, mode, directory):
    """One proxy and its origins, one attack."""
    port, admin, slow, upload, at = free_ports(5)
    scratch = pathlib.Path(directory) / f"{limits}-{mode}"
    scratch.mkdir()
    (scratch / "large").write_bytes(b"x" * LARGE)
    os.chmod(scratch, 0o755)
    files = 4 * options.connections
    (scratch / "nginx.conf").write_text(NGINX.format(directory=scratch, slow=slow, innocent=at, files=files))
    config = scratch / "linkspan.toml"
    config.write_text(configuration(limits, port, admin, slow, upload, at, options.connections, scratch))
    origin = multiprocessing.get_context("spawn").Process(target=serve, args=(upload,), daemon=True)
    origin.start()
    nginx = subprocess.Popen(["nginx", "-p", scratch, "-c", scratch / "nginx.conf"], stdin=subprocess.DEVNULL)
    proxy = subprocess.Popen([options.program, "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    innocent = Innocent(port)
    try:
        await asyncio.to_thread(wait_for, admin, proxy, path="/healthz")
        await asyncio.to_thread(wait_for, port, proxy, path="/innocent")
        await asyncio.to_thread(wait_for, upload, proxy, path="/upload")
        before, peak, after, most, left = await attack(options, mode, port, admin, proxy, innocent)
    finally:
        for process in (proxy, nginx):
            process.terminate()
            process.wait()
        origin.kill()
        origin.join()
    each = (peak - before) / (most if most > options.connections // 10 else options.connections)
    good = not innocent.errors and each <= MOST_KIB and after <= 1.1 * before
    print(f"| {MODES[mode][0]} | {limits} | {most} | {before} | {peak} | {each:.1f} | {after} ({after / before - 1:+.0%}) "
          f"| {left} | {len(innocent.times)} | {len(innocent.errors)} | {innocent.percentile(0.5):.1f} "
          f"| {innocent.percentile(0.99):.1f} | {max(innocent.times) * 1000:.0f} |", flush=True)
    for error in innocent.errors[:5]:
        print(f"\n{error}", file=sys.stderr)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--after", type=int, default=60, help="seconds until the memory is looked at again")
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=256, help="ordinary clients at once before the slow ones come")
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--program", default=ROOT / "target/release/linkspan", type=pathlib.Path)
    options = parser.parse_args()
    # Whoever is told to end takes along what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < 3 * options.connections:
        sys.exit(f"{3 * options.connections} descriptors are needed, {most} allowed")
    print("| slow clients | limits | connections | RSS before (KiB) | at its peak | for each | a minute later | still open "
          "| requests of the innocent | errors | p50 (ms) | p99 | longest |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        for limits in options.limits:
            for mode in options.modes:
                good &= asyncio.run(row(options, limits, mode, directory))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
