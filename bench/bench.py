#!/usr/bin/env python3
"""What the proxy costs, measured beside nginx and haproxy.

    bench/bench.py cpu       CPU time of the proxy process per request, under wrk
    bench/bench.py figures   starting, size, memory

Two cores: the origins (one nginx) and wrk share the first, the proxy under test has the second to
itself. All proxies take their turn in every round, so that whatever else the machine does hits all
of them; medians over the rounds are printed. Each proxy has one worker, three origins over
keep-alive connections, and an access log in a file. Needs the release build of the proxy.
"""

import argparse
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Servers live where an ordinary user's PATH does not reach.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

ROUTER = r"""
[plugins.by-path]
component = "regex-match"
config = { rules = [
  { match = ['\.php$'], cluster = "php" },
  { match = ['\.(jpg|png|css|js|html)$'], cluster = "static" },
] }
"""

REWRITER = """
[plugins.stamp]
component = "headers"
config = { request = { set = { x-bench = "1" } }, response = { set = { x-proxy = "linkspan" } } }
"""


def free_ports(count):
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(port, process, seconds=60, path="/w/index.html", host=None):
    """Waits until somebody answers on a port: the proxy listens before its plugins are compiled."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"{process.args} ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        try:
            connection.request("GET", path, headers={"Host": host} if host else {})
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    sys.exit(f"{process.args} does not answer on {port}")


class Bench:
    """A scratch directory, the cores, and all processes that were started."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = pathlib.Path(directory)
        self.processes = []

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def start(self, core, *command, **how):
        command = ["taskset", "-c", str(core), *map(str, command)]
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **how}
        process = subprocess.Popen(command, **how)
        self.processes.append(process)
        return process

    def stop(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def stop_all(self):
        for process in list(self.processes):
            self.stop(process)

    # What is measured, and what it talks to.

    def nginx(self, name, core, settings):
        temporary = "".join(
            f"{kind}_temp_path {self.directory / name}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return self.nginx_with(
            name, core, f"http {{ {temporary} keepalive_requests 100000000; {settings} }}\n"
        )

    def nginx_with(self, name, core, blocks, modules="", connections=4096):
        """An nginx with one worker and what stands in the blocks of its configuration."""
        user = "user root;" if os.getuid() == 0 else ""
        directory = self.directory / name
        directory.mkdir()
        conf = self.file(
            f"{name}.conf",
            f"{modules} {user} daemon off; worker_processes 1; pid {directory}/pid; error_log stderr error;\n"
            f"events {{ worker_connections {connections}; }}\n{blocks}",
        )
        return self.start(core, "nginx", "-p", directory, "-c", conf)

    def origins(self, ports):
        body = "x" * self.options.bytes
        servers = "".join(
            f'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{body}"; }} }}\n'
            for port in ports
        )
        process = self.nginx("origins", self.options.load_core, f"access_log off; {servers}")
        for port in ports:
            wait_for(port, process)

    def linkspan_config(self, name, port, origins, chain, server=""):
        """A configuration whose listener has these parts of the chain; `server` goes to [server]."""
        endpoints = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
        router = "router" in chain
        rewriter = "rewriter" in chain
        balancer = "first-alive" if "first-alive" in chain else "round-robin"
        clusters = "".join(
            f'[clusters.{cluster}]\nendpoints = [{endpoints}]\nbalancer = "{balancer}"\n'
            for cluster in ("php", "static")
        )
        return self.file(
            f"{name}.toml",
            f"""
[log]
level = "warn"
access = "{self.directory}/{name}.log"
[server]
workers = 1
cache-dir = "{self.directory}/cache"
{server}
[listeners.web]
bind = "127.0.0.1:{port}"
routers = [{'"by-path"' if router else ''}]
rewriters = [{'"stamp"' if rewriter else ''}]
default-cluster = "static"
{clusters}
{ROUTER if router else ''}
{REWRITER if rewriter else ''}
""",
        )

    def linkspan(self, name, port, origins, chain):
        config = self.linkspan_config(name, port, origins, chain)
        return self.start(self.options.proxy_core, self.options.program, "-c", config)

    def nginx_proxy(self, port, origins):
        servers = " ".join(f"server 127.0.0.1:{origin};" for origin in origins)
        return self.nginx(
            "nginx",
            self.options.proxy_core,
            f"access_log {self.directory}/nginx.log;"
            f"upstream origins {{ {servers} keepalive 64; }}"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://origins;"
            f' proxy_http_version 1.1; proxy_set_header Connection ""; }} }}',
        )

    def haproxy(self, port, origins):
        servers = "\n".join(
            f"  server s{place} 127.0.0.1:{origin}" for place, origin in enumerate(origins)
        )
        config = self.file(
            "haproxy.cfg",
            f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend web
  bind 127.0.0.1:{port}
  default_backend origins
backend origins
  balance roundrobin
{servers}
""",
        )
        return self.start(self.options.proxy_core, "haproxy", "-f", config)


def family(pid):
    """A process and all its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, []))
    return found


def cpu_seconds(pid):
    """utime + stime of a process, all its threads, and all its descendants."""
    total = 0
    for member in family(pid):
        fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def load(bench, port, seconds, script=None):
    """Runs wrk, perhaps with a script; gives the requests served and the requests per second."""
    options = bench.options
    command = [
        "taskset", "-c", str(options.load_core),
        "wrk", "-t1", f"-c{options.connections}", f"-d{seconds}s", "--timeout", "10s",
        *(["-s", str(script)] if script else []),
        f"http://127.0.0.1:{port}/w/index.html",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    trouble = re.search(r"Non-2xx.*|Socket errors.*", output)
    if trouble:
        sys.exit(f"port {port}: {trouble[0]}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec: +([\d.]+)", output)[1])
    return requests, rate


