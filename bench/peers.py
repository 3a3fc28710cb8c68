"""Linkspan and the proxies that it is measured beside: whether each is there, and how it is started.

All do the same: one thread or worker, an access log in a file, three origins by turns over connections that are kept
alive, the same header added to requests and to responses, X-Forwarded-For, and as many rules by regular expressions
of which the last one matches. (What a proxy adds by itself stays: Via and a date, and further X-Forwarded-*.) Where one
cannot do a part of that, its `lacks` says so, and the report repeats it.
"""

import dataclasses
import os
import re
import shutil
import subprocess

import base
import envoy

THREE, ALONE, BARE = "linkspan, three plugins", "linkspan, round-robin alone", "linkspan, first-alive alone"

# What all expressions but the last are of, and that, which is what requests match.
OTHER_RULE, LAST_RULE = r"^/app{}/.*\.php$", r"\.(jpg|png|css|js|html)$"

# So many connections to origins may be kept, which is more than there are.
POOL = 4096

# Connections that a proxy has to bear, and half of the descriptors that an ordinary user may have.
CONNECTIONS = 9000


@dataclasses.dataclass
class Setup:
    """What is the same for all."""

    origins: list
    rules: int = 20
    headers: int = 1
    workers: int = 1
    # Whether connections can become WebSockets.
    upgrades: bool = False

    def expressions(self):
        """The expression and the cluster of each rule."""
        return [(OTHER_RULE.format(each), "php") for each in range(self.rules - 1)] + [(LAST_RULE, "static")]

    def suffixes(self):
        """Of the names of headers, as many as are to be added."""
        return ["", *map(str, range(1, self.headers))]

    def pool(self):
        return max(POOL, 2 * len(self.origins))


@dataclasses.dataclass
class Peer:
    """A proxy: what `tools/need.sh` calls it, how its version is asked for, how it is started, and what it lacks."""

    need: str
    version: list
    start: object
    lacks: str = ""


def linkspan(chain):
    def start(bench, name, port, setup):
        rules = ", ".join(f"{{ match = ['{match}'], cluster = \"{to}\" }}" for match, to in setup.expressions())
        config = bench.linkspan_config(
            name, port, setup.origins, chain,
            router=f'[plugins.by-path]\ncomponent = "regex-match"\nconfig = {{ rules = [ {rules} ] }}\n',
            rewriters=setup.suffixes(),
            listener=f"max-connections = {CONNECTIONS}",
            cluster=f'max-idle-per-endpoint = {POOL}\nforwarded-headers = ["x-forwarded-for"]',
            workers=setup.workers,
        )
        return bench.start(bench.options.proxy_core, bench.options.program, "-c", config)

    return start


def nginx(lua):
    def start(bench, name, port, setup):
        servers = "".join(f"server 127.0.0.1:{origin};" for origin in setup.origins)
        modules = ""
        if lua:
            modules = base.nginx_module("ndk_http_module") + base.nginx_module("ngx_http_lua_module")
            ports = ", ".join(map(str, setup.origins))
            # The server is there because one has to be.
            servers = f"""
server 0.0.0.1;
balancer_by_lua_block {{
  turn = (turn or 0) % #ports + 1
  require("ngx.balancer").set_current_peer("127.0.0.1", ports[turn])
}}
"""
        kept = f"keepalive {setup.pool()}; keepalive_requests 1000000000;"
        upstreams = "".join(f"upstream {to} {{ {servers} {kept} }}\n" for to in ("php", "static"))
        locations = "".join(
            f'location ~ "{match}" {{ proxy_pass http://{to}; }}\n' for match, to in setup.expressions()
        )
        headers = "".join(
            f"proxy_set_header x-bench{each} 1; add_header x-proxy{each} nginx;" for each in setup.suffixes()
        )
        upgrade = "proxy_set_header Upgrade $http_upgrade;" if setup.upgrades else ""
        connection = "$connection_upgrade" if setup.upgrades else '""'
        return bench.nginx(
            name,
            bench.options.proxy_core,
            f"access_log {bench.directory}/{name}.log; client_max_body_size 0;"
            "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"
            + (f"init_by_lua_block {{ ports = {{ {ports} }} }}" if lua else "") + upstreams +
            f"server {{ listen 127.0.0.1:{port} backlog=4096; proxy_http_version 1.1;"
            f" proxy_set_header Connection {connection}; {upgrade} proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; {headers}"
            # Bodies are passed on as they come, as by the others, and are not written to files.
            f" proxy_request_buffering off; proxy_max_temp_file_size 0; {locations} }}",
            connections=2 * CONNECTIONS,
            modules=f"{modules} pcre_jit on;",
        )

    return start


