#!/usr/bin/env python3
"""What relaying TCP costs, measured beside HAProxy and nginx's stream module.

    bench/streams.py           all of these, in about five minutes
    bench/streams.py stream    gigabytes per CPU second of the proxy: 4 GiB (--gib) over one connection to the origin, as
                               many from it, and half of them each way at once; every byte is counted where it comes
    bench/streams.py short     CPU time per connection: 100,000 (--connections) of them, 32 (--parallel) at a time, that
                               send 64 bytes, get them back and close
    bench/streams.py idle      memory: 3,000 streams (--idle) that have each moved 64 KiB both ways and are open and idle

Conditions are those of bench/base.py: two cores, of which the proxy under test has one to itself; one worker each, which
take turns in every one of 3 rounds (--rounds). Sixteen endpoints, round robin, and no access logs. Linkspan is there
twice: without a router, and with one that decides by the first bytes. HAProxy is to splice always, which costs it
less here than to choose when (`splice-auto`); nginx does not splice.

With --strace, `stream` counts Linkspan's system calls as well, over a sixteenth of the bytes. Ends with 1 if a byte is lost
or a connection fails, if Linkspan's idle streams hold pipes, or if its calls are not mostly splice. Needs the release build
of the proxy, and `tools/need.sh nginx nginx-stream haproxy strace`.
"""

import collections
import multiprocessing
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

import base
import ends

# So many endpoints, and clients' addresses, that nobody lacks ports: a closed connection keeps its for a minute.
ENDPOINTS = 16

# What each idle stream has moved before, each way: enough to be spliced.
MOVED_BYTES = 64 << 10

# Descriptors of pipes that an idle worker of Linkspan may keep: those of eight pipes that nobody uses.
KEPT_PIPES = 16

# Descriptors that are not streams.
OTHER_FILES = 1000

LINKSPAN, HAPROXY, NGINX = "linkspan", "haproxy, splice", "nginx, stream"


def linkspan(router, name):
    def start(bench, port, origins):
        endpoints = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
        chosen = 'stream-router = "match-bytes"' if router else 'default-cluster = "far"'
        rules = "rules = [ { match = '^(echo|move) ', cluster = \"far\" } ]"
        config = bench.file(
            f"{name}-{port}.toml",
            f"""
[log]
level = "warn"
access = "off"
[server]
workers = 1
cache-dir = "{bench.directory}/cache"
[listeners.streams]
bind = "127.0.0.1:{port}"
protocol = "tcp"
max-connections = {bench.options.idle + OTHER_FILES}
{chosen}
[clusters.far]
endpoints = [{endpoints}]
balancer = "round-robin"
{f'[plugins.match-bytes]{chr(10)}config = {{ {rules} }}' if router else ''}
""",
        )
        return bench.start(bench.options.proxy_core, bench.options.program, "-c", config)

    return start


def haproxy(bench, port, origins):
    servers = "".join(f"  server s{origin} 127.0.0.1:{origin}\n" for origin in origins)
    config = bench.file(
        f"haproxy-{port}.cfg",
        f"""
global
  nbthread 1
  maxconn {bench.options.idle + OTHER_FILES}
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  option splice-request
  option splice-response
frontend streams
  bind 127.0.0.1:{port}
  default_backend far
backend far
  balance roundrobin
{servers}
""",
    )
    return bench.start(bench.options.proxy_core, "haproxy", "-f", config)


def nginx(bench, port, origins):
    servers = "".join(f"server 127.0.0.1:{origin};" for origin in origins)
    return bench.nginx_with(
        f"nginx-{port}",
        bench.options.proxy_core,
        f"stream {{ upstream far {{ {servers} }} server {{ listen 127.0.0.1:{port}; proxy_pass far; }} }}\n",
        modules=base.nginx_module("ngx_stream_module"),
        connections=2 * bench.options.idle + OTHER_FILES,
    )


PROXIES = {
    LINKSPAN: linkspan(False, "linkspan"),
    "linkspan, match-bytes": linkspan(True, "routed"),
    HAPROXY: haproxy,
    NGINX: nginx,
}


