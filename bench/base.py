"""What all benchmarks share: processes on their cores, CPU time and memory, load by wrk, turns, arguments.

Two cores: the origins (one nginx) and wrk share the first, the proxy under test has the second to
itself. All proxies take their turn in every round, so that whatever else the machine does hits all
of them; medians over the rounds are what is told. Each proxy has one worker, three origins over
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

# What each rewriter of a chain sets, with its number where there are several.
REWRITER = """
[plugins.stamp{0}]
component = "headers"
config = {{ request = {{ set = {{ x-bench{0} = "1" }} }}, response = {{ set = {{ x-proxy{0} = "linkspan" }} }} }}
"""

PATH = "/w/index.html"

LARGEST_LOG = 64 << 20


class Trouble(SystemExit):
    """What cannot be measured. Whoever does not go on without it ends, with what it says."""


def free_ports(count):
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def low_ports(count):
    """Many ports that nobody listens on, and none of those that the kernel gives to who connects."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in range(first - 1, 1024, -1):
        with socket.socket() as each:
            try:
                each.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                continue
        if len(found) == count:
            return found
    raise Trouble(f"of {count} ports {len(found)} are free")


def wait_for(port, process, seconds=60, path=PATH, host=None):
    """Waits until somebody answers on a port: the proxy listens before its plugins are compiled."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Trouble(f"{process.args} ended with {process.returncode}")
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
    raise Trouble(f"{process.args} does not answer on {port}")


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

    def trim(self):
        """Empties access logs that have grown large; who writes appends."""
        for log in self.directory.glob("**/*.log"):
            if log.stat().st_size > LARGEST_LOG:
                os.truncate(log, 0)

    def stop_all(self):
        for process in list(self.processes):
            self.stop(process)

    # What is measured, and what it talks to.

    def nginx(self, name, core, settings, connections=4096, modules=""):
        temporary = "".join(
            f"{kind}_temp_path {self.directory / name}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        blocks = f"http {{ {temporary} keepalive_requests 100000000; {settings} }}\n"
        return self.nginx_with(name, core, blocks, modules, connections)

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

    def origins(self, ports, name="origins", connections=4096):
        body = "x" * self.options.bytes
        servers = "".join(
            f'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{body}"; }} }}\n'
            for port in ports
        )
        process = self.nginx(name, self.options.load_core, f"access_log off; {servers}", connections)
        for port in (ports[0], ports[-1]):
            wait_for(port, process)

    def linkspan_config(self, name, port, origins, chain, server="", router=ROUTER, rewriters=("",), workers=1,
                        listener="", cluster=""):
        """A configuration whose listener has these parts of the chain, the router and the rewriters being those that
        are given. `server` goes to [server], `listener` to the listener and `cluster` to each cluster."""
        endpoints = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
        balancer = "first-alive" if "first-alive" in chain else "round-robin"
        names = [f'"stamp{number}"' for number in rewriters] if "rewriter" in chain else []
        clusters = "".join(
            f'[clusters.{each}]\nendpoints = [{endpoints}]\nbalancer = "{balancer}"\n{cluster}\n'
            for each in (["php", "static"] if "router" in chain else ["static"])
        )
        return self.file(
            f"{name}.toml",
            f"""
