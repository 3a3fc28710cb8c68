#!/usr/bin/env python3
"""What clients see when origins fail, for each balancer.

    bench/failures.py [--seconds 120] [--rate 200] [--together 5] [--judged] [--balancers NAME ...]

Five nginx origins behind one proxy, with a cluster for each balancer. A mixed load (small and large GETs, HEADs,
POSTs, kept-alive and new connections, many client addresses) goes to each cluster. After a sixth of the time one
origin is stopped, another answers 500 and a third is paused by SIGSTOP; after five sixths all are well again. For
each balancer a row tells who served how many requests, by phase, and which errors clients saw; then come the
moments at which connections to the stopped origin were tried, from the proxy's own log.

With --judged the clusters have an active check and `fail-on-status`, as one would configure them; without, only
`attempts = 2, offline = "5s"`. Needs nginx, and the proxy at --program (the `quick` build, see `make run`).
"""

import argparse
import asyncio
import collections
import datetime
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

from base import ROOT, free_ports, wait_for

os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

BALANCERS = [
    "naive", "first-alive", "round-robin", "weighted", "locking-round-robin", "least-connections", "source-hash",
    "carp", "lighttpd-hash", "sqf", "static", "random", "by-requests", "by-traffic", "by-busyness", "heartbeat",
    "sticky", "p2c", "ring-hash", "maglev",
]

# The ways to fail, and the origins that do.
STOPPED, ERRS, PAUSED = 0, 1, 2

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections 4096; }}
http {{
  log_format served "$msec $http_x_balancer $status";
  access_log {directory}/served.log served;
  keepalive_requests 1000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type text/plain;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /healthz {{ access_log off; {check} }}
    location / {{ {answer} }}
    location @posted {{ return 200 "ok"; }}
  }}
}}
"""


class Origin:
    """One nginx."""

    def __init__(self, number, port, directory):
        self.number, self.port = number, port
        self.directory = pathlib.Path(directory) / f"origin-{number}"
        self.directory.mkdir()
        self.process = None

    def configure(self, errs):
        answer = "return 500;" if errs else f"root {self.directory}; try_files /$arg_file =404; error_page 405 = @posted;"
        check = "return 500;" if errs else f'return 200 "v=1&ready={60 + self.number * 10}&busy=0\\n";'
        for name, size in [("small", 200), ("large", 100_000)]:
            (self.directory / name).write_text("x" * size)
        conf = NGINX.format(directory=self.directory, port=self.port, answer=answer, check=check)
        (self.directory / "nginx.conf").write_text(conf)

    def start(self):
        command = ["nginx", "-p", self.directory, "-c", self.directory / "nginx.conf"]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL)

    def reload(self, errs):
        self.configure(errs)
        self.process.send_signal(signal.SIGHUP)

    def family(self):
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        return [self.process.pid, *map(int, listed.stdout.split())]

    def signal(self, which):
        for process in self.family():
            os.kill(process, which)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()

    def served(self):
        path = self.directory / "served.log"
        for line in path.read_text().splitlines() if path.exists() else []:
            moment, balancer, status = line.split()
            yield float(moment), balancer, int(status)


def configuration(options, origins, port, admin, directory):
    """One cluster per balancer, chosen by the first part of the path."""
    rules, clusters, plugins = [], [], []
    for name in options.balancers:
        rules.append(f"  {{ match = ['^/{name}/'], cluster = \"{name}\" }},")
        weights = [3, 2, 1, 1, 1] if name == "weighted" else [1] * 5
        endpoints = ", ".join(
            f'{{ address = "127.0.0.1:{origin.port}", weight = {weight}, route = "r{origin.number}" }}'
            for origin, weight in zip(origins, weights)
        )
        balancer = f'"{name}"'
        if name == "weighted":
            balancer = '"round-robin"'
        if name == "sticky":
            balancer = '["session", "by-requests"]'
            plugins.append('[plugins.session]\ncomponent = "sticky"\nconfig = { cookie = "SID" }\n')
        check = ""
        if options.judged or name == "heartbeat":
            check = '\n[clusters.NAME.health.check]\npath = "/healthz"\ninterval = "1s"\nrise = 1\nfall = 2\n'
        judged = 'fail-on-status = ["5xx"]\nfail-attempts = 3\n' if options.judged else ""
        clusters.append(
            f"[clusters.{name}]\nbalancer = {balancer}\nresponse-timeout = \"1s\"\nendpoints = [{endpoints}]\n{judged}"
            f'health.attempts = 2\nhealth.offline = "5s"\n' + check.replace("NAME", name)
        )
    return f"""
