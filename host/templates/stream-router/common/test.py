"""Has Linkspan look at the stream router: `make test`.

The Linkspan that wrote this does not serve TCP yet, so there is nothing to try it in.
"""

import json
import subprocess
import unittest

from proxy import LINKSPAN


class Test(unittest.TestCase):
    def test_linkspan_knows_it(self):
        command = [LINKSPAN, "inspect", "--json", "by-path.wasm"]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        self.assertEqual(report["kinds"], ["stream-router"])
        self.assertEqual(report["needs"], [])


if __name__ == "__main__":
    unittest.main()
