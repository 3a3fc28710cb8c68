"""Both ends of the streams of bench/streams.py: who sends and who takes, as cheaply as Python can.

A client orders in 64 bytes: `echo`, and the origin sends these back, or `move UP DOWN`, and it takes so many bytes while
it sends so many, and then says in 8 more how many have come. A connection can order again and again. What is sent
comes from memory by sendfile, and what comes is dropped by the kernel without being copied: what stands between the two
is to be measured, and not to wait for them.
"""

import collections
import os
import select
import socket
import struct
import threading

ORDER_BYTES = 64
COUNT = struct.Struct(">Q")
PIECE_BYTES = 1 << 20

# The longest that nothing may move: a `struct timeval`.
PATIENCE = struct.pack("ll", 30, 0)

# After so many of a process's connections have failed, it tries no more: each may take that long.
MOST_FAILURES = 20

# Of <linux/in.h>: the port is chosen when it connects, so that it has to be free towards that peer only.
IP_BIND_ADDRESS_NO_PORT = 24


class Broken(OSError):
    """An answer that is not what was ordered."""


def order(text):
    return text.encode().ljust(ORDER_BYTES)


ECHO = order("echo")


def patient(stream):
    """Has a socket give up at some time. The kernel does, so that it stays a blocking one, which costs least."""
    for which in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        stream.setsockopt(socket.SOL_SOCKET, which, PATIENCE)
    return stream


class Memory:
    """Bytes to send, as many as one likes."""

    def __init__(self):
        self.descriptor = os.memfd_create("bytes")
        for _ in range(16):
            os.write(self.descriptor, os.urandom(PIECE_BYTES))
        self.bytes = 16 * PIECE_BYTES

    def send(self, stream, count):
        while count:
            count -= os.sendfile(stream.fileno(), self.descriptor, 0, min(count, self.bytes))


def drop(stream, count):
    """Takes so many bytes. Gives how many came before the end."""
    piece, left = bytearray(PIECE_BYTES), count
    while left:
        came = stream.recv_into(piece, min(left, PIECE_BYTES), socket.MSG_TRUNC | socket.MSG_WAITALL)
        if not came:
            break
        left -= came
    return count - left


def exchange(stream, memory, give, take):
    """Sends so many bytes while it takes so many. Gives how many came."""
    if not (give and take):
        memory.send(stream, give)
        return drop(stream, take)
    sender = threading.Thread(target=memory.send, args=(stream, give))
    sender.start()
    taken = drop(stream, take)
    sender.join()
    return taken


class Origin:
    """Serves one order after another of many connections."""

    def __init__(self, ports):
        self.memory, self.poll, self.streams, self.listeners = Memory(), select.epoll(), {}, {}
        for port in ports:
            listener = socket.create_server(("127.0.0.1", port), backlog=4096)
            self.listeners[listener.fileno()] = listener
            self.poll.register(listener, select.EPOLLIN)

    def run(self):
        while True:
            for number, _ in self.poll.poll():
                try:
                    if number in self.listeners:
                        self.accept(self.listeners[number])
                    else:
                        self.obey(self.streams[number])
                except OSError:
                    # Whoever waits for it notices.
                    self.let_go(number)

    def accept(self, listener):
        stream = patient(listener.accept()[0])
        self.streams[stream.fileno()] = stream
        self.poll.register(stream, select.EPOLLIN)

    def let_go(self, number):
        if number in self.streams:
            self.streams.pop(number).close()

    def obey(self, stream):
        wanted = stream.recv(ORDER_BYTES, socket.MSG_WAITALL)
        if wanted == ECHO:
            stream.sendall(wanted)
        elif wanted.startswith(b"move "):
            self.poll.unregister(stream)
            threading.Thread(target=self.move, args=(stream, wanted), daemon=True).start()
        else:
            self.let_go(stream.fileno())

    def move(self, stream, wanted):
        _, up, down = wanted.split()
        try:
            stream.sendall(COUNT.pack(exchange(stream, self.memory, int(down), int(up))))
            self.poll.register(stream, select.EPOLLIN)
        except OSError:
            self.let_go(stream.fileno())


def serve(ports):
    """Runs an origin, in a process of its own."""
    Origin(ports).run()


def connect(port, source=None):
    """A connection, perhaps from an address of one's own, which has ports of its own."""
    stream = patient(socket.socket())
    try:
        if source:
            stream.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            stream.bind((source, 0))
        stream.connect(("127.0.0.1", port))
    except OSError:
        stream.close()
        raise
    return stream


def echo(stream):
    stream.sendall(ECHO)
    if stream.recv(ORDER_BYTES, socket.MSG_WAITALL) != ECHO:
        raise Broken("what came back is not what was sent")


def move(stream, memory, up, down):
    """Sends so many bytes while it takes so many, and makes sure that all have come, both ways."""
    stream.sendall(order(f"move {up} {down}"))
    taken = exchange(stream, memory, up, down)
    said = stream.recv(COUNT.size, socket.MSG_WAITALL)
    came = COUNT.unpack(said)[0] if len(said) == COUNT.size else 0
    if (came, taken) != (up, down):
        raise Broken(f"of {up} bytes {came} came to the origin, of {down} from it {taken}")


def visit(port, source, count):
    """So many connections one after another, each for one echo. Gives what went wrong, and how often."""
    failed = collections.Counter()
    for place in range(count):
        if failed.total() == MOST_FAILURES:
            failed["not tried"] = count - place
            break
        try:
            with connect(port, source) as stream:
                echo(stream)
        except OSError as error:
            failed[repr(error)] += 1
    return failed
