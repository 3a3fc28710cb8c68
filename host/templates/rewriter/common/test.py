"""Tries the rewriter in a Linkspan of its own: `make test`."""

import unittest

from proxy import Origin, Proxy

CONFIG = """
[listeners.web]
bind = "127.0.0.1:0"
default-cluster = "main"
rewriters = ["by-path"]

[clusters.main]
endpoints = ["{}"]

[plugins.by-path]
on-failure = "reject"
"""


class Test(unittest.TestCase):
    def test_requests_and_responses_carry_a_field(self):
        with Origin("main") as main, Proxy(CONFIG.format(main.address)) as proxy:
            status, fields, _ = proxy.get("/")
            self.assertEqual((status, fields["x-plugin"]), (200, "by-path"))
            self.assertEqual(main.fields["x-plugin"], "by-path")


if __name__ == "__main__":
    unittest.main()