class Field:
    """The origin and the clients, on their core."""

    def __init__(self, bench):
        self.bench, self.faults = bench, []
        os.sched_setaffinity(0, {bench.options.load_core})
        self.ports = base.free_ports(ENDPOINTS)
        self.origin = multiprocessing.Process(target=ends.serve, args=(self.ports,), daemon=True)
        self.origin.start()
        self.memory = ends.Memory()

    def start(self, name):
        """A proxy that relays, and its port."""
        port, = base.free_ports(1)
        process = PROXIES[name](self.bench, port, self.ports)
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            try:
                with ends.connect(port) as stream:
                    ends.echo(stream)
                return process, port
            except OSError:
                time.sleep(0.02)
        raise base.Trouble(f"{process.args} does not relay")

    def start_all(self):
        return {name: self.start(name) for name in PROXIES}

    def visit(self, pool, port, count):
        """Connections from many processes. Gives how many per second, and what failed how often."""
        parallel = self.bench.options.parallel
        each = [count // parallel + (place < count % parallel) for place in range(parallel)]
        work = [(port, f"127.0.0.{2 + place % ENDPOINTS}", share) for place, share in enumerate(each)]
        begun = time.monotonic()
        failed = sum(pool.starmap(ends.visit, work, chunksize=1), collections.Counter())
        return count / (time.monotonic() - begun), failed

    def fault(self, text):
        self.faults.append(text)
        print(text, file=sys.stderr)

    def move(self, name, port, up, down):
        """Moves bytes over a connection of its own. Gives the seconds that it took."""
        begun = time.monotonic()
        try:
            with ends.connect(port) as stream:
                ends.move(stream, self.memory, up, down)
        except OSError as error:
            self.fault(f"{name}: {error!r}")
        return time.monotonic() - begun


def used(process, work):
    """What some work costs a proxy, in CPU seconds, and what the work gave."""
    before = base.cpu_seconds(process.pid)
    result = work()
    # It closes after its clients.
    time.sleep(0.1)
    # Less than the clock can tell is no time to divide by.
    return max(base.cpu_seconds(process.pid) - before, 1 / os.sysconf("SC_CLK_TCK")), result


def spread(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def ratios(values, name):
    """What the median of a name is of nginx's and of HAProxy's, as cells of a table."""
    middle = statistics.median(values[name])
    return " | ".join(f"{middle / statistics.median(values[other]):.2f}" for other in (NGINX, HAPROXY))


def stream(field):
    options = field.bench.options
    size = int(options.gib * 2**30)
    ways = {"to the origin": (size, 0), "from the origin": (0, size), "both at once": (size // 2, size // 2)}
    proxies = field.start_all()
    for name, (_, port) in proxies.items():
        field.move(name, port, size // 16, size // 16)
    print(f"\nStreams of {options.gib:g} GiB, {options.rounds} rounds; load average {os.getloadavg()[0]:.1f}\n")
    print("| stream | proxy | GB per CPU second, median (least to most) | of nginx's | of HAProxy's | GB/s |")
    print("|---|---|---|---|---|---|")
    for way, (up, down) in ways.items():
        figures, rates = collections.defaultdict(list), collections.defaultdict(list)
        for turn, name in base.turns(options, proxies):
            process, port = proxies[name]
            cost, seconds = used(process, lambda: field.move(name, port, up, down))
            figures[name].append((up + down) / cost / 1e9)
            rates[name].append((up + down) / seconds / 1e9)
            print(f"round {turn}: {way}: {name}: {figures[name][-1]:.2f} GB per CPU second", file=sys.stderr)
        for name in proxies:
            print(f"| {way} | {name} | {spread(figures[name], '.2f')} | {ratios(figures, name)}"
                  f" | {statistics.median(rates[name]):.2f} |", flush=True)
    if options.strace:
        calls(field, proxies, {way: (up // 16, down // 16) for way, (up, down) in ways.items()})
    for process, _ in proxies.values():
        field.bench.stop(process)


def traced(field, process, work):
    """How often a process makes which system calls while some work is done."""
    report = field.bench.directory / "strace"
    core = field.bench.options.load_core
    tracer = field.bench.start(
        core, "strace", "-f", "-qq", "-c", "-o", report, "-p", process.pid, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 10
    threads = pathlib.Path(f"/proc/{process.pid}/task")
    while any("TracerPid:\t0\n" in (thread / "status").read_text() for thread in threads.iterdir()):
        if tracer.poll() is not None or time.monotonic() > end:
            sys.exit("strace does not attach")
        time.sleep(0.02)
    work()
    field.bench.stop(tracer, signal.SIGINT)
    counts = collections.Counter()
    for line in report.read_text().splitlines():
        # Share, seconds, microseconds per call, calls, perhaps errors, and the name.
        fields = line.split()
        if len(fields) > 4 and fields[3].isdigit() and fields[-1] != "total":
            counts[fields[-1]] += int(fields[3])
    return counts


def calls(field, proxies, ways):
    """Linkspan's system calls, by kind."""
    print("\n| stream | proxy | bytes | splice | read, recv | write, send | others |")
    print("|---|---|---|---|---|---|---|")
    for name in [name for name in proxies if name.startswith(LINKSPAN)]:
        for way, (up, down) in ways.items():
            process, port = proxies[name]
            counts = traced(field, process, lambda: field.move(name, port, up, down))
            splices = counts.pop("splice", 0)
            reads, writes = (
                sum(counts.pop(call) for call in list(counts) if re.match(kind, call))
                for kind in (r"p?read|recv", r"p?write|send")
            )
            others = ", ".join(f"{call} {count}" for call, count in counts.most_common(4))
            print(f"| {way} | {name} | {up + down} | {splices} | {reads} | {writes} | {others} |", flush=True)
            # A few at first, before it knows that much is to come, and those of its own waking.
            if reads + writes > 16 + splices / 16:
                field.fault(f"{name}, {way}: {splices} splices, but {reads} reads and {writes} writes")


def short(field):
    options = field.bench.options
    with multiprocessing.Pool(options.parallel) as pool:
        proxies = field.start_all()

        def visit(name, count):
            rate, failed = field.visit(pool, proxies[name][1], count)
            for error, times in failed.items():
                field.fault(f"{name}: {times} times {error}")
            return rate, failed.total()

        for name in proxies:
            visit(name, options.connections // 20)
        costs, rates, failures = (collections.defaultdict(list) for _ in range(3))
        for turn, name in base.turns(options, proxies):
            cost, (rate, failed) = used(proxies[name][0], lambda: visit(name, options.connections))
            costs[name].append(cost / options.connections * 1e6)
            rates[name].append(rate)
            failures[name].append(failed)
            print(f"round {turn}: {name}: {costs[name][-1]:.1f} us", file=sys.stderr)
    print(f"\n{options.connections} connections, {options.parallel} at a time, {options.rounds} rounds;"
          f" load average {os.getloadavg()[0]:.1f}\n")
    print("| proxy | CPU per connection, median (least to most) | of nginx's | of HAProxy's | connections/s | failed |")
    print("|---|---|---|---|---|---|")
    for name in proxies:
        print(f"| {name} | {spread(costs[name], '.1f')} us | {ratios(costs, name)}"
              f" | {statistics.median(rates[name]):.0f} | {sum(failures[name])} |", flush=True)
    for process, _ in proxies.values():
        field.bench.stop(process)


def pipes(process):
    """How many descriptors of pipes a proxy has, but for those that it was started with."""
    def of(pid):
        found = [os.readlink(each) for each in pathlib.Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
        return [target for target in found if target.startswith("pipe:")]

    ours = {os.readlink(f"/proc/self/fd/{number}") for number in range(3)}
    return sum(target not in ours for member in base.family(process.pid) for target in of(member))


def idle(field):
    options = field.bench.options
    print(f"\n{options.idle} idle streams\n")
    print("| proxy | RSS before (KiB) | with the streams | for each | when they are gone | pipes before, in descriptors "
          "| with the streams |")
    print("|---|---|---|---|---|---|---|")
    for name in PROXIES:
        process, port = field.start(name)
        # What a proxy that has just started takes at first is not the streams' doing.
        for _ in range(16):
            field.move(name, port, 16 * MOVED_BYTES, 16 * MOVED_BYTES)
        time.sleep(1)
        before, piped = base.resident(process), pipes(process)
        streams = []
        try:
            for _ in range(options.idle):
                streams.append(ends.connect(port))
                ends.echo(streams[-1])
                ends.move(streams[-1], field.memory, MOVED_BYTES, MOVED_BYTES)
            time.sleep(2)
            within, piped_within = base.resident(process), pipes(process)
            for each in streams:
                ends.echo(each)
        except OSError as error:
            field.fault(f"{name}: stream {len(streams)}: {error!r}")
            within, piped_within = base.resident(process), pipes(process)
        for each in streams:
            each.close()
        time.sleep(2)
        print(f"| {name} | {before:.0f} | {within:.0f} | {(within - before) / options.idle:.1f} | {base.resident(process):.0f}"
              f" | {piped} | {piped_within} |", flush=True)
        if name.startswith(LINKSPAN) and piped_within > KEPT_PIPES:
            field.fault(f"{name}: idle streams hold {piped_within} descriptors of pipes")
        field.bench.stop(process)


def mode(*measures):
    def measure(bench):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        # HAProxy wants some for pipes.
        needed = 3 * (bench.options.idle + OTHER_FILES)
        if most < needed:
            sys.exit(f"{needed} descriptors are needed, {most} allowed")
        field = Field(bench)
        try:
            for each in measures:
                each(field)
        finally:
            field.origin.kill()
            field.origin.join()
        if field.faults:
            sys.exit(f"{len(field.faults)} faults, the first: {field.faults[0]}")

    return measure


def more(parser):
    parser.set_defaults(rounds=3, connections=100_000)
    parser.add_argument("--gib", type=float, default=4, help="size of a stream")
    parser.add_argument("--parallel", type=int, default=32, help="short connections at a time")
    parser.add_argument("--idle", type=int, default=3000, help="idle streams")
    parser.add_argument("--strace", action="store_true", help="count Linkspan's system calls")


if __name__ == "__main__":
    measures = {"stream": stream, "short": short, "idle": idle}
    modes = {"all": mode(*measures.values())} | {name: mode(each) for name, each in measures.items()}
    base.run(__doc__, modes, more)
