"""Where proxies are measured: the origins, the proxies that are here, and turns among them."""

import multiprocessing
import os
import re
import resource

import base
import peers
import report

# What is measured beside the main table has so many rounds at most, each of so many seconds at most.
SIDE_ROUNDS, SIDE_SECONDS = 3, 2


class Field:
    """The origins and all who send, on their core, and proxies on theirs."""

    def __init__(self, bench):
        self.bench, self.options = bench, bench.options
        os.sched_setaffinity(0, {self.options.load_core})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.origins = base.free_ports(3)
        bench.origins(self.origins, connections=3 * peers.CONNECTIONS)
        # By name: the version of who is here, and why the others are not.
        self.versions, self.missing, self.started = {}, {}, 0
        for name, peer in peers.PEERS.items():
            try:
                self.versions[name] = peers.version(bench, peer)
            except base.Trouble as trouble:
                self.missing[name] = str(trouble)

    def start(self, names, path=base.PATH, tag="", **setup):
        """Starts those of some names that are here: processes and ports by name. Who does not serve is missing
        from then on; Linkspan may not be."""
        setup = peers.Setup(**{"origins": self.origins, **setup})
        found = {}
        for name in names:
            if name not in self.versions:
                continue
            self.started += 1
            port, = base.free_ports(1)
            file = re.sub(r"\W+", "-", f"{name} {tag} {self.started}")
            try:
                process = peers.PEERS[name].start(self.bench, file, port, setup)
                base.wait_for(port, process, path=path)
            except base.Trouble as trouble:
                if not peers.PEERS[name].need:
                    raise
                self.missing[f"{name}{tag and f', {tag}'}"] = str(trouble)
                continue
            found[name] = process, port
        return found

    def stop(self, proxies):
        for process, _ in proxies.values():
            self.bench.stop(process)

    def seconds(self, most=None):
        return min(self.options.seconds, most or self.options.seconds)

    def rounds(self, works, most=None, longer=1):
        """Every work in turns, each of which is given the seconds that it may take, after each process was warmed up:
        see `base.rounds`. Of a scenario beside the main one there are fewer turns, and they are shorter, or so many
        times as long."""
        warm = set()
        for process, work in works.values():
            if process.pid not in warm:
                warm.add(process.pid)
                try:
                    work(1)
                except base.Trouble:
                    # It is told of when its turn comes.
                    pass
        seconds = longer * self.seconds(most and SIDE_SECONDS)
        timed = {name: (process, lambda work=work: work(seconds)) for name, (process, work) in works.items()}
        return base.rounds(self.bench, timed, most)

    def grid(self, title, unit, variants, note="", scale=1, growth=False, longer=1):
        """What each of some variants costs who is there: `variants` are works by name, by variant."""
        flat = {(variant, name): work for variant, works in variants.items() for name, work in works.items()}
        costs, rates, failed = self.rounds(flat, SIDE_ROUNDS, longer)
        rows = {variant: {} for variant in variants}
        for (variant, name), values in costs.items():
            rows[variant][name] = [value * scale for value in values]
        faults = [f"{name}, {variant}: {trouble}" for (variant, name), trouble in failed.items()]
        return report.Grid(title, unit, rows, peers.THREE, note, faults, growth)

    def wrk(self, port, **how):
        """What loads a port with wrk."""
        return lambda seconds: base.load(self.bench, port, seconds, **how)

    def origin(self, serve):
        """Starts an origin that is a function of its port, in a process of its own. Gives the port."""
        port, = base.free_ports(1)
        multiprocessing.Process(target=serve, args=(port,), daemon=True).start()
        return port

    def clear(self, before):
        """Ends whatever a scenario has left: processes that were not there before it, and origins."""
        for process in [each for each in self.bench.processes if each not in before]:
            self.bench.stop(process)
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
