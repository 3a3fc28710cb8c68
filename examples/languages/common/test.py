"""Tries the balancer in a Linkspan of its own: `make test`."""

import unittest

from proxy import Origin, Proxy

CONFIG = """
[listeners.web]
bind = "127.0.0.1:0"
default-cluster = "main"

[clusters.main]
endpoints = ["{}", "{}"]
balancer = "by-path"

[plugins.by-path]
on-failure = "reject"
"""


class Test(unittest.TestCase):
    def test_every_path_has_its_endpoint(self):
        with Origin("one") as one, Origin("two") as two:
            with Proxy(CONFIG.format(one.address, two.address)) as proxy:
                answers = [proxy.get(f"/{number}") for number in range(20)]
                self.assertEqual({status for status, _, _ in answers}, {200})
                texts = [text for _, _, text in answers]
                self.assertEqual(set(texts), {"one", "two"})
                again = [proxy.get(f"/{number}")[2] for number in range(20)]
                self.assertEqual(texts, again)


if __name__ == "__main__":
    unittest.main()
