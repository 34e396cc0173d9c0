"""What `make` alone prints: a line for each of the Makefile's targets."""

import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def make(*arguments):
    """What make prints, not as part of another make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout


class Help(unittest.TestCase):
    def test_help_has_a_line_for_each_target(self):
        lines = make("help").splitlines()
        described = dict(re.fullmatch(r"  make (\S+) +(\S.*)", line).groups() for line in lines)
        self.assertEqual(len(described), len(lines), "each target comes once")
        makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
        targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
        self.assertEqual(sorted(described), sorted(targets))
        self.assertEqual(described["test"], "Everything that must hold before a change lands.")

    def test_make_alone_prints_help(self):
        # What would be run otherwise is printed, not run.
        self.assertEqual(make("--dry-run"), make("--dry-run", "help"))
        self.assertEqual(make(), make("help"))


if __name__ == "__main__":
    unittest.main()