[log]
level = "debug"
format = "json"
file = "{directory}/linkspan.log"
access = "{directory}/access.log"

[server]
workers = 2

[admin]
bind = "127.0.0.1:{admin}"

[listeners.web]
bind = "127.0.0.1:{port}"
routers = ["by-path"]
default-cluster = "{options.balancers[0]}"

[plugins.by-path]
component = "regex-match"
config.rules = [
{chr(10).join(rules)}
]

{chr(10).join(clusters)}
{chr(10).join(plugins)}
"""


class Client:
    """Sends one request after another, over a connection that it may keep."""

    def __init__(self, port, address):
        self.port, self.address, self.streams = port, address, None

    async def ask(self, name, draw):
        kind = draw.random()
        method, file, body = "GET", "small", b""
        if kind < 0.10:
            file = "large"
        elif kind < 0.20:
            method = "HEAD"
        elif kind < 0.30:
            method, body = "POST", b"y" * 500
        keep = draw.random() < 0.8
        session = f"cookie: SID=x.r{draw.randrange(5)}\r\n" if name == "sticky" else ""
        head = (
            f"{method} /{name}/{draw.randrange(1000)}?file={file} HTTP/1.1\r\nhost: test\r\nx-balancer: {name}\r\n{session}"
            f"content-length: {len(body)}\r\nconnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        try:
            return await asyncio.wait_for(self.exchange(method, head.encode() + body, keep), 20)
        except (OSError, EOFError, asyncio.IncompleteReadError, ValueError, IndexError) as error:
            self.close()
            return type(error).__name__
        except asyncio.TimeoutError:
            self.close()
            return "no answer in 20 s"

    async def exchange(self, method, request, keep):
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0))
        reader, writer = self.streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        length = re.search(r"\r\ncontent-length: *(\d+)", head, re.I)
        if method != "HEAD" and status not in (204, 304):
            if length is None:
                raise ValueError(head)
            await reader.readexactly(int(length.group(1)))
        if not keep or re.search(r"\r\nconnection: *close", head, re.I):
            self.close()
        return status

    def close(self):
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


async def load(options, name, port, end, results):
    """Requests to one cluster at a steady rate, whether answers come or not."""
    draw = random.Random(name)
    def client():
        return Client(port, f"127.0.{draw.randrange(1, 4)}.{draw.randrange(1, 250)}")

    idle, tasks, number, begun = collections.deque(client() for _ in range(40)), set(), 0, time.monotonic()

    async def request():
        one = idle.popleft() if idle else client()
        sent = time.time()
        results.append((sent, name, await one.ask(name, draw), time.time() - sent))
        idle.append(one)

    while time.monotonic() < end:
        task = asyncio.create_task(request())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        await asyncio.sleep(max(0, begun + number / options.rate - time.monotonic()))
    await asyncio.gather(*tasks)


async def play(options, origins, names, port, results):
    """Load, failures, and the return to health. Gives the moments between the phases."""
    sixth = options.seconds / 6
    end = time.monotonic() + options.seconds
    loads = [asyncio.create_task(load(options, name, port, end, results)) for name in names]
    await asyncio.sleep(sixth)
    failed = time.time()
    origins[STOPPED].stop()
    origins[ERRS].reload(errs=True)
    origins[PAUSED].signal(signal.SIGSTOP)
    await asyncio.sleep(4 * sixth)
    healed = time.time()
    origins[STOPPED].start()
    origins[ERRS].reload(errs=False)
    origins[PAUSED].signal(signal.SIGCONT)
    await asyncio.gather(*loads)
    return failed, healed


def table(names, origins, results, moments):
    """Rows of who served what while three origins failed, and what clients saw."""
    served = collections.Counter()
    for place, origin in enumerate(origins):
        for moment, balancer, status in origin.served():
            for failed, healed, group in moments:
                if balancer in group:
                    phase = "before" if moment < failed else "within" if moment < healed else "after"
                    served[balancer, place, phase] += 1
    print("| balancer | requests | served before: o0 o1 o2 o3 o4 | while o0 is stopped, o1 answers 500, o2 is paused "
          "| after | errors seen by clients, by phase |")
    print("|---|---|---|---|---|---|")
    for name in names:
        failed, healed, _ = next(each for each in moments if name in each[2])
        errors = {"before": collections.Counter(), "within": collections.Counter(), "after": collections.Counter()}
        count = 0
        for sent, of, status, _ in results:
            if of == name:
                count += 1
                phase = "before" if sent < failed else "within" if sent < healed else "after"
                if status != 200:
                    errors[phase][status] += 1
        phases = [" ".join(str(served[name, place, phase]) for place in range(5)) for phase in errors]
        said = [
            f"{phase}: " + ", ".join(f"{n} × {status}" for status, n in sorted(seen.items(), key=str))
            for phase, seen in errors.items() if seen
        ]
        print(f"| {name} | {count} | {phases[0]} | {phases[1]} | {phases[2]} | {'; '.join(said) or 'none'} |")


def attempts(names, log, stopped, moments):
    """When connections to the stopped origin were tried, by cluster: seconds since it was stopped."""
    print("\nConnections tried to the stopped origin, in seconds after it was stopped (refused ones):\n")
    tried = collections.defaultdict(list)
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if record.get("endpoint") != stopped:
            continue
        if record.get("message") == "attempt failed" and "refused" in record.get("error", ""):
            tried[record.get("cluster", "?")].append(record["time"])
    for name in names:
        failed = next(each[0] for each in moments if name in each[2])
        seconds = [f"{moment(at) - failed:.1f}" for at in tried.get(name, [])]
        print(f"- {name}: {len(seconds)}: {' '.join(seconds[:40])}")


def reasons(log):
    """Why the proxy answered for itself, from its access log: the most common reasons of each cluster."""
    print("\nAnswers of the proxy itself, with what its access log says of them:\n")
    said = collections.Counter()
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if record.get("error"):
            words = re.sub(r"127\.0\.0\.1:\d+", "ENDPOINT", record["error"])
            said[record.get("cluster", "?"), record["status"], words] += 1
    for (cluster, status, words), count in sorted(said.items(), key=str):
        print(f"- {cluster}: {count} × {status}: {words}")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=int, default=200, help="requests a second to each cluster")
    parser.add_argument("--together", type=int, default=5, help="balancers under load at a time")
    parser.add_argument("--judged", action="store_true")
    parser.add_argument("--balancers", nargs="+", default=BALANCERS)
    parser.add_argument("--program", default=ROOT / "target/quick/linkspan", type=pathlib.Path)
    options = parser.parse_args()
    # Whoever is told to end takes along what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        *ports, port, admin = free_ports(7)
        origins = [Origin(number, at, directory) for number, at in enumerate(ports)]
        for origin in origins:
            origin.configure(errs=False)
        file = pathlib.Path(directory) / "linkspan.toml"
        file.write_text(configuration(options, origins, port, admin, directory))
        command = [options.program, "-c", file]
        proxy = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            for origin in origins:
                origin.start()
            wait_for(admin, proxy, path="/healthz")
            results, moments = [], []
            groups = [options.balancers[at:at + options.together] for at in range(0, len(options.balancers), options.together)]
            for group in groups:
                failed, healed = asyncio.run(play(options, origins, group, port, results))
                moments.append((failed, healed, group))
            time.sleep(2)
            table(options.balancers, origins, results, moments)
            stopped = f"127.0.0.1:{origins[STOPPED].port}"
            attempts(options.balancers, pathlib.Path(directory) / "linkspan.log", stopped, moments)
            reasons(pathlib.Path(directory) / "access.log")
        finally:
            proxy.terminate()
            proxy.wait()
            for origin in origins:
                origin.stop()


if __name__ == "__main__":
    sys.exit(main())
