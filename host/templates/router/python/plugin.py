"""Router: what begins with `/api/` goes to the cluster `api`."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.router import Decision_Forward, Decision_Next, Target, Upstream_Cluster
from wit_world.imports import request


class Lifecycle(exports.Lifecycle):
    def configure(self, config):
        if config != "{}":
            raise Err(f"expected no keys, found {config}")


class Router(exports.Router):
    def route(self):
        if not request.path().startswith("/api/"):
            return Decision_Next()
        return Decision_Forward(Target(Upstream_Cluster("api"), host=None, path=None))
