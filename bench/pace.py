"""Requests at a fixed rate: each is sent when it is due, whether others are answered or not, over a few connections that
are kept. Its time counts from when it was due, so that one that waits for a connection, as others are late, is late too.
"""

import collections
import ctypes
import gc
import re
import select
import socket
import time

import base

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
REQUEST = f"GET {base.PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()

# How long after the last request was sent an answer is waited for.
PATIENCE = 5

# Of <linux/prctl.h>: how much later than told the kernel may wake this thread, in nanoseconds.
PR_SET_TIMERSLACK = 29


class Pace:
    """Connections to a port, and how long each request took."""

    def __init__(self, port, connections):
        self.streams, self.times, self.queue = {}, [], collections.deque()
        self.poll = select.epoll()
        for _ in range(connections):
            stream = socket.create_connection(("127.0.0.1", port), timeout=10)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setblocking(False)
            self.streams[stream.fileno()] = stream
            self.poll.register(stream, select.EPOLLIN)
        self.idle = collections.deque(self.streams)
        # Of those at work: when the request was due, and what has come.
        self.work = {}

    def close(self):
        for stream in self.streams.values():
            stream.close()
        self.poll.close()

    def run(self, rate, seconds):
        begun, sent, count = time.perf_counter(), 0, int(rate * seconds)
        while sent < count or self.work:
            now = time.perf_counter()
            while sent < count and begun + sent / rate <= now:
                self.queue.append(begun + sent / rate)
                sent += 1
            while self.queue and self.idle:
                self.send(self.idle.popleft(), self.queue.popleft())
            if now > begun + seconds + PATIENCE:
                raise base.Trouble(f"{len(self.work) + len(self.queue)} requests of {count} were not answered in time")
            # An epoll's own timeout is in whole milliseconds.
            wait = begun + sent / rate - time.perf_counter() if sent < count else PATIENCE
            if wait > 0:
                select.select([self.poll], [], [], wait)
            for number, _ in self.poll.poll(0):
                self.receive(number)

    def send(self, number, due):
        self.work[number] = due, b""
        self.streams[number].send(REQUEST)

    def receive(self, number):
        due, answer = self.work.get(number, (None, b""))
        came = self.streams[number].recv(65536)
        if not came or due is None:
            raise base.Trouble("a connection was closed")
        answer += came
        head, found, body = answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head) if found else None
        if found and (not length or not head.startswith(b"HTTP/1.1 200")):
            raise base.Trouble(f"no good answer: {head[:40]!r}")
        if length and len(body) >= int(length[1]):
            self.times.append(time.perf_counter() - due)
            del self.work[number]
            self.idle.append(number)
        else:
            self.work[number] = due, answer


def times(port, rate, seconds, connections):
    """The seconds that each request took."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    try:
        pace = Pace(port, connections)
    except OSError as error:
        raise base.Trouble(f"connecting: {error!r}") from error
    gc.disable()
    try:
        pace.run(rate, seconds)
    except OSError as error:
        raise base.Trouble(repr(error)) from error
    finally:
        gc.enable()
        pace.close()
    return pace.times
