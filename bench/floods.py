#!/usr/bin/env python3
"""What floods of HTTP/2 do to a proxy, and to others.

    bench/floods.py [--names NAME ...]

A client sends one kind of frames as fast as it can, over one connection in the clear: requests that it takes back, or has
reset; CONTINUATION, SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA; heads that unfold to much. A row for each tells how
long its connection lived, by how much the proxy's memory (RSS) grew at most, how many requests were open at the origin at
most, which answers each after a fifth of a second, and how an innocent client fared that asks over a connection of its
own, fifty times a second. Ends with 1 if a connection lived for more than a second, memory grew by more than 16 MiB, more
than 100 requests were live, or the innocent client saw an error. Needs the release build of the proxy.
"""

import asyncio
import multiprocessing
import socket
import sys
import threading
import time

import base

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END, HEAD_ENDS, PADDED = 1, 4, 8

# What the flooded proxy may cost.
SECONDS, MIB, LIVE = 1.0, 16, 100
# How long a flood goes on that nobody ends.
PATIENCE = 5


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def number(value, most):
    """An integer after a prefix of so many values (RFC 7541, 5.1)."""
    if value < most:
        return bytes([value])
    value -= most
    encoded = bytes([most])
    while value >= 128:
        encoded += bytes([value % 128 | 128])
        value //= 128
    return encoded + bytes([value])


def field(name, value):
    return b"\0" + number(len(name), 127) + name + number(len(value), 127) + value


def request(method=b"GET", *more):
    pseudo = (b":method", method), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.test")
    return b"".join(field(*each) for each in (*pseudo, *more))


GET, POST = request(), request(b"POST")
WHOLE = END | HEAD_ENDS


def word(value):
    return value.to_bytes(4, "big")


def get(stream):
    return frame(HEADERS, WHOLE, stream, GET)


POST_1 = frame(HEADERS, HEAD_ENDS, 1, POST)
HUNDRED = b"".join(frame(HEADERS, HEAD_ENDS, stream, POST) for stream in range(1, 200, 2))

