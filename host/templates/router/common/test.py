"""Tries the router in a Linkspan of its own: `make test`."""

import unittest

from proxy import Origin, Proxy

CONFIG = """
[listeners.web]
bind = "127.0.0.1:0"
routers = ["by-path"]
default-cluster = "main"

[clusters.main]
endpoints = ["{}"]

[clusters.api]
endpoints = ["{}"]

[plugins.by-path]
on-failure = "reject"
"""


class Test(unittest.TestCase):
    def test_a_prefix_decides(self):
        with Origin("main") as main, Origin("api") as api:
            with Proxy(CONFIG.format(main.address, api.address)) as proxy:
                self.assertEqual(proxy.get("/api/users")[2], "api")
                self.assertEqual(proxy.get("/apis")[2], "main")
                self.assertEqual(proxy.get("/")[2], "main")


if __name__ == "__main__":
    unittest.main()
