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


def train(bench):
    field = Field(bench)
    scenarios.MAIN = scenarios.FEW = [peers.THREE]
    for module in (streams, secure):
        module.PROXIES = {name: start for name, start in module.PROXIES.items() if name.startswith("linkspan")}
    get(field)
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
