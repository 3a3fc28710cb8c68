"""Tries the stream router in a Linkspan of its own: `make test`."""

import socket
import socketserver
import threading
import unittest

from proxy import Proxy

CONFIG = """
[listeners.web]
bind = "127.0.0.1:0"
protocol = "tcp"
stream-router = "by-path"

[clusters.main]
endpoints = ["{}"]

[clusters.ssh]
endpoints = ["{}"]

[plugins.by-path]
on-failure = "reject"
"""


class Server(socketserver.ThreadingTCPServer):
    """A server that answers with its name and what it was sent first."""

    daemon_threads = True

    def __init__(self, name):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.sendall(name.encode() + b":" + self.request.recv(4096))

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def ask(proxy, text):
    """What comes in answer to a text, until the end."""
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text.encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    return answer.decode()


class Test(unittest.TestCase):
    def test_the_first_bytes_decide(self):
        with Server("main") as main, Server("ssh") as ssh:
            with Proxy(CONFIG.format(main.address, ssh.address)) as proxy:
                self.assertEqual(ask(proxy, "SSH-2.0-x"), "ssh:SSH-2.0-x")
                self.assertEqual(ask(proxy, "GET / HTTP/1.1"), "main:GET / HTTP/1.1")


if __name__ == "__main__":
    unittest.main()
