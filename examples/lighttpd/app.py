#!/usr/bin/env python3
"""An application that decides who gets a file, and leaves the sending to the proxy: for /files/NAME it answers
nothing but X-Sendfile. `app.py PORT` listens there on this machine, until it is interrupted."""

import http.server
import sys


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.split("?")[0].removeprefix("/files/")
        self.send_response(200)
        self.send_header("X-Sendfile", name)
        self.send_header("Cache-Control", "private")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
