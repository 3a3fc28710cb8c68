"""Balancer: every path has its endpoint."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.balancer import Choice_Endpoint, Choice_None_
from wit_world.imports import hashing
from wit_world.imports.hashing import Key_Path
from wit_world.imports.types import Picked

# The endpoints in the order of the configuration, and whether they may be used.
endpoints = []


class Lifecycle(exports.Lifecycle):
    def configure(self, config):
        if config != "{}":
            raise Err(f"expected no keys, found {config}")


class Balancer(exports.Balancer):
    def update(self, cluster, all):
        endpoints[:] = [[each.id, each.state.usable] for each in all]

    def changed(self, cluster, states):
        usable = {id: state.usable for id, state in states}
        for each in endpoints:
            each[1] = usable.get(each[0], each[1])

    def pick(self, cluster, attempt, previous):
        usable = [id for id, usable in endpoints if usable]
        if not usable:
            return Choice_None_()
        # Where one could not be connected to, the next is tried.
        place = ((hashing.crc32(Key_Path()) or 0) + attempt) % len(usable)
        return Choice_Endpoint(Picked(usable[place], 0))
