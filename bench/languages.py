#!/usr/bin/env python3
"""What a balancer costs in each language: the one of examples/languages.

    bench/languages.py [--languages rust,c,js,python,go] [--rounds 5] [--seconds 5]

Builds each, then tells its size; the CPU time to compile it; how much later a proxy listens that loads it from the
cache than one with a built-in balancer; the time of a call of `pick`, as the access log has it, over all requests of
the rounds; and the memory of a proxy with one worker. Conditions are those of bench/base.py. Needs the release build
of the proxy, nginx, wrk, and what the languages need: `tools/languages.sh c js python` fetches most of it.
"""

import json
import os
import statistics
import subprocess
import sys

import base

TOOLS = base.ROOT / "target/languages"


def built(language):
    folder = base.ROOT / "examples/languages" / language
    subprocess.run(["make", "--silent", "-C", folder, f"TOOLS={TOOLS}"], check=True, stdout=sys.stderr)
    return folder / "by-path.wasm"


def compile_seconds(bench, component):
    """The CPU time of the process that the proxy starts to compile a component."""
    with component.open("rb") as source:
        process = bench.start(
            bench.options.proxy_core, bench.options.program, "compile", 600, 4 << 30, stdin=source
        )
    _, status, usage = os.wait4(process.pid, 0)
    bench.processes.remove(process)
    if status:
        sys.exit(f"{component} cannot be compiled")
    return usage.ru_utime + usage.ru_stime


def config(bench, name, port, origins, component):
    """A configuration with a component as the balancer, or with a built-in one."""
    directory = bench.directory / name
    directory.mkdir()
    if component:
        (directory / "by-path.wasm").symlink_to(component)
    endpoints = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
    return bench.file(
        f"{name}.toml",
        f"""
[log]
level = "warn"
access = "{bench.directory}/{name}.log"
[server]
workers = 1
cache-dir = "{bench.directory}/cache"
plugin-dir = "{directory}"
compile-timeout = "10m"
[listeners.web]
bind = "127.0.0.1:{port}"
default-cluster = "main"
[clusters.main]
endpoints = [{endpoints}]
balancer = "{'by-path' if component else 'first-alive'}"
""",
    )


def start_seconds(bench, configuration):
    """How long a proxy takes until it listens, with the compiled form of its components in the cache."""
    took = []
    for _ in range(1 + bench.options.rounds):
        process, seconds = base.start_time(bench, configuration)
        took.append(seconds)
        bench.stop(process)
    # The first one fills the cache.
    return statistics.median(took[1:])


def call(bench, name, port, configuration):
    """The median time of a call in microseconds, and the memory of the proxy in MiB."""
    process, _ = base.start_time(bench, configuration)
    base.wait_for(port, process)
    for _ in range(bench.options.rounds):
        base.load(bench, port, bench.options.seconds)
    memory = base.memory(process.pid, "VmRSS")
    bench.stop(process)
    times = []
    for line in (bench.directory / f"{name}.log").open():
        for plugin in json.loads(line)["plugins"]:
            if "failed" in plugin:
                sys.exit(f"{name}: {line}")
            times.append(plugin["us"])
    return statistics.median(times), memory


def languages(bench):
    origins = base.free_ports(2)
    bench.origins(origins)
    plain = start_seconds(bench, config(bench, "built-in", 0, origins, None))
    print(f"{bench.options.rounds} rounds; load average {os.getloadavg()[0]:.1f}")
    print("| language | size | compiled in | loaded in | per call | memory |")
    print("|---|---|---|---|---|---|")
    for language in bench.options.languages.split(","):
        component = built(language)
        compiling = statistics.median(compile_seconds(bench, component) for _ in range(bench.options.rounds))
        (port,) = base.free_ports(1)
        configuration = config(bench, language, port, origins, component)
        loading = start_seconds(bench, configuration) - plain
        pick, memory = call(bench, language, port, configuration)
        print(
            f"| {language} | {component.stat().st_size / 1e3:.0f} kB | {compiling:.2f} s"
            f" | {max(loading, 0) * 1e3:.1f} ms | {pick:.1f} us | {memory:.0f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    base.run(
        __doc__,
        {"languages": languages},
        lambda parser: parser.add_argument("--languages", default="rust,c,js,python"),
    )
