#!/usr/bin/env python3
"""What the proxy costs, measured beside every other that is here, in one run.

    bench/bench.py                                all of it, in less than half an hour: writes bench/RESULTS.md
    bench/bench.py --only get,rules --rounds 2    a part of it, or less often: writes below target/bench
    bench/bench.py --program FILE                 of another build

The main table is about small requests over connections that are kept: the CPU time that each proxy takes for one, with
three plugins in Linkspan's path, in seven rounds or more, in which all take their turn; and times at a fixed rate. Other
scenarios have fewer rounds: see --only. Conditions are those of bench/base.py and bench/peers.py: two cores, of which the
proxy under test has one to itself. Needs a build of the proxy, nginx, memcached and wrk; the others are named if they are
missing. `make bench` measures the build of tools/optimized.sh. Leave the machine alone meanwhile.
"""

import collections
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import sys
import time

import base
import figures
import pace
import peers
import report
import scenarios
from field import Field
from peers import BARE, ENVOY, HAPROXY, NGINX, THREE

# What Linkspan with three plugins may cost of each, and what it had better: CPU time per request.
WANTED = {
    NGINX: (1.15, 1.00),
    HAPROXY: (1.05, 0.90),
    "haproxy, Lua": (0.70, 0.60),
    "nginx, Lua": (0.85, 0.75),
    ENVOY: (0.40, 0.35),
    "envoy, Lua": (0.32, 0.28),
    "envoy, proxy-wasm": (0.28, 0.25),
    BARE: (1.15, 1.10),
}

ROUNDS = 7
PACE_ROUNDS = 2
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def get(field):
    """The main table."""
    options = field.options
    proxies = field.start(peers.PEERS)
    costs, rates, failed = field.rounds({name: (process, field.wrk(port)) for name, (process, port) in proxies.items()})
    memory = {name: base.resident(process) / 1024 for name, (process, _) in proxies.items()}
    times = paced(field, {name: port for name, (_, port) in proxies.items() if name in costs}, failed)
    field.stop(proxies)
    rows = []
    for name, values in costs.items():
        must, goal = WANTED.get(name, (None, None))
        ratio = wanted = met = ""
        if name != THREE and THREE in costs:
            ratio = report.of(costs[THREE], values)
        if must and ratio:
            wanted, middle = f"{must:.2f} / {goal:.2f}", report.ratio(costs[THREE], values)[0]
            met = "goal" if middle <= goal else "must" if middle <= must else "**no**"
        late = " / ".join(report.short(times[name][share] * 1e3) for share in SHARES) if name in times else "-"
        rows.append([name, report.spread(values), ratio, wanted, met, f"{statistics.median(rates[name]):.0f}", late,
                     f"{memory[name]:.1f}"])
    title = "Small requests"
    note = (
        f"GET, {options.bytes} bytes, {options.connections} connections that are kept, {options.rounds} rounds of"
        f" {options.seconds} s. The ratio is that of {THREE} to each, of medians, and in brackets the least and the most"
        f" within a round. p50, p99 and p99.9 are at {options.rate} requests a second (see bench/pace.py)."
    )
    header = ["proxy", "µs of CPU per request", "ratio to it", "must / goal", "met", "requests/s",
              f"{' / '.join(SHARES)}, ms", "RSS, MiB"]
    faults = [f"{name}: {trouble}" for name, trouble in failed.items()]
    faults += [f"{name} lacks {peers.PEERS[name].lacks}" for name in costs if peers.PEERS[name].lacks]
    return [report.Table(
        title, header, rows, note, faults,
        raw={"unit": "µs of CPU per request", "costs": costs, "rates": rates, "memory_mib": memory, "seconds": times},
        plots={title: report.bars(title, "µs of CPU per request", costs)} if costs else {},
    )]


def paced(field, ports, failed):
    """What shares of all requests at a fixed rate take at most, by name."""
    options, found = field.options, collections.defaultdict(list)
    for turn, name in base.turns(options, ports, PACE_ROUNDS):
        print(f"round {turn}: {name}, {options.rate} requests a second", file=sys.stderr)
        try:
            found[name] += pace.times(ports[name], options.rate, options.seconds, options.connections)
        except base.Trouble as trouble:
            failed[f"{name} at {options.rate} a second"] = str(trouble)
        field.bench.trim()
    for times in found.values():
        times.sort()
    return {
        name: {share: times[min(len(times) - 1, int(part * len(times)))] for share, part in SHARES.items()}
        for name, times in found.items()
    }