# What is sent first, and then again and again: of the next stream.
FLOODS = {
    "rapid reset": (b"", lambda s: get(s) + frame(RESET, 0, s, word(8))),
    "reset by a window of nothing": (b"", lambda s: get(s) + frame(WINDOW, 0, s, word(0))),
    "reset by a window too large": (b"", lambda s: frame(HEADERS, HEAD_ENDS, s, POST) + frame(WINDOW, 0, s, word(2**31 - 1))),
    "reset by its own priority": (b"", lambda s: get(s) + frame(PRIORITY, 0, s, word(s) + b"\0")),
    "reset by DATA after the end": (b"", lambda s: get(s) + frame(DATA, 0, s, b"x")),
    "malformed requests": (b"", lambda s: frame(HEADERS, WHOLE, s, request(b"GET", (b"te", b"x")))),
    "requests beyond the most": (b"", lambda s: frame(HEADERS, HEAD_ENDS, s, POST)),
    "CONTINUATION, empty": (frame(HEADERS, END, 1, GET), lambda s: frame(CONTINUATION, 0, 1)),
    "CONTINUATION, large": (frame(HEADERS, END, 1, GET), lambda s: frame(CONTINUATION, 0, 1, field(b"x-%d" % s, b"y" * 8000))),
    "SETTINGS": (b"", lambda s: frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64")),
    "SETTINGS, empty": (b"", lambda s: frame(SETTINGS, 0, 0)),
    "SETTINGS that move 100 windows": (HUNDRED, lambda s: frame(SETTINGS, 0, 0, b"\0\4" + word(s % 4 * 500))),
    "PING": (b"", lambda s: frame(PING, 0, 0, b"whatever")),
    "PRIORITY": (b"", lambda s: frame(PRIORITY, 0, s, b"\0\0\0\0\x10")),
    "WINDOW_UPDATE": (b"", lambda s: frame(WINDOW, 0, 0, word(1))),
    "DATA, empty": (POST_1, lambda s: frame(DATA, 0, 1)),
    "DATA, padding alone": (POST_1, lambda s: frame(DATA, PADDED, 1, b"\x0a" + bytes(10))),
    "HEADERS that unfold": (frame(HEADERS, WHOLE, 1, GET + b"\x40\x01x" + number(3900, 127) + b"y" * 3900),
                            lambda s: frame(HEADERS, WHOLE, s + 2, GET + b"\xbe" * 8000)),
    "HEADERS that resize the table": (b"", lambda s: frame(HEADERS, WHOLE, s, b"\x20\x3f\xe1\x1f" * 4000 + GET)),
    "GOAWAY": (b"", lambda s: frame(GOAWAY, 0, 0, bytes(8))),
    "frames of no known type": (b"", lambda s: frame(99, 0, 0)),
}


def origin(port, live):
    """Answers each request after a fifth of a second; `live` has how many wait, and how many did at most."""

    async def serve(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                live[0] += 1
                live[1] = max(live[1], live[0])
                try:
                    # Who is waited for may leave.
                    gone = asyncio.ensure_future(reader.read(1))
                    done, _ = await asyncio.wait([gone], timeout=0.2)
                    if done:
                        return
                    gone.cancel()
                    await asyncio.wait([gone])
                finally:
                    live[0] -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run():
        await (await asyncio.start_server(serve, "127.0.0.1", port)).serve_forever()

    asyncio.run(run())


class Innocent:
    """A client that asks all the time, over one connection."""

    def __init__(self, port):
        self.port, self.over = port, threading.Event()
        self.waits, self.errors = [], []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            stream = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            stream.sendall(PREFACE + frame(SETTINGS, 0, 0))
            number = 1
            read = b""
            while not self.over.wait(0.02):
                begun = time.monotonic()
                stream.sendall(get(number))
                while True:
                    while len(read) < 9 or len(read) < 9 + int.from_bytes(read[:3], "big"):
                        more = stream.recv(65536)
                        if not more:
                            raise OSError("closed")
                        read += more
                    length, kind, flags = int.from_bytes(read[:3], "big"), read[3], read[4]
                    read = read[9 + length:]
                    if kind in (RESET, GOAWAY):
                        raise OSError(f"a frame of type {kind}")
                    if kind in (DATA, HEADERS) and flags & END:
                        break
                self.waits.append(time.monotonic() - begun)
                number += 2
        except OSError as error:
            self.errors.append(repr(error))

    def end(self):
        self.over.set()
        self.thread.join()
        return self


def flood(port, first, make):
    """Sends it until the connection ends: how long that took, or nothing if it did not."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    begun = time.monotonic()
    reader = threading.Thread(target=drain, args=(stream,), daemon=True)
    try:
        stream.sendall(PREFACE + frame(SETTINGS, 0, 0) + first)
        reader.start()
        number = 1
        while time.monotonic() < begun + PATIENCE:
            stream.sendall(b"".join(make(number + place) for place in range(0, 64, 2)))
            number += 64
            if not reader.is_alive():
                break
    except OSError:
        pass
    reader.join(PATIENCE)
    ended = None if reader.is_alive() else time.monotonic() - begun
    stream.close()
    return ended


def drain(stream):
    try:
        while stream.recv(65536):
            pass
    except OSError:
        pass


def watch(pid, over, most):
    while not over.wait(0.01):
        most[0] = max(most[0], base.memory(pid, "VmRSS"))


def floods(bench):
    options = bench.options
    port, upstream = base.free_ports(2)
    live = multiprocessing.Array("i", 2, lock=False)
    served = multiprocessing.Process(target=origin, args=(upstream, live), daemon=True)
    served.start()
    config = bench.file(
        "linkspan.toml",
        f"""
[log]
level = "error"
access = "off"
[server]
workers = 1
cache-dir = "{bench.directory}/cache"
[listeners.web]
bind = "127.0.0.1:{port}"
http-versions = ["h2", "http/1.1"]
default-cluster = "main"
[clusters.main]
endpoints = ["127.0.0.1:{upstream}"]
""",
    )
    process = bench.start(options.proxy_core, options.program, "-c", config)
    base.wait_for(port, process, path="/")
    faults = []
    print("| flood | ended after, s | memory grew by, MiB | requests live | innocent: answers, errors, longest wait beyond 200 ms |")
    print("|---|---|---|---|---|")
    for name, (first, make) in FLOODS.items():
        if options.names and name not in options.names:
            continue
        time.sleep(0.5)
        live[1] = 0
        before, most, over = base.memory(process.pid, "VmRSS"), [0], threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, over, most))
        watcher.start()
        innocent = Innocent(port)
        time.sleep(0.5)
        ended = flood(port, first, make)
        time.sleep(0.5)
        innocent.end()
        over.set()
        watcher.join()
        grown, open_most = most[0] - before, live[1]
        longest = max(innocent.waits, default=0) - 0.2
        print(f"| {name} | {'not' if ended is None else f'{ended:.2f}'} | {grown:.1f} | {open_most}"
              f" | {len(innocent.waits)}, {len(innocent.errors)}, {longest * 1e3:.0f} ms |", flush=True)
        # The innocent's own request is live, too.
        if ended is None or ended > SECONDS or grown > MIB or open_most > LIVE + 1 or innocent.errors:
            faults.append(f"{name} {innocent.errors[:1]}")
    served.kill()
    if faults:
        sys.exit(f"{len(faults)} floods cost more than they may: {'; '.join(faults)}")


def more(parser):
    parser.add_argument("--names", nargs="*", help="some of them only")


if __name__ == "__main__":
    base.run(__doc__, {"floods": floods}, more)