def haproxy(lua):
    def start(bench, name, port, setup):
        load = choice = ""
        if lua:
            names = ", ".join(f'"s{place}"' for place in range(len(setup.origins)))
            script = bench.file(
                f"{name}.lua",
                f"local names, turn = {{ {names} }}, 0\n"
                "core.register_fetches('pick', function() turn = turn % #names + 1 return names[turn] end)\n",
            )
            load, choice = f"lua-load {script}", "use-server %[lua.pick] if TRUE"
        servers = "\n".join(f"  server s{place} 127.0.0.1:{port}" for place, port in enumerate(setup.origins))
        backends = "".join(
            f"backend {to}\n  balance roundrobin\n  {choice}\n{servers}\n" for to in ("php", "static")
        )
        rules = "\n".join(f"  use_backend {to} if {{ path_reg {match} }}" for match, to in setup.expressions())
        headers = "\n".join(
            f"  http-request set-header x-bench{each} 1\n  http-response set-header x-proxy{each} haproxy"
            for each in setup.suffixes()
        )
        config = bench.file(
            f"{name}.cfg",
            f"""
global
  nbthread {setup.workers}
  maxconn {CONNECTIONS}
  {load}
  # Into what standard output is: a file, a line with a call of its own, as the others do it.
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  http-reuse always
frontend web
  bind 127.0.0.1:{port} backlog 4096
{headers}
{rules}
  default_backend static
{backends}
""".replace("\n  \n", "\n"),
        )
        with open(bench.directory / f"{name}.log", "ab") as log:
            return bench.start(bench.options.proxy_core, "haproxy", "-db", "-f", config, stdout=log)

    return start


def lighttpd(bench, name, port, setup):
    hosts = ", ".join(f'( "host" => "127.0.0.1", "port" => {origin} )' for origin in setup.origins)
    rules = "\n".join(
        f'$HTTP["url"] =~ "{match}" {{ proxy.server = ( "" => ( {hosts} ) ) }}' for match, _ in setup.expressions()
    )
    pairs = lambda field, value: ", ".join(f'"{field}{each}" => "{value}"' for each in setup.suffixes())
    config = bench.file(
        f"{name}.conf",
        f"""
server.modules = ( "mod_setenv", "mod_accesslog", "mod_proxy" )
server.document-root = "{bench.directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.listen-backlog = 4096
server.max-connections = {CONNECTIONS}
server.max-fds = {2 * CONNECTIONS}
server.max-keep-alive-requests = 65535
server.errorlog = "{bench.directory}/{name}-errors.log"
server.stream-request-body = 2
server.stream-response-body = 2
accesslog.filename = "{bench.directory}/{name}.log"
setenv.set-request-header = ( {pairs("x-bench", "1")} )
setenv.set-response-header = ( {pairs("x-proxy", "lighttpd")} )
proxy.balance = "round-robin"
proxy.header = ( "upgrade" => "{'enable' if setup.upgrades else 'disable'}" )
{rules}
""",
    )
    return bench.start(bench.options.proxy_core, "lighttpd", "-D", "-f", config)


