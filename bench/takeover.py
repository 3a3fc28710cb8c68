#!/usr/bin/env python3
"""What clients notice of a proxy that is replaced again and again.

    bench/takeover.py [--rounds 20] [--seconds 2] [--rate 2000] [--connections 64]

Every 2 seconds (--seconds) `linkspan run --takeover` replaces the process that serves, 20 times (--rounds). Meanwhile
2,000 requests a second (--rate) are sent when they are due, whether answers come or not: each 20th over a connection of its
own, the others over 64 (--connections) that are kept, in turn, or a further one where all are at work. Another takes the
place of one that is closed. A request is never sent twice. It has failed if it was not answered with 200 and the whole
body; a connection was reset if its end was anything but an end in order, idle or not. Times are those from when a request
was due.

Conditions are those of bench/base.py, with a router: all processes of the proxy share a core. Ends with 1 if a request has
failed, a connection was reset, or a process that was replaced did not leave with 0. Needs the release build of the
proxy, and nginx for the origins.
"""

import asyncio
import collections
import os
import re
import statistics
import subprocess
import sys
import time

import base

PATH = "/w/index.html"
KEPT = f"GET {PATH} HTTP/1.1\r\nhost: test\r\n\r\n".encode()
ONCE = f"GET {PATH} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n".encode()

# Each so manieth request has a connection of its own.
OWN = 20

# The longest that answers, and the processes that were replaced, are waited for at the end.
PATIENCE = 30


class Load:
    """All connections, and what became of them."""

    def __init__(self, port, options):
        self.port, self.options = port, options
        self.idle, self.open, self.opening = collections.deque(), set(), set()
        self.sent = self.connected = self.told = self.ended_idle = 0
        self.times, self.failed, self.reset = {KEPT: [], ONCE: []}, collections.Counter(), collections.Counter()

    async def connect(self, request, due):
        """Opens a connection, perhaps for a request."""
        make = lambda: Connection(self, request, due)
        try:
            await asyncio.get_running_loop().create_connection(make, "127.0.0.1", self.port)
        except OSError as error:
            self.failed[f"connecting: {error!r}"] += 1

    def begin(self, request, due):
        task = asyncio.create_task(self.connect(request, due))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    def send(self, due):
        self.sent += 1
        if self.sent % OWN == 0:
            self.begin(ONCE, due)
        elif self.idle:
            self.idle.popleft().ask(KEPT, due)
        else:
            self.begin(KEPT, due)

    async def run(self, stop):
        """Sends what is due until it is told to stop, and waits for the answers."""
        await asyncio.gather(*(self.connect(None, None) for _ in range(self.options.connections)))
        begun = time.monotonic()
        while not stop.is_set():
            due = begun + self.sent / self.options.rate
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            else:
                self.send(due)
        self.seconds = time.monotonic() - begun
        end = time.monotonic() + PATIENCE
        while (self.opening or any(each.request for each in self.open)) and time.monotonic() < end:
            await asyncio.sleep(0.05)

    def finish(self):
        """Nobody waits any more."""
        self.idle.clear()
        for each in self.open:
            if each.request:
                self.failed["no answer"] += 1
            each.transport.abort()


class Connection(asyncio.Protocol):
    """One connection, on which one request is under way at most."""

    def __init__(self, load, request, due):
        self.load, self.request, self.due, self.answer, self.over = load, request, due, b"", False

    def connection_made(self, transport):
        self.transport = transport
        self.load.connected += 1
        self.load.open.add(self)
        if self.request:
            self.ask(self.request, self.due)
        else:
            self.load.idle.append(self)

    def ask(self, request, due):
        self.request, self.due, self.answer = request, due, b""
        self.transport.write(request)

    def data_received(self, data):
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
        if not self.request or not length or not head.startswith(b"HTTP/1.1 200 ") or len(body) > int(length[1]):
            self.load.failed[repr(head[:40])] += 1
            self.request = None
            self.transport.abort()
        elif len(body) == int(length[1]):
            self.load.times[self.request].append(time.monotonic() - self.due)
            self.over = re.search(rb"\r\nconnection: *close", head, re.I) is not None
            kept, self.request = self.request is KEPT, None
            if not self.over:
                self.load.idle.append(self)
            elif kept:
                # Its end is waited for, as that could be a reset.
                self.load.told += 1
                self.load.begin(None, None)

    def connection_lost(self, error):
        self.load.open.discard(self)
        if error:
            self.load.reset[repr(error)] += 1
        if self.request:
            self.load.failed[f"unanswered: {error!r}" if error else "unanswered: closed"] += 1
        elif not self.over and self in self.load.idle:
            self.load.idle.remove(self)
            self.load.ended_idle += 1
            self.load.begin(None, None)


