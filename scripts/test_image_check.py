"""What the check of the image takes from the Dockerfile, and what it refuses."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import image_bases
import image_check
import image_run
from image_size import BASES, REPOSITORY, Failure

SERVER = "/usr/local/bin/ws-server"
CONFIG = {
    "User": "65532:65532", "Entrypoint": [SERVER], "ExposedPorts": {"8080/tcp": {}, "8090/tcp": {}},
    "Healthcheck": {"Test": ["CMD", SERVER, "health-check"]},
}


class Bases(unittest.TestCase):
    def test_both_are_named_by_the_dockerfile_and_the_one_below_is_known(self):
        builder, base = image_bases.names((REPOSITORY / "Dockerfile").read_text())
        self.assertRegex(builder, r"^rust:[\d.]+-bookworm$")
        self.assertIn(base.rpartition(":")[0], BASES)


class Configuration(unittest.TestCase):
    def test_it_is_nobody_and_checks_itself(self):
        image_check.check_config(CONFIG)
        for other in ({"User": ""}, {"Entrypoint": ["/bin/sh"]}, {"Healthcheck": {"Test": ["NONE"]}}):
            with self.assertRaises(Failure):
                image_check.check_config({**CONFIG, **other})


class Files(unittest.TestCase):
    def check(self, **modes):
        with tempfile.TemporaryDirectory() as folder:
            for name, mode in {"ws-server": 0o755, "ld.so.2": 0o755, **modes}.items():
                path = Path(folder) / name
                path.write_bytes(b"\x7fELF")
                path.chmod(mode)
            with contextlib.redirect_stdout(io.StringIO()):
                image_check.check_files(Path(folder))

    def test_the_server_is_the_only_program(self):
        self.check()
        with self.assertRaisesRegex(Failure, "bash"):
            self.check(bash=0o755)

    def test_nothing_makes_root_of_anybody(self):
        with self.assertRaisesRegex(Failure, "special rights: .*/strange"):
            self.check(strange=0o4644)


class Closing(unittest.TestCase):
    def test_the_code_comes_after_what_was_said_before(self):
        text, long = b"\x81\x02hi", b"\x81\x7e\x01\x00" + bytes(256)
        self.assertEqual(image_run.close_code(io.BytesIO(text + long + b"\x88\x02\x03\xf4")), 1012)
        self.assertIsNone(image_run.close_code(io.BytesIO(text)))


if __name__ == "__main__":
    unittest.main()
