"""Memory, starting, and more than one worker."""

import os
import re
import socket
import statistics
import subprocess
import time

import base
import peers
import report
from peers import ENVOY, HAPROXY, NGINX, THREE

# What an issue of the project wants of these.
MOST_IDLE_MIB, MOST_CONNECTION_KIB, MOST_WARM_MS, MOST_COLD_MS, MOST_SCALE = 30, 12, 60, 1000, 1.08

# How often memory is looked at while it may grow, in seconds, and what of a run is its beginning.
LOOK_SECONDS, BEGINNING = 2, 0.25


def kept(value, most):
    return "yes" if value <= most else "**no**"


def demo(field, port, workers, cache):
    """What `linkspan demo` serves, in front of other origins."""
    text = (base.ROOT / "examples/demo/linkspan.toml").read_text()
    changes = [
        (r"^workers = \d+", f'workers = {workers}\ncache-dir = "{cache}"'),
        (r'^\[admin\]\nbind = ".*"', '[admin]\nbind = "127.0.0.1:0"'),
        (r'^bind = "127.0.0.1:8080"', f'bind = "127.0.0.1:{port}"'),
    ]
    for pattern, other in changes:
        text, count = re.subn(pattern, other, text, flags=re.M)
        if count != 1:
            raise base.Trouble(f"examples/demo has no {pattern}")
    for place, origin in enumerate(field.origins):
        text = re.sub(rf"\$\{{ORIGIN{place + 1}:-[^}}]*\}}", f"127.0.0.1:{origin}", text)
    text = text.replace("[listeners.web]\n", f"[listeners.web]\nmax-connections = {peers.CONNECTIONS}\n")
    log = f'\n[log]\nlevel = "warn"\naccess = "{field.bench.directory}/demo.log"\n'
    return field.bench.file("demo.toml", text + log)


def ready(field, config, port):
    """Starts a proxy on all cores. Gives it, and the milliseconds until it has answered a request."""
    begun = time.monotonic()
    process = field.bench.start(cores(field), field.options.program, "-c", config)
    while time.monotonic() < begun + 60:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
                stream.sendall(f"GET {base.PATH} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
                if stream.recv(4096).startswith(b"HTTP/1.1 200"):
                    return process, (time.monotonic() - begun) * 1e3
        except OSError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.001)
    raise base.Trouble("the demo does not serve")


def cores(field):
    return f"{field.options.load_core},{field.options.proxy_core}"


def start(field):
    """Ready to serve the demo, with its components compiled before and not; its memory then."""
    cold, warm, idle = [], [], []
    port, = base.free_ports(1)
    for turn in range(field.options.rounds):
        config = demo(field, port, 2, field.bench.directory / f"cache-{turn}")
        process, took = ready(field, config, port)
        cold.append(took)
        field.bench.stop(process)
        process, took = ready(field, config, port)
        warm.append(took)
        time.sleep(1)
        idle.append(base.resident(process) / 1024)
        field.bench.stop(process)
    rows = [
        ["ready to serve without a cache", f"{report.spread(cold)} ms", f"{MOST_COLD_MS} ms",
         kept(statistics.median(cold), MOST_COLD_MS)],
        ["ready to serve from the cache", f"{report.spread(warm)} ms", f"{MOST_WARM_MS} ms",
         kept(statistics.median(warm), MOST_WARM_MS)],
        ["idle RSS, two workers", f"{report.spread(idle)} MiB", f"{MOST_IDLE_MIB} MiB",
         kept(statistics.median(idle), MOST_IDLE_MIB)],
    ]
    stripped = field.bench.directory / "stripped"
    subprocess.run(["strip", "-o", stripped, field.options.program], check=True)
    size, bare = (each.stat().st_size / 2**20 for each in (field.options.program, stripped))
    rows.append(["size of the program", f"{size:.1f} MiB, stripped {bare:.1f} MiB", "", ""])
    return [report.Table(
        "The demo", ["figure", "median (least to most)", "at most", "kept"], rows,
        "The configuration of `linkspan demo` in front of origins elsewhere, started with both cores to itself. Ready is"
        " when a request was answered.",
        raw={"cold_ms": cold, "warm_ms": warm, "idle_mib": idle},
    )]


