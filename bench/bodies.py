"""Large bodies, both ways: an origin and clients that send from memory and drop what comes, as in bench/ends.py, so
that they cost little beside the proxy between them.
"""

import concurrent.futures
import re
import socket
import threading
import time

import base
import ends

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
LARGEST_HEAD = 16 << 10

# What proxies route by stands at the end.
DOWN, UP = "/down/{}.html", "/up.html"


def head(stream):
    """The next head, or nothing if there is none. What follows it is left where it is."""
    found = b""
    while b"\r\n\r\n" not in found:
        seen = stream.recv(LARGEST_HEAD, socket.MSG_PEEK)
        if not seen or len(found) > LARGEST_HEAD:
            return None
        end = (found + seen).find(b"\r\n\r\n")
        found += stream.recv(len(seen) if end < 0 else end + 4 - len(found), socket.MSG_WAITALL)
    return found


def length(found):
    said = LENGTH.search(found)
    return int(said[1]) if said else 0


def drop(stream, count):
    if ends.drop(stream, count) != count:
        raise ends.Broken("a body was too short")


def answer(stream, memory):
    """Answers the requests of a connection."""
    with ends.patient(stream):
        try:
            while found := head(stream):
                drop(stream, length(found))
                wanted = re.search(rb"/down/(\d+)", found.split(b"\r\n", 1)[0])
                size = int(wanted[1]) if wanted else 0
                stream.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode(), socket.MSG_MORE if size else 0)
                memory.send(stream, size)
        except OSError:
            # Whoever waits for it notices.
            pass


def serve(port):
    """Runs an origin, in a process of its own."""
    memory, listener = ends.Memory(), socket.create_server(("127.0.0.1", port), backlog=4096)
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0], memory), daemon=True).start()


def transfers(port, memory, up, size, end):
    """One request after another over a connection until it is time, but one at least. Gives their number."""
    if up:
        request = f"POST {UP} HTTP/1.1\r\nhost: test\r\ncontent-length: {size}\r\n\r\n".encode()
    else:
        request = f"GET {DOWN.format(size)} HTTP/1.1\r\nhost: test\r\n\r\n".encode()
    count = 0
    with ends.connect(port) as stream:
        while not count or time.monotonic() < end:
            stream.sendall(request, socket.MSG_MORE if up else 0)
            if up:
                memory.send(stream, size)
            found = head(stream)
            if not found or not found.startswith(b"HTTP/1.1 200") or length(found) != (0 if up else size):
                raise ends.Broken(f"no good answer: {found and found[:60]!r}")
            drop(stream, length(found))
            count += 1
    return count


def load(port, memory, up, size, seconds, connections):
    """Requests with bodies, or for such, over some connections. Gives how many GB there were, and how many a second."""
    begun = time.monotonic()
    try:
        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            works = [pool.submit(transfers, port, memory, up, size, begun + seconds) for _ in range(connections)]
            total = sum(work.result() for work in works) * size / 1e9
    except OSError as error:
        raise base.Trouble(repr(error)) from error
    return total, total / (time.monotonic() - begun)