def traffic_server(bench, name, port, setup):
    folder = bench.directory / name
    for each in ("etc", "log", "run", "cache"):
        (folder / each).mkdir(parents=True)
    etc = folder / "etc"
    places = {
        "prefix": folder, "exec_prefix": folder, "bindir": "/usr/bin", "sbindir": "/usr/bin", "sysconfdir": etc,
        "datadir": etc, "includedir": folder, "libdir": "/usr/lib/trafficserver", "localstatedir": folder / "run",
        "libexecdir": "/usr/lib/trafficserver/modules", "runtimedir": folder / "run", "logdir": folder / "log",
        "mandir": folder, "infodir": folder, "cachedir": folder / "cache",
    }
    (folder / "runroot.yaml").write_text("".join(f"{key}: {value}\n" for key, value in places.items()))
    records = {
        "exec_thread.autoconfig INT": 0,
        "exec_thread.limit INT": setup.workers,
        "accept_threads INT": 0,
        "http.server_ports STRING": f"{port}:ip-in=127.0.0.1",
        "http.cache.http INT": 0,
        "http.insert_squid_x_forwarded_for INT": 1,
        # Origins on this machine are not itself.
        "http.parent_proxy.self_detect INT": 0,
        "http.no_dns_just_forward_to_parent INT": 1,
        "url_remap.pristine_host_hdr INT": 1,
        "net.connections_throttle INT": 2 * CONNECTIONS,
        "net.listen_backlog INT": 4096,
        # It stays who it is.
        "admin.user_id STRING": "#-1",
        "crash_log_helper STRING": "NULL",
        "log.logging_enabled INT": 2,
        "log.rolling_enabled INT": 0,
        "http.keep_alive_no_activity_timeout_out INT": 600,
    }
    (etc / "records.config").write_text("".join(f"CONFIG proxy.config.{key} {each}\n" for key, each in records.items()))
    (etc / "logging.yaml").write_text(
        "logging:\n  formats:\n  - name: common\n"
        "    format: '%<chi> - %<caun> [%<cqtn>] \"%<cqtx>\" %<pssc> %<pscl>'\n"
        "  logs:\n  - { filename: access, format: common, mode: ascii }\n"
    )
    (etc / "rules.config").write_text("".join(f"{match} http://{to}.test/$P\n" for match, to in setup.expressions()))
    (etc / "headers.config").write_text(
        "".join(f'set-header x-bench{each} "1"\n' for each in setup.suffixes())
        + "cond %{SEND_RESPONSE_HDR_HOOK}\n"
        + "".join(f'  set-header x-proxy{each} "trafficserver"\n' for each in setup.suffixes())
    )
    (etc / "remap.config").write_text(
        "map / http://static.test/ @plugin=regex_remap.so @pparam=rules.config @pparam=no-query-string"
        " @plugin=header_rewrite.so @pparam=headers.config\n"
    )
    parents = ";".join(f"127.0.0.1:{origin}" for origin in setup.origins)
    (etc / "parent.config").write_text(
        f'dest_domain=. parent="{parents}" round_robin=strict go_direct=false parent_is_proxy=false\n'
    )
    (etc / "ip_allow.yaml").write_text(
        "ip_allow:\n- { apply: in, ip_addrs: 127.0.0.0/8, action: allow, methods: ALL }\n"
        "- { apply: out, ip_addrs: 127.0.0.0/8, action: allow, methods: ALL }\n"
    )
    for empty in ("plugin.config", "storage.config"):
        (etc / empty).touch()
    return bench.start(
        bench.options.proxy_core, "traffic_server", f"--run-root={folder}/runroot.yaml", stderr=subprocess.DEVNULL
    )


def plain_envoy(extra):
    def start(bench, name, port, setup):
        config = bench.file(f"{name}.json", envoy.config(bench, name, port, setup, extra))
        options = ["--concurrency", setup.workers, "--use-dynamic-base-id", "--log-level", "off"]
        return bench.start(
            bench.options.proxy_core, envoy.program(), *options, "-c", config, stderr=subprocess.DEVNULL
        )

    return start


NGINX, HAPROXY, ENVOY = "nginx", "haproxy", "envoy"
PEERS = {
    THREE: Peer("", [], linkspan(["router", "rewriter"])),
    ALONE: Peer("", [], linkspan([]), "rules and headers, by intent"),
    BARE: Peer("", [], linkspan(["first-alive"]), "rules, headers and turns, by intent"),
    NGINX: Peer("nginx", ["nginx", "-v"], nginx(False)),
    "nginx, Lua": Peer("nginx-lua", ["nginx", "-v"], nginx(True)),
    HAPROXY: Peer("haproxy", ["haproxy", "-v"], haproxy(False)),
    "haproxy, Lua": Peer("haproxy", ["haproxy", "-v"], haproxy(True)),
    "lighttpd": Peer("lighttpd", ["lighttpd", "-v"], lighttpd, "connections to origins that are kept alive"),
    "trafficserver": Peer("traffic_server", ["traffic_server", "-V"], traffic_server),
    ENVOY: Peer("envoy", ["--version"], plain_envoy(None)),
    "envoy, Lua": Peer("envoy", ["--version"], plain_envoy("lua")),
    "envoy, proxy-wasm": Peer("envoy", ["--version"], plain_envoy("wasm")),
}


def version(bench, peer):
    """What version of a peer is here. Raises what is to be said where there is none."""
    command = [bench.options.program, "--version"] if not peer.need else peer.version
    if peer.need == "envoy":
        command = [envoy.program(), *command]
    if not shutil.which(command[0]):
        raise base.Trouble(f"not here: tools/need.sh {peer.need}")
    if peer.need == "nginx-lua":
        base.nginx_module("ngx_http_lua_module")
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return re.search(r"\d+(\.\d+)+", said.stdout + said.stderr).group()
