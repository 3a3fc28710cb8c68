"""Stream router: what begins as SSH does goes to the cluster `ssh`, what else comes to `main`."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.stream_router import Decision_Forward, Decision_Wait, Target, Upstream_Cluster


class Lifecycle(exports.Lifecycle):
    def configure(self, config):
        if config != "{}":
            raise Err(f"expected no keys, found {config}")


class StreamRouter(exports.StreamRouter):
    def accepted(self, id):
        return None

    def decide(self, id, bytes, ended):
        if len(bytes) < 4 and not ended:
            return Decision_Wait()
        cluster = "ssh" if bytes.startswith(b"SSH-") else "main"
        return Decision_Forward(Target([Upstream_Cluster(cluster)], None, None, None, None))

    def failed(self, id, upstream, trouble):
        pass
