#!/usr/bin/env python3
"""What requests wait for a memcached that is slow, stands still or cannot be reached.

    bench/stores.py together                   many requests at once, and a server that takes 20 ms for each look-up
    bench/stores.py waits [--timeout 50]       the longest wait for a look-up: beside the store's timeout, which
                                               nothing should exceed by more than 5 ms

The router is the test guest `waits`, which asks the store for each request's path (`cargo test --no-run` makes it),
and the figures of `waits` are from the access log: from the head of a request to the end of its answer. They hold
what the machine does beside, so the same load is measured with the server well, for comparison. Two workers; load,
fake servers and proxy share the machine. Needs memcached, and the proxy at --program (the `quick` build, see `make run`).
"""

import argparse
import asyncio
import json
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from base import ROOT, free_ports, wait_for

GUEST = ROOT / "target/guests/wasm32-wasip2/plugin/linkspan_test_waits.wasm"

CONFIG = """
[server]
workers = 2
plugin-dir = "{directory}/plugins.d"
[log]
access = "{directory}/access.log"
file = "{directory}/linkspan.log"
format = "json"
[admin]
bind = "127.0.0.1:{admin}"
[listeners.web]
bind = "127.0.0.1:{port}"
routers = ["ask"]
default-cluster = "main"
[clusters.main]
endpoints = ["127.0.0.1:{origin}"]
[clusters.other]
endpoints = ["127.0.0.1:{origin}"]
[stores.sites]
type = "memcached"
servers = ["127.0.0.1:{store}"]
timeout = "{timeout}ms"
[plugins.ask]
component = "waits"
config = {{ store = "sites" }}
grants = {{ stores = ["sites"] }}
"""


async def answer_http(reader, writer):
    """An origin."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def answer_slowly(reader, writer):
    """A memcached that takes 20 ms, and has a value for every key."""
    try:
        while line := await reader.readline():
            await asyncio.sleep(0.02)
            writer.write(b"VALUE %s 0 5\r\nother\r\nEND\r\n" % line.split()[1])
    except (asyncio.CancelledError, ConnectionError):
        writer.close()


class Clients:
    """Connections that are kept."""

    @classmethod
    async def open(cls, port, count):
        clients = cls()
        clients.all = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
        return clients

    async def ask(self, number, path):
        reader, writer = self.all[number]
        writer.write(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        return int(head[9:12])

    async def all_at_once(self):
        """Seconds until each has an answer, and how many had a good one."""
        begun = time.perf_counter()
        answers = [self.ask(number, f"/{number}") for number in range(len(self.all))]
        statuses = await asyncio.gather(*answers)
        return time.perf_counter() - begun, statuses.count(200)

    async def steadily(self, seconds, rate):
        """Asks at a rate, each over whichever connection is free."""
        free, tasks = set(range(len(self.all))), set()

        async def one():
            number = free.pop()
            await self.ask(number, "/known")
            free.add(number)

        begun = time.perf_counter()
        for turn in range(int(seconds * rate)):
            await asyncio.sleep(begun + turn / rate - time.perf_counter())
            if free:
                task = asyncio.create_task(one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


class Proxy:
    """A proxy in front of one store."""

    def __init__(self, options, directory, store, origin):
        self.directory = pathlib.Path(directory)
        self.port, self.admin = free_ports(2)
        plugins = self.directory / "plugins.d"
        plugins.mkdir(exist_ok=True)
        (plugins / "waits.wasm").write_bytes(GUEST.read_bytes())
        config = self.directory / "linkspan.toml"
        text = CONFIG.format(
            directory=directory, port=self.port, admin=self.admin, origin=origin, store=store, timeout=options.timeout
        )
        config.write_text(text)
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.process = subprocess.Popen([options.program, "run", "-c", config], **quiet)

    async def ready(self):
        await asyncio.to_thread(wait_for, self.admin, self.process, 60, "/metrics")

    def memory(self):
        """MiB that it holds."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    async def lines(self, begun):
        """What the access log has of requests since then: status and milliseconds."""
        await asyncio.sleep(1)
        lines = (self.directory / "access.log").read_text().splitlines()[begun:]
        lines = [json.loads(line) for line in lines]
        return [(line["status"], line["total_ms"]) for line in lines], begun + len(lines)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


async def together(options, directory):
    origin = await asyncio.start_server(answer_http, "127.0.0.1", 0, backlog=4096)
    store = await asyncio.start_server(answer_slowly, "127.0.0.1", 0, backlog=4096)
    ports = [server.sockets[0].getsockname()[1] for server in (store, origin)]
    options.timeout = 10_000
    proxy = Proxy(options, directory, *ports)
    try:
        await proxy.ready()
        before = proxy.memory()
        clients = await Clients.open(proxy.port, options.requests)
        print(f"{options.requests} requests at once, each with a look-up of 20 ms:")
        for turn in range(options.turns):
            took, good = await clients.all_at_once()
            name = "first, its instances unborn" if turn == 0 else f"turn {turn + 1}"
            print(f"  {name:28} {took * 1000:7.0f} ms   {good} answered, proxy {proxy.memory():.0f} MiB (at first {before:.0f})")
    finally:
        proxy.stop()


def shown(name, lines, timeout):
    times = sorted(time for _, time in lines)
    if not times:
        return print(f"  {name:34} nothing")
    failed = sum(status != 200 for status, _ in lines)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
    beyond = times[-1] - timeout
    print(
        f"  {name:34} {len(times):6} requests, {failed:6} failed; ms: median {statistics.median(times):7.2f}, "
        f"p99 {at(0.99):7.2f}, longest {times[-1]:7.2f} = timeout {beyond:+.2f}"
    )


async def waits(options, directory):
    origin = await asyncio.start_server(answer_http, "127.0.0.1", 0, backlog=4096)
    [store] = free_ports(1)
    command = ["memcached", "-l", "127.0.0.1", "-p", str(store), "-u", "root", "-U", "0", "-t", "1"]
    server = subprocess.Popen(command)
    proxy = Proxy(options, directory, store, origin.sockets[0].getsockname()[1])
    try:
        await proxy.ready()
        clients = await Clients.open(proxy.port, options.connections)
        print(f"{options.rate} requests a second for {options.seconds} s each, timeout {options.timeout} ms:")
        seen = 0

        async def phase(name):
            nonlocal seen
            await clients.steadily(options.seconds, options.rate)
            lines, seen = await proxy.lines(seen)
            shown(name, lines, options.timeout)

        await phase("memcached is well")
        server.send_signal(signal.SIGSTOP)
        await phase("memcached is stopped (SIGSTOP)")
        server.send_signal(signal.SIGCONT)
        await asyncio.sleep(4)
        await phase("memcached goes on")
        server.kill()
        server.wait()
        await phase("memcached is gone")
        # Nobody accepts there, and what queues is full: further connections get no answer at all.
        hole = socket.socket()
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", store))
        hole.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", store))
        await asyncio.sleep(4)
        await phase("a black hole instead of it")
    finally:
        proxy.stop()
        if server.poll() is None:
            server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["together", "waits"])
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/quick/linkspan")
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--timeout", type=int, default=50, help="milliseconds")
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=200)
    options = parser.parse_args()
    for needed in (options.program, GUEST):
        if not needed.exists():
            sys.exit(f"{needed} is missing")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run({"together": together, "waits": waits}[options.what](options, directory))


if __name__ == "__main__":
    main()
