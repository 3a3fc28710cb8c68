"""What tests of the plugin need: a Linkspan that uses it, and origins."""

import http.client
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

FOLDER = os.getcwd()
LINKSPAN = os.environ.get("LINKSPAN", "linkspan")


class Origin(http.server.ThreadingHTTPServer):
    """An origin that answers with its name, and remembers the fields of the last request."""

    def __init__(self, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                origin.fields = self.headers
                body = name.encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        origin = self
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Proxy:
    """A Linkspan that serves a configuration; its plugins are those of this folder."""

    def __init__(self, config):
        self.folder = tempfile.TemporaryDirectory()
        # Compiling Python takes its time where Linkspan itself is not optimised.
        config = f'[server]\nplugin-dir = "{FOLDER}"\nworkers = 1\ncompile-timeout = "10m"\n{config}'
        path = pathlib.Path(self.folder.name, "linkspan.toml")
        path.write_text(config)
        command = [LINKSPAN, "run", "-c", str(path)]
        self.log = open(pathlib.Path(self.folder.name, "log"), "w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        found = re.match(r"listening on \w+://(\S+) \(web\)", self.process.stdout.readline())
        if not found:
            self.__exit__(RuntimeError)
            raise RuntimeError("Linkspan does not serve; what it says stands above")
        self.address = found[1]

    def get(self, path):
        """Status, header fields and text of the answer to a GET."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def __enter__(self):
        return self

    def __exit__(self, error=None, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        if error:
            self.log.seek(0)
            sys.stderr.write(self.log.read())
        self.log.close()
        self.folder.cleanup()