def turns(options, names):
    """Each name in each round, with the round's number. Whoever follows whom changes from round to round."""
    names = list(names)
    for turn in range(options.rounds):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            yield turn + 1, name


def cpu(bench):
    """CPU time per request, each proxy in turn, for some rounds."""
    options = bench.options
    chains = {
        "linkspan, regex-match + round-robin + headers": ["router", "rewriter"],
        "linkspan, round-robin": [],
        "linkspan, first-alive": ["first-alive"],
    }
    ports = free_ports(3 + len(chains) + 2)
    origins, ports = ports[:3], ports[3:]
    bench.origins(origins)
    proxies = {}
    for place, (name, chain) in enumerate(chains.items()):
        port = ports.pop()
        proxies[name] = (bench.linkspan(f"linkspan{place}", port, origins, chain), port)
    baseline = "nginx, proxy_pass"
    port = ports.pop()
    proxies[baseline] = (bench.nginx_proxy(port, origins), port)
    if shutil.which("haproxy"):
        port = ports.pop()
        proxies["haproxy, roundrobin, no access log"] = (bench.haproxy(port, origins), port)
    for process, port in proxies.values():
        wait_for(port, process)
    compare(bench, proxies, baseline)


def compare(bench, proxies, baseline, script=None):
    """Loads each proxy in turn, for some rounds, and prints what a request costs each; `proxies`
    are processes and ports by name, `baseline` is the name that all are compared with."""
    options = bench.options
    for _, port in proxies.values():
        load(bench, port, 1, script)
    costs = {name: [] for name in proxies}
    rates = {name: [] for name in proxies}
    for turn, name in turns(options, proxies):
        process, port = proxies[name]
        before = cpu_seconds(process.pid)
        requests, rate = load(bench, port, options.seconds, script)
        cost = (cpu_seconds(process.pid) - before) / requests * 1e6
        costs[name].append(cost)
        rates[name].append(rate)
        print(f"round {turn}: {name}: {cost:.1f} us", file=sys.stderr)
    base = statistics.median(costs[baseline])
    # More than the two that this keeps running means that others were measured too.
    busy = os.getloadavg()[0]
    print(f"{options.rounds} rounds of {options.seconds} s, {options.connections} connections,"
          f" {options.bytes} bytes a response; load average {busy:.1f}")
    print("| proxy | CPU per request, median (least to most) | of nginx's | requests/s |")
    print("|---|---|---|---|")
    for name, values in costs.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.1f} us ({min(values):.1f} to {max(values):.1f})"
              f" | {middle / base:.2f} | {statistics.median(rates[name]):.0f} |")


def start_time(bench, config, *arguments):
    """Starts the proxy; gives the process and the seconds until it said that it listens."""
    begin = time.monotonic()
    command = [bench.options.program, *arguments, "-c", config]
    process = bench.start(bench.options.proxy_core, *command, stdout=subprocess.PIPE)
    line = process.stdout.readline()
    if not line.startswith(b"listening"):
        sys.exit(f"the proxy does not start: {line!r}")
    return process, time.monotonic() - begin


def memory(pid, key):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) / 1024


def figures(bench):
    """Starting, size and memory, with the full chain."""
    origins = free_ports(3)
    config = bench.linkspan_config("linkspan", 0, origins, ["router", "rewriter"])
    cold, warm, idle = [], [], []
    for _ in range(bench.options.rounds):
        shutil.rmtree(bench.directory / "cache", ignore_errors=True)
        process, seconds = start_time(bench, config)
        cold.append(seconds)
        bench.stop(process)
        process, seconds = start_time(bench, config)
        warm.append(seconds)
        time.sleep(1)
        idle.append(memory(process.pid, "VmRSS"))
        bench.stop(process)
    size = bench.options.program.stat().st_size / 2**20
    stripped = bench.directory / "stripped"
    subprocess.run(["strip", "-o", stripped, bench.options.program], check=True)
    print("| figure | value |")
    print("|---|---|")
    print(f"| cold start, three components compiled | {statistics.median(cold) * 1e3:.0f} ms |")
    print(f"| start from cache | {statistics.median(warm) * 1e3:.0f} ms |")
    print(f"| binary | {size:.1f} MiB, stripped {stripped.stat().st_size / 2**20:.1f} MiB |")
    print(f"| RSS idle, one worker | {statistics.median(idle):.1f} MiB |")


def run(description, modes, more=None):
    """Parses the arguments and runs a mode: a function of a bench, by name. The first is the
    default. `more` adds further arguments to a parser."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=list(modes), nargs="?", default=next(iter(modes)))
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/linkspan")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=1024, help="size of a response")
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--proxy-core", type=int, default=1)
    if more:
        more(parser)
    options = parser.parse_args()
    options.program = options.program.resolve()
    if not options.program.exists():
        sys.exit(f"{options.program} is missing: cargo build --release --locked")
    # Whoever is told to end takes along what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options, directory)
        try:
            modes[options.mode](bench)
        finally:
            bench.stop_all()


if __name__ == "__main__":
    run(__doc__, {"cpu": cpu, "figures": figures})
