"""What is measured beside the main table: other kinds of traffic, and how cost grows with what there is of something.

Each is a function of a field that gives what it found: see bench/report.py.
"""

import http.client
import multiprocessing
import threading
import time

import base
import bodies
import ends
import hosts
import sockets
import streams
from peers import CONNECTIONS, ENVOY, HAPROXY, NGINX, THREE

# With whom other kinds of traffic are compared.
MAIN = [THREE, NGINX, HAPROXY, ENVOY]

# What grows is compared with two whose configuration is as large.
FEW = [THREE, NGINX, HAPROXY]

POST = """
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
"""

SWAP_SECONDS, TOKEN = 0.1, "only-for-the-benchmark"


def works(proxies, work):
    """What is done to each proxy, given how it is done to a port."""
    return {name: (process, work(port)) for name, (process, port) in proxies.items()}


def requests(field):
    """Requests of other kinds than the main one."""
    proxies = field.start(MAIN)
    script = field.bench.file("post.lua", POST)
    grid = field.grid(
        "Other requests", "µs of CPU per request",
        {
            "POST with a body of 1 KiB": works(proxies, lambda port: field.wrk(port, script=script)),
            "GET, a connection each": works(proxies, lambda port: field.wrk(port, more=("-H", base.CLOSE))),
        },
    )
    field.stop(proxies)
    return [grid]


def connections(field):
    proxies = field.start(MAIN)
    grid = field.grid(
        "Connections", "µs of CPU per request",
        {
            count: works(proxies, lambda port, count=count: field.wrk(port, connections=count))
            for count in (64, 1000, 4000)
        },
        "By how many connections are kept and at work at the same time; to open them is within it.", growth=True, longer=2,
    )
    field.stop(proxies)
    return [grid]


def large(field):
    port = field.origin(bodies.serve)
    proxies = field.start(MAIN, path=bodies.DOWN.format(2), origins=[port])
    memory, variants = ends.Memory(), {}
    for up in (False, True):
        for name, size in (("100 KiB", 100 << 10), ("100 MiB", 100 << 20)):
            what = "bodies of requests" if up else "bodies of responses"
            variants[f"{name}, {what}"] = works(
                proxies,
                lambda port, up=up, size=size: lambda seconds: bodies.load(port, memory, up, size, seconds, 4),
            )
    grid = field.grid(
        "Bodies", "s of CPU per GB", variants,
        "Over four connections. The proxies' own defaults as to splicing, but none writes a body to a file.",
        scale=1e-6,
    )
    field.stop(proxies)
    return [grid]


def websocket(field):
    port = field.origin(sockets.serve)
    proxies = field.start(MAIN, path=sockets.PATH, origins=[port], upgrades=True)
    count = field.options.connections
    grid = field.grid(
        "WebSocket", "µs of CPU per message",
        {
            f"{len(sockets.PAYLOAD)} bytes, {count} connections": works(
                proxies, lambda port: lambda seconds: sockets.load(port, seconds, count)
            )
        },
        "Messages go there and back; one each way is two.",
    )
    field.stop(proxies)
    return [grid]


