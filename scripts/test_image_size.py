"""What the measure of the image takes from the Dockerfile, and what it refuses."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import image_size

DOCKERFILE = (image_size.REPOSITORY / "Dockerfile").read_text()


def program(folder, header):
    path = Path(folder) / "ws-server"
    path.write_bytes(header)
    return path


class Dockerfile(unittest.TestCase):
    def test_its_last_stage_is_a_base_that_is_known_and_the_server(self):
        base, copies = image_size.last_stage(DOCKERFILE)
        self.assertIn(base, image_size.BASES)
        self.assertEqual(copies, [("/ws-server", "/usr/local/bin/ws-server")])

    def test_what_else_is_copied_is_not_passed_over(self):
        with tempfile.TemporaryDirectory() as folder:
            server = program(folder, b"")
            more = DOCKERFILE.replace("USER", "COPY --from=build --chown=1 /ws-server /other /usr/local/bin/\nUSER")
            with self.assertRaisesRegex(image_size.Failure, "the image has /other, too"):
                image_size.layers(more, server, Path(folder))
            with self.assertRaisesRegex(image_size.Failure, "not known what example/base is made of"):
                image_size.layers("FROM build AS x\nFROM example/base:1\n", server, Path(folder))


class Layers(unittest.TestCase):
    def test_the_program_tells_the_processor(self):
        elf = b"\x7fELF" + bytes(14)
        with tempfile.TemporaryDirectory() as folder:
            for machine, name in ((b"\x3e\0", "amd64"), (b"\xb7\0", "arm64")):
                self.assertEqual(image_size.processor(program(folder, elf + machine)), name)
            for other in (b"#!/bin/sh", b"", elf + b"\xf3\0"):
                with self.assertRaisesRegex(image_size.Failure, "is no program for amd64 or arm64"):
                    image_size.processor(program(folder, other))

    def test_a_layer_counts_its_files_and_what_is_pulled(self):
        with tempfile.TemporaryDirectory() as folder:
            server = program(folder, bytes(100_000))
            layer = image_size.Layer.of("server", image_size.packed(server, "/usr/local/bin/ws-server"))
        self.assertEqual(layer.files, 100_000)
        self.assertLess(layer.pulled, 1_000)


class Command(unittest.TestCase):
    def test_no_program_is_refused_in_one_line(self):
        error = io.StringIO()
        with contextlib.redirect_stderr(error):
            self.assertEqual(image_size.main(["/nowhere/ws-server"]), 1)
        self.assertRegex(error.getvalue(), r"^image_size: [^\n]*/nowhere/ws-server[^\n]*\n$")


if __name__ == "__main__":
    unittest.main()