def request(port):
    """A connection on which a request was answered."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=10)
    stream.sendall(f"GET {base.PATH} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = stream.recv(65536)
        if not piece:
            raise base.Trouble("a connection was closed")
        seen += piece
    head, body = seen.split(b"\r\n\r\n", 1)
    left = int(re.search(rb"content-length: *(\d+)", head, re.I)[1]) - len(body)
    while left > 0:
        left -= len(stream.recv(left))
    return stream


def idle(field):
    """What a connection takes that is kept and idle."""
    rows, raw, count = [], {}, field.options.idle
    for name in (THREE, NGINX, HAPROXY, ENVOY):
        for process, port in field.start([name], tag="idle").values():
            # As large as one at work.
            base.load(field.bench, port, 1)
            time.sleep(1)
            before = base.resident(process)
            streams = [request(port) for _ in range(count)]
            time.sleep(2)
            each = (base.resident(process) - before) / count
            for stream in streams:
                stream.close()
            time.sleep(1)
            after = base.resident(process)
            raw[name] = {"before_kib": before, "each_kib": each, "after_kib": after}
            limits = [f"{MOST_CONNECTION_KIB} KiB", kept(each, MOST_CONNECTION_KIB)] if name == THREE else ["", ""]
            rows.append([name, f"{before / 1024:.1f} MiB", f"{each:.1f} KiB", *limits, f"{after / 1024:.1f} MiB"])
            field.bench.stop(process)
    return [report.Table(
        "Idle connections", ["proxy", "RSS before", "each connection", "at most", "kept", "RSS after"], rows,
        f"{count} connections, kept after a request each, and then closed. nginx takes what it needs for"
        f" {2 * peers.CONNECTIONS} of them when it starts.", raw=raw,
    )]


def growth(field):
    """Memory under load, over minutes."""
    series, length = {}, field.options.minutes * 60
    for name, (process, port) in field.start([THREE], tag="long").items():
        field.wrk(port)(1)
        begun, seen = time.monotonic(), []
        while time.monotonic() < begun + length:
            seen.append((round(time.monotonic() - begun, 1), base.resident(process) / 1024))
            field.wrk(port)(min(LOOK_SECONDS, field.options.seconds))
            field.bench.trim()
        series[name] = seen
        field.bench.stop(process)
    rows = []
    for name, seen in series.items():
        sizes = [size for _, size in seen]
        first = statistics.median(sizes[:max(1, int(len(sizes) * BEGINNING))])
        last = statistics.median(sizes[-max(1, int(len(sizes) * BEGINNING)):])
        rows.append([name, f"{first:.1f} MiB", f"{last:.1f} MiB", f"{last - first:+.1f} MiB", f"{max(sizes):.1f} MiB"])
    title = "Memory under load"
    return [report.Table(
        title, ["proxy", "RSS, first quarter", "last quarter", "growth", "most"], rows,
        f"Over {field.options.minutes:g} minutes of requests, medians of a quarter each.", raw=series,
        plots={title: report.lines(title, "MiB of RSS by seconds", series)},
    )]


def workers(field):
    """CPU time per request with two workers, held against one."""
    bench, names = field.bench, {1: "one worker", 2: "two workers"}
    before, bench.options.proxy_core = bench.options.proxy_core, cores(field)
    started = {}
    try:
        for count, name in names.items():
            started[name] = field.start([THREE], tag=name, workers=count)[THREE]
    finally:
        bench.options.proxy_core = before
    work = {name: (process, field.wrk(port)) for name, (process, port) in started.items()}
    costs, _, failed = field.rounds(work)
    field.stop(started)
    one, two = names.values()
    if len(costs) < len(work):
        raise base.Trouble("; ".join(failed.values()))
    middle, least, most = report.ratio(costs[two], costs[one])
    few = "" if (os.cpu_count() or 1) >= 4 else (
        " There are fewer than four cores, so that workers, origins and load share those of the proxy: this tells what"
        " sharing costs, and not what cores of their own would."
    )
    return [report.Table(
        "Two workers", ["figure", "median (least to most)", "at most", "kept"],
        [*([name, f"{report.spread(costs[name])} µs of CPU per request", "", ""] for name in names.values()),
         ["two to one", f"{middle:.2f} ({least:.2f} to {most:.2f})", f"{MOST_SCALE}", kept(middle, MOST_SCALE)]],
        f"{peers.THREE}; the processes may run on both cores, whichever has how many workers.{few}", raw=costs,
    )]