def tcp(field):
    """TCP, with the proxies and the ends of bench/streams.py."""
    options = field.options
    relays, proxies, missing = streams.Field(field.bench), {}, []
    for name in streams.PROXIES:
        try:
            proxies[name] = relays.start(name)
        except base.Trouble as trouble:
            missing.append(f"{name} is missing: {trouble}")
    size, count = int(options.gib * 2**30), 4000

    def moves(name, up, down):
        def work(_):
            seconds = relays.move(name, proxies[name][1], up, down)
            if relays.faults:
                raise base.Trouble(relays.faults.pop())
            return (up + down) / 1e9, (up + down) / seconds / 1e9

        return proxies[name][0], work

    def visits(name, pool):
        def work(_):
            rate, failed = relays.visit(pool, proxies[name][1], count)
            if failed:
                raise base.Trouble(str(failed))
            return count, rate

        return proxies[name][0], work

    ways = {"to the origin": (size, 0), "from the origin": (0, size), "both at once": (size // 2, size // 2)}
    grids = [
        field.grid(
            "TCP streams", "s of CPU per GB",
            {way: {name: moves(name, *each) for name in proxies} for way, each in ways.items()},
            f"{options.gib:g} GiB over a connection. HAProxy splices always, nginx never.", scale=1e-6,
        )
    ]
    with multiprocessing.Pool(options.parallel) as pool:
        grids.append(
            field.grid(
                "TCP connections", "µs of CPU per connection",
                {f"64 bytes there and back, {options.parallel} at a time": {name: visits(name, pool) for name in proxies}},
            )
        )
    field.stop(proxies)
    for grid in grids:
        grid.subject, grid.faults = streams.LINKSPAN, missing + grid.faults
    return grids


def memcached(field):
    proxies, script = hosts.proxies(field.bench, field.origins)
    grid = field.grid(
        "Routed by memcached", "µs of CPU per request",
        {f"{field.options.hosts} hosts": works(proxies, lambda port: field.wrk(port, script=script))},
        "Each request asks for a random host, whose place is looked up in memcached, or in the configuration.",
    )
    field.stop(proxies)
    grid.subject = next(iter(proxies))
    return [grid]


def grown(field, title, names, sizes, setup, note=""):
    """What requests cost proxies whose setup has a size."""
    started = {size: field.start(names, tag=str(size), **setup(size)) for size in sizes}
    variants = {size: works(proxies, field.wrk) for size, proxies in started.items()}
    grid = field.grid(title, "µs of CPU per request", variants, note, growth=True)
    for proxies in started.values():
        field.stop(proxies)
    return [grid]


def endpoints(field):
    most, each = 10_000, 1250
    ports = base.low_ports(most)
    for first in range(0, most, each):
        field.bench.origins(ports[first:first + each], f"origins-{first}", connections=most)
    return grown(
        field, "Endpoints", FEW, (1, 1000, most), lambda size: {"origins": ports[:size]},
        "Each is a port of its own, used by turns over connections that are kept: with 10,000, that many.",
    )


def rules(field):
    return grown(
        field, "Routing rules", FEW, (1, 1000, 10_000), lambda size: {"rules": size},
        "Regular expressions, of which the last one matches.",
    )


def rewriters(field):
    return grown(
        field, "Rewriters", FEW, (1, 2, 5, 10), lambda size: {"headers": size},
        "Plugins one after another that each set a header of the request and one of the response; the others set as many.",
    )


def swaps(field):
    """What it costs to replace a version every 100 ms, or as often as that can be, and whether a request fails."""
    bench = field.bench
    admin, port = base.free_ports(2)
    server = f'[admin]\nbind = "127.0.0.1:{admin}"\ntoken = "{TOKEN}"'
    config = bench.linkspan_config("swapped", port, field.origins, ["router", "rewriter"], server,
                                   listener=f"max-connections = {CONNECTIONS}")
    texts = [config.read_text(), config.read_text().replace('x-bench = "1"', 'x-bench = "2"')]
    process = bench.start(bench.options.proxy_core, bench.options.program, "-c", config)
    base.wait_for(port, process)
    done, calm, swapping = [], field.wrk(port), field.wrk(port)

    def replace(stop):
        while not stop.wait(SWAP_SECONDS):
            config.write_text(texts[len(done) % 2])
            connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
            connection.request("POST", "/api/reload", headers={"Authorization": f"Bearer {TOKEN}"})
            done.append(connection.getresponse().status)
            connection.close()

    def disturbed(seconds):
        stop = threading.Event()
        thread = threading.Thread(target=replace, args=(stop,))
        begun, before = time.monotonic(), len(done)
        thread.start()
        try:
            return swapping(seconds)
        finally:
            stop.set()
            thread.join()
            paces.append((len(done) - before) / (time.monotonic() - begun))

    paces = []
    grid = field.grid(
        "Swaps", "µs of CPU per request",
        {"versions": {"linkspan, left alone": (process, calm), "linkspan, swapped": (process, disturbed)}},
    )
    bench.stop(process)
    bad = sum(status != 200 for status in done)
    grid.subject = "linkspan, swapped"
    grid.note = (
        f"`headers` is configured otherwise by a reload, {SWAP_SECONDS * 1e3:.0f} ms after the one before was answered,"
        f" which waits until the file has been quiet: {len(done)} times, {min(paces):.1f} to {max(paces):.1f} a second,"
        f" of which {bad} were refused. A request that fails is told of here."
    )
    return [grid]
