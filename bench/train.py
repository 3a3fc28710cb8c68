#!/usr/bin/env python3
"""Has a program do what the benchmarks measure, with nobody beside it: what its compiler is to learn from.

    bench/train.py --program FILE     in some two minutes

FILE counts what it does, and writes that down when it ends: see tools/optimized.sh. Needs nginx, memcached, wrk, h2load and
openssl.
"""

import resource

import base
import peers
import scenarios
import secure
import streams
from field import Field

OWN = [peers.THREE, peers.ALONE, peers.BARE]

# All but the one that needs reports of its endpoints.
BALANCERS = [
    "by-busyness", "by-requests", "by-traffic", "carp", "least-connections", "lighttpd-hash", "locking-round-robin",
    "maglev", "naive", "p2c", "peaks", "random", "ring-hash", "sessions", "source-hash", "sqf", "static",
]


def train(bench):
    field = Field(bench)
    scenarios.MAIN = scenarios.FEW = [peers.THREE]
    for module in (streams, secure):
        module.PROXIES = {name: start for name, start in module.PROXIES.items() if name.startswith("linkspan")}
    get(field)
    policies(field)
    for scenario in (scenarios.requests, scenarios.large, scenarios.websocket, scenarios.tcp, scenarios.memcached,
                     scenarios.rewriters, scenarios.swaps):
        before = list(bench.processes)
        for found in scenario(field):
            if found.faults:
                raise base.Trouble("\n".join(found.faults))
        field.clear(before)
    encrypted(bench)


def get(field):
    """Small requests, the more of them, as these are what most proxies do most."""
    proxies = field.start(OWN)
    for _, port in proxies.values():
        field.wrk(port)(2 * field.options.seconds)
    field.stop(proxies)


def policies(field):
    """What balancers ask of the host, each in its way."""
    port, = base.free_ports(1)
    config = field.bench.linkspan_config("policies", port, field.origins, ["first-alive"])
    endpoints = ", ".join(f'{{ address = "127.0.0.1:{each}", route = "r{each}" }}' for each in field.origins)
    clusters = "".join(
        f'[clusters.to-{each}]\nendpoints = [{endpoints}]\nbalancer = "{each}"\n' for each in BALANCERS
    )
    rules = ", ".join(f'{{ prefix = "/{each}/", cluster = "to-{each}" }}' for each in BALANCERS)
    config.write_text(f"""{config.read_text().replace("routers = []", 'routers = ["by-policy"]')}
{clusters}
[plugins.by-policy]
component = "prefix"
config = {{ rules = [ {rules} ] }}
[plugins.sessions]
component = "sticky"
config = {{ cookie = "session" }}
[plugins.peaks]
component = "p2c"
config = {{ latency = true }}
""")
    process = field.bench.start(field.options.proxy_core, field.options.program, "-c", config)
    base.wait_for(port, process)
    for each in BALANCERS:
        cookie = f"cookie: session=1.r{field.origins[-1]}"
        field.wrk(port, path=f"/{each}/index.html", more=["-H", cookie])(1)
    field.bench.stop(process)


def encrypted(bench):
    """TLS, and HTTP/2."""
    own = secure.Field(bench)
    for name in secure.PROXIES:
        process, *ports = own.start(name)
        for load in secure.LOADS.values():
            load(bench, *ports, bench.options.seconds)
        bench.stop(process)


def main():
    parser = base.arguments(__doc__)
    # What the benchmarks take besides.
    parser.set_defaults(rounds=1, seconds=2, hosts=1000, gib=0.25, parallel=32, idle=100, h2_connections=16, streams=16)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    base.within(options, train)


if __name__ == "__main__":
    main()
