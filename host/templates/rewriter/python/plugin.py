"""Rewriter: requests and responses carry the name of this plugin."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.edits import Edit_Set
from wit_world.imports.types import Field


class Lifecycle(exports.Lifecycle):
    def configure(self, config):
        if config != "{}":
            raise Err(f"expected no keys, found {config}")


class RequestRewriter(exports.RequestRewriter):
    def on_request(self):
        return [Edit_Set(Field("x-plugin", b"by-path"))]


class ResponseRewriter(exports.ResponseRewriter):
    def on_response(self):
        return [Edit_Set(Field("x-plugin", b"by-path"))]