[log]
level = "warn"
access = "{self.directory}/{name}.log"
[server]
workers = {workers}
cache-dir = "{self.directory}/cache"
{server}
[listeners.web]
bind = "127.0.0.1:{port}"
routers = [{'"by-path"' if "router" in chain else ''}]
rewriters = [{", ".join(names)}]
default-cluster = "static"
{listener}
{clusters}
{router if "router" in chain else ''}
{"".join(REWRITER.format(number) for number in rewriters) if "rewriter" in chain else ''}
""",
        )


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
    """utime + stime of a process, all its threads, all its descendants, and those that have ended."""
    total = 0
    for member in family(pid):
        try:
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            # It has just ended, so its parent has it.
            continue
        total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


# Among the further arguments of wrk, has each request take a connection of its own.
CLOSE = "Connection: close"


def load(bench, port, seconds, script=None, connections=None, more=(), path=PATH):
    """Runs wrk, perhaps with a script or further arguments; gives the requests served and the requests per second."""
    options = bench.options
    command = [
        "taskset", "-c", str(options.load_core),
        "wrk", "-t1", f"-c{connections or options.connections}", f"-d{seconds}s", "--timeout", "10s",
        *(["-s", str(script)] if script else []), *more,
        f"http://127.0.0.1:{port}{path}",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    trouble = re.search(r"Non-2xx.*|Socket errors.*", output)
    # Who closes after each answer is counted as an error of reading.
    closed = r"Socket errors: connect 0, read \d+, write 0, timeout 0"
    if trouble and not (CLOSE in more and re.fullmatch(closed, trouble[0])):
        raise Trouble(f"port {port}: {trouble[0]}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec: +([\d.]+)", output)[1])
    if not requests:
        raise Trouble(f"port {port}: no request was answered")
    return requests, rate


def turns(options, names, most=None):
    """Each name in each round, or in so many at most, with the round's number. Whoever follows whom changes from round
    to round."""
    names = list(names)
    for turn in range(min(options.rounds, most or options.rounds)):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            yield turn + 1, name


def rounds(bench, works, most=None):
    """What each costs in every round, of which there are so many at most: `works` are processes and what to do with them,
    by name, which gives how many units it did and how many a second. Gives the microseconds of CPU time per unit, the
    units per second, and what went wrong, each by name; who fails and then fails again is left out of the first two."""
    costs, rates, failed = {name: [] for name in works}, {name: [] for name in works}, {}
    for turn, name in turns(bench.options, works, most):
        for again in (False, True):
            if name not in costs:
                break
            try:
                cost, rate = once(*works[name])
            except Trouble as trouble:
                failed[name] = f"{trouble}, in round {turn}" + (", twice" if again else "")
                print(f"round {turn}: {name}: {trouble}", file=sys.stderr)
                if again:
                    del costs[name], rates[name]
                else:
                    time.sleep(1)
                continue
            costs[name].append(cost)
            rates[name].append(rate)
            print(f"round {turn}: {name}: {cost:.4g} us", file=sys.stderr)
            break
        bench.trim()
    return costs, rates, failed


def once(process, work):
    """Does a work. Gives what a unit of it costs a process, in microseconds of CPU time, and the units per second."""
    before = cpu_seconds(process.pid)
    units, rate = work()
    # Less than the clock can tell is no time.
    used = max(cpu_seconds(process.pid) - before, 1 / os.sysconf("SC_CLK_TCK"))
    return used / units * 1e6, rate


def compare(bench, proxies, baseline, script=None):
    """Loads each proxy in turn, for some rounds, and prints what a request costs each; `proxies`
    are processes and ports by name, `baseline` is the name that all are compared with."""
    options = bench.options
    for _, port in proxies.values():
        load(bench, port, 1, script)
    works = {
        name: (process, lambda port=port: load(bench, port, options.seconds, script))
        for name, (process, port) in proxies.items()
    }
    costs, rates, failed = rounds(bench, works)
    if failed:
        raise Trouble("\n".join(failed.values()))
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
        raise Trouble(f"the proxy does not start: {line!r}")
    return process, time.monotonic() - begin


def memory(pid, key):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) / 1024


def resident(process):
    """What a process and its descendants have in memory, in KiB. What they share is counted for each."""
    return 1024 * sum(memory(pid, "VmRSS") for pid in family(process.pid))


def nginx_module(name):
    """What loads a module of nginx, if that is a file of its own; nothing where it is built in."""
    built = subprocess.run(["nginx", "-V"], check=True, capture_output=True, text=True).stderr
    module = pathlib.Path(re.search(r"--modules-path=(\S+)", built)[1]) / f"{name}.so"
    if module.exists():
        return f"load_module {module};"
    if name == "ngx_stream_module" and "--with-stream " in built:
        return ""
    raise Trouble(f"{module} is missing: see tools/need.sh")


def arguments(description):
    """A parser of the arguments that all take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/linkspan")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=1024, help="size of a response")
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--proxy-core", type=int, default=1)
    return parser


def within(options, work):
    """Does some work with a bench, and leaves nothing behind."""
    options.program = options.program.resolve()
    if not options.program.exists():
        sys.exit(f"{options.program} is missing: cargo build --release --locked")
    # Whoever is told to end takes along what it has started. What it has forked, such as a pool's processes, only ends:
    # without a handler, which would not run while they wait for a lock.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options, directory)
        try:
            work(bench)
        finally:
            bench.stop_all()


def run(description, modes, more=None):
    """Parses the arguments and runs a mode: a function of a bench, by name. The first is the
    default. `more` adds further arguments to a parser."""
    parser = arguments(description)
    parser.add_argument("mode", choices=list(modes), nargs="?", default=next(iter(modes)))
    if more:
        more(parser)
    options = parser.parse_args()
    within(options, modes[options.mode])
