#!/usr/bin/env python3
"""What it costs to look up where a host is, one of many, measured beside nginx.

    bench/hosts.py [--seconds 5] [--rounds 5] [--hosts 10000]

Each request names a random host. `memcached-remap` asks a memcached for it, the router `host` and nginx's `map`
have all of them in their configuration. Conditions are those of bench/base.py: one worker each, three origins over
keep-alive connections, an access log in a file; memcached shares the core of wrk and the origins. Any answer but 200,
and any broken connection, ends the run. Needs the release build of the proxy, nginx, wrk and memcached.
"""

import os
import socket
import time

import base


def address(number):
    return f"host-{number}.test"


def fill(port, hosts, origins):
    """Puts the hosts into memcached, as a client of its text protocol does."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    commands = bytearray()
    for number in range(hosts):
        value = f"http://127.0.0.1:{origins[number % len(origins)]}"
        commands += f"set http://{address(number)}:80/ 0 0 {len(value)} noreply\r\n{value}\r\n".encode()
    connection.sendall(commands + b"get http://%b:80/\r\n" % address(hosts - 1).encode())
    answer = b""
    while not answer.endswith(b"END\r\n"):
        more = connection.recv(4096)
        if not more:
            raise base.Trouble("memcached closed the connection")
        answer += more
    if not answer.startswith(b"VALUE "):
        raise base.Trouble(f"memcached does not hold the last host: {answer!r}")


def memcached(bench, hosts, origins):
    port, = base.free_ports(1)
    user = ["-u", "root"] if os.getuid() == 0 else []
    process = bench.start(bench.options.load_core, "memcached", "-l", "127.0.0.1", "-p", port, "-t", 1, *user)
    end = time.monotonic() + 10
    while True:
        try:
            fill(port, hosts, origins)
            return port
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > end:
                raise base.Trouble("memcached does not answer")
            time.sleep(0.02)


def linkspan(bench, name, port, more):
    """A proxy with one router, and what that needs."""
    config = bench.file(
        f"{name}.toml",
        f"""
[log]
level = "warn"
access = "{bench.directory}/{name}.log"
[server]
workers = 1
cache-dir = "{bench.directory}/cache"
[listeners.web]
bind = "127.0.0.1:{port}"
routers = ["by-host"]
{more}
""",
    )
    return bench.start(bench.options.proxy_core, bench.options.program, "-c", config)


def nginx(bench, port, hosts, origins):
    upstreams = "".join(
        f"upstream c{place} {{ server 127.0.0.1:{origin}; keepalive 64; }}\n"
        for place, origin in enumerate(origins)
    )
    entries = "".join(f"{address(number)} c{number % len(origins)};\n" for number in range(hosts))
    return bench.nginx(
        "nginx",
        bench.options.proxy_core,
        f"access_log {bench.directory}/nginx.log; map_hash_max_size {4 * hosts}; map_hash_bucket_size 128;"
        f"{upstreams} map $host $cluster {{ default c0; {entries} }}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://$cluster;"
        f' proxy_http_version 1.1; proxy_set_header Connection ""; }} }}',
    )


def proxies(bench, origins):
    """Processes and ports by name, and the script by which wrk asks for one host after another."""
    options = bench.options
    store = memcached(bench, options.hosts, origins)
    entries = ", ".join(f'"{address(number)}" = "c{number % len(origins)}"' for number in range(options.hosts))
    clusters = "".join(
        f'[clusters.c{place}]\nendpoints = ["127.0.0.1:{origin}"]\n' for place, origin in enumerate(origins)
    )
    ports = base.free_ports(3)
    found = {
        "linkspan, memcached-remap": (
            linkspan(
                bench, "remap", ports[0],
                f"""
[plugins.by-host]
component = "memcached-remap"
config = {{ store = "hosts" }}
grants = {{ stores = ["hosts"], addresses = ["127.0.0.1:*"] }}
[stores.hosts]
type = "memcached"
servers = ["127.0.0.1:{store}"]
timeout = "1s"
""",
            ),
            ports[0],
        ),
        "linkspan, host": (
            linkspan(
                bench, "host", ports[1],
                f'[plugins.by-host]\ncomponent = "host"\nconfig = {{ hosts = {{ {entries} }} }}\n{clusters}',
            ),
            ports[1],
        ),
        "nginx, map": (nginx(bench, ports[2], options.hosts, origins), ports[2]),
    }
    for process, port in found.values():
        base.wait_for(port, process, host=address(0))
    script = bench.file(
        "hosts.lua",
        f"""
local requests = {{}}
function init()
  for number = 0, {options.hosts - 1} do
    requests[number] = wrk.format(nil, nil, {{ Host = "host-" .. number .. ".test" }})
  end
end
function request()
  return requests[math.random(0, {options.hosts - 1})]
end
""",
    )
    return found, script


def hosts(bench):
    origins = base.free_ports(3)
    bench.origins(origins)
    found, script = proxies(bench, origins)
    base.compare(bench, found, "nginx, map", script)


if __name__ == "__main__":
    base.run(__doc__, {"hosts": hosts}, lambda parser: parser.add_argument("--hosts", type=int, default=10_000))
