"""WebSocket messages: an origin that sends each back, and clients that send the next when it has come.

Messages are of one size, and each is a frame, so that both ends know one when they have so many bytes.
"""

import base64
import hashlib
import re
import select
import socket
import time

import base

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
PATH = "/ws/socket.html"

PAYLOAD = b"m" * 64
# A binary message, and the same with a mask, of which each byte is 0, so that the payload stays what it is.
PLAIN = bytes([0x82, len(PAYLOAD)]) + PAYLOAD
MASKED = bytes([0x82, 0x80 | len(PAYLOAD)]) + bytes(4) + PAYLOAD


def accepted(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


class Origin:
    """Answers an ordinary request, so that it is known to be there, and sends messages back."""

    def __init__(self, port):
        self.poll, self.streams = select.epoll(), {}
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.poll.register(self.listener, select.EPOLLIN)

    def run(self):
        while True:
            for number, _ in self.poll.poll():
                if number == self.listener.fileno():
                    stream = self.listener.accept()[0]
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.streams[stream.fileno()] = [stream, b"", False]
                    self.poll.register(stream, select.EPOLLIN)
                    continue
                try:
                    if not self.answer(self.streams[number]):
                        self.streams.pop(number)[0].close()
                except OSError:
                    self.streams.pop(number)[0].close()

    @staticmethod
    def answer(state):
        """Answers what has come. Gives whether more can come."""
        stream, seen, upgraded = state
        came = stream.recv(65536)
        seen += came
        if upgraded:
            count = len(seen) // len(MASKED)
            stream.sendall(PLAIN * count)
            state[1] = seen[count * len(MASKED):]
            return bool(came)
        if b"\r\n\r\n" in seen:
            state[1] = b""
            key = re.search(rb"\r\nsec-websocket-key: *(\S+)", seen, re.I)
            if key:
                state[2] = True
                stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               b"Sec-WebSocket-Accept: " + accepted(key[1]) + b"\r\n\r\n")
            else:
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            state[1] = seen
        return bool(came)


def serve(port):
    """Runs an origin, in a process of its own."""
    Origin(port).run()


def connect(port):
    """A connection that has become a WebSocket."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=10)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(f"GET {PATH} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ".encode() + KEY + b"\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            raise OSError(f"no answer to a WebSocket: {head[:40]!r}")
        head += byte
    if not head.startswith(b"HTTP/1.1 101") or accepted(KEY) not in head:
        raise OSError(f"no WebSocket: {head[:60]!r}")
    return stream


def load(port, seconds, connections):
    """One message after another over some connections. Gives how many were relayed, of both ways, and how many a second."""
    poll, streams, count = select.epoll(), {}, 0
    try:
        for _ in range(connections):
            stream = connect(port)
            streams[stream.fileno()] = [stream, 0]
            poll.register(stream, select.EPOLLIN)
        begun = time.monotonic()
        for stream, _ in streams.values():
            stream.sendall(MASKED)
        while time.monotonic() < begun + seconds:
            ready = poll.poll(5)
            if not ready:
                raise OSError("no message comes back")
            for number, _ in ready:
                stream, had = state = streams[number]
                came = len(stream.recv(65536))
                if not came:
                    raise OSError("a WebSocket was closed")
                state[1] = had + came
                if state[1] >= len(PLAIN):
                    state[1] = 0
                    count += 2
                    stream.sendall(MASKED)
    except OSError as error:
        raise base.Trouble(repr(error)) from error
    finally:
        for stream, _ in streams.values():
            stream.close()
        poll.close()
    return count, count / (time.monotonic() - begun)