SCENARIOS = {
    "get": get,
    "requests": scenarios.requests,
    "connections": scenarios.connections,
    "bodies": scenarios.large,
    "websocket": scenarios.websocket,
    "tcp": scenarios.tcp,
    "memcached": scenarios.memcached,
    "endpoints": scenarios.endpoints,
    "rules": scenarios.rules,
    "rewriters": scenarios.rewriters,
    "swaps": scenarios.swaps,
    "start": figures.start,
    "idle": figures.idle,
    "growth": figures.growth,
    "workers": figures.workers,
}


def measure(bench):
    options = bench.options
    begun, field, found = time.monotonic(), Field(bench), {}
    load = os.getloadavg()[0]
    for name in options.only:
        print(f"== {name} ({time.monotonic() - begun:.0f} s)", file=sys.stderr)
        before = list(bench.processes)
        try:
            found[name] = SCENARIOS[name](field)
        except (base.Trouble, OSError) as trouble:
            found[name] = [report.Table(name, [], [], faults=[f"not measured: {trouble}"])]
            print(f"{name}: {trouble}", file=sys.stderr)
        field.clear(before)
    write(options, field, found, load, time.monotonic() - begun)


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
    }


def program(options):
    """What is measured, in words."""
    if options.program.parent.name != "optimized":
        return f"`{options.program.name}` of the profile `{options.program.parent.name}`"
    return "compiled by what it did under such loads, TLS, HTTP/2, TCP and more among them (`tools/optimized.sh`)"


def write(options, field, found, load, took):
    """The tables, to standard output too, the plots and the raw data."""
    results = options.out / "results"
    results.mkdir(parents=True, exist_ok=True)
    about, now = machine(), datetime.datetime.now(datetime.timezone.utc)
    whole = options.out == base.ROOT / "bench"
    parts = [
        "# What Linkspan costs beside others",
        f"Written by `make bench` on {now:%Y-%m-%d}, in {took / 60:.0f} minutes."
        + ("" if whole else " **A try: not all, or not often enough.**"),
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']},"
        f" {about['system']}; load average before: {load:.1f}. The proxy under test has core {options.proxy_core},"
        f" origins and load have core {options.load_core}.",
        "Seconds are those of this machine and this hour: what is claimed are ratios. Figures of CPU time are medians over"
        " rounds, in which all take their turn. In tables, a **ratio** is what Linkspan takes of what the other does, with"
        " the least and the most within a round; x2.00 is how much more it is than in the first row.",
        f"Linkspan is {program(options)}. The others are as Debian and PyPI have them.",
        report.table(["proxy", "version"], field.versions.items()),
    ]
    parts += ["\n".join(f"- {name} is missing: {why}" for name, why in field.missing.items())] if field.missing else []
    raw = {
        "date": f"{now:%Y-%m-%dT%H:%M:%SZ}", "machine": about, "versions": field.versions, "missing": field.missing,
        "rounds": options.rounds, "seconds": options.seconds, "load_average": load, "scenarios": {},
    }
    for name, pieces in found.items():
        for piece in pieces:
            parts.append(f"## {piece.title}")
            parts += [piece.note] if piece.note else []
            parts += [piece.markdown()] if piece.raw else []
            parts += ["\n".join(f"- {fault}" for fault in piece.faults)] if piece.faults else []
            for title, plot in piece.plots.items():
                file = re.sub(r"\W+", "-", title.lower()) + ".svg"
                (results / file).write_text(plot)
                parts.append(f"![{title}](results/{file})")
            raw["scenarios"].setdefault(name, {})[piece.title] = piece.raw
    text = "\n\n".join(parts) + "\n"
    (options.out / "RESULTS.md").write_text(text)
    (results / "raw.json").write_text(json.dumps(rounded(raw), indent=1) + "\n")
    print(text)
    print(f"written to {options.out}/RESULTS.md", file=sys.stderr)


def rounded(value):
    """Raw data without digits that tell nothing."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main():
    parser = base.arguments(__doc__)
    parser.set_defaults(rounds=ROUNDS, seconds=3)
    parser.add_argument("--only", default=",".join(SCENARIOS), help="these scenarios; all are: %(default)s")
    parser.add_argument("--rate", type=int, default=2000, help="requests a second where the rate is fixed")
    parser.add_argument("--minutes", type=float, default=2, help="how long it is watched whether memory grows")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections")
    parser.add_argument("--hosts", type=int, default=10_000, help="hosts in memcached")
    parser.add_argument("--gib", type=float, default=1, help="size of a TCP stream")
    parser.add_argument("--parallel", type=int, default=32, help="TCP connections at a time")
    parser.add_argument("--out", type=pathlib.Path, help="where to write to")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    whole = list(options.only) == list(SCENARIOS) and options.rounds >= ROUNDS
    options.out = (options.out or base.ROOT / ("bench" if whole else "target/bench")).resolve()
    base.within(options, measure)


if __name__ == "__main__":
    main()