async def replace(bench, config, serving):
    """Another process in place of the one that serves. Gives it, and the seconds until it said that it listens."""
    process, seconds = await asyncio.to_thread(base.start_time, bench, config, "run", "--takeover")
    return process, seconds, asyncio.create_task(asyncio.to_thread(left, serving, time.monotonic()))


def left(process, begun):
    """Waits until a process has left. Gives how, and the seconds that it took."""
    try:
        return process.wait(PATIENCE), time.monotonic() - begun
    except subprocess.TimeoutExpired:
        return "still there", PATIENCE


async def play(bench, config, port, serving):
    """All takeovers under load. Gives the load, and of each the seconds until it served and how the one before left."""
    options = bench.options
    load, stop = Load(port, options), asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    begun, started, leaving = time.monotonic(), [], []
    for turn in range(options.rounds):
        await asyncio.sleep(max(0, begun + (turn + 1) * options.seconds - time.monotonic()))
        serving, seconds, leaves = await replace(bench, config, serving)
        started.append(seconds)
        leaving.append(leaves)
        print(f"takeover {turn + 1}: {seconds * 1e3:.0f} ms, {load.failed.total()} failed, {load.reset.total()} reset",
              file=sys.stderr)
    await asyncio.sleep(options.seconds)
    stop.set()
    await running
    ends = await asyncio.gather(*leaving)
    load.finish()
    return load, started, ends


def table(load, started, ends):
    kept, once = (sorted(times) for times in load.times.values())
    both = sorted(kept + once)
    at = lambda share: both[int(share * (len(both) - 1))] * 1000
    rows = {
        "takeovers": len(started),
        "until the new process listens, median (longest)":
            f"{statistics.median(started) * 1e3:.0f} ms ({max(started) * 1e3:.0f} ms)",
        "from then until the old one has left, median (longest)":
            f"{statistics.median(seconds for _, seconds in ends):.1f} s ({max(seconds for _, seconds in ends):.1f} s)",
        "requests": f"{load.sent} in {load.seconds:.1f} s, {load.sent / load.seconds:.0f}/s",
        "answered over kept connections": len(kept),
        "answered over one each": len(once),
        "connections opened": load.connected,
        "told to close with an answer": load.told,
        "closed while idle": load.ended_idle,
        "requests that failed": load.failed.total(),
        "connections that were reset": load.reset.total(),
        "p50, p99, p99.9, longest": f"{at(0.5):.1f}, {at(0.99):.1f}, {at(0.999):.1f}, {at(1):.0f} ms",
        "load average": f"{os.getloadavg()[0]:.1f}",
    }
    print("| figure | value |")
    print("|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def takeover(bench):
    options = bench.options
    os.sched_setaffinity(0, {options.load_core})
    *origins, port = base.free_ports(4)
    bench.origins(origins)
    server = f'takeover = "{bench.directory}/takeover.sock"'
    config = bench.linkspan_config("linkspan", port, origins, ["router"], server)
    serving, _ = base.start_time(bench, config)
    base.wait_for(port, serving)
    load, started, ends = asyncio.run(play(bench, config, port, serving))
    table(load, started, ends)
    faults = [f"{count} times {what}" for what, count in (load.failed + load.reset).items()]
    faults += [f"a process that was replaced ended with {code}" for code, _ in ends if code != 0]
    if len(load.times[KEPT]) + len(load.times[ONCE]) + load.failed.total() < load.sent:
        faults.append("not all requests are accounted for")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    base.run(__doc__, {"takeover": takeover}, lambda parser: (
        parser.set_defaults(rounds=20, seconds=2),
        parser.add_argument("--rate", type=int, default=2000, help="requests a second"),
    ))
