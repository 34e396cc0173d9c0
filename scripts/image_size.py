#!/usr/bin/env python3
"""How large the server's image is, layer by layer, on a machine without a container engine.

    python3 scripts/image_size.py target/dist/ws-server

It takes apart what the Dockerfile's last stage names: the Debian packages that the base image is made of, in the
versions of today, and what is copied into it. The program tells for which processor. Needs Debian 12 (apt-get and
dpkg-deb, no root). The base image's few files of its own (users, /etc/nsswitch.conf) are not counted: some kilobytes.
"""

import argparse
import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# By the sources of the base images, https://github.com/GoogleContainerTools/distroless: static, base, cc.
STATIC = ["base-files", "netbase", "tzdata", "media-types", "ca-certificates"]
BASE = [*STATIC, "libc6", "libssl3"]
BASES = {"gcr.io/distroless/cc-debian12": [*BASE, "libgomp1", "libstdc++6", "libgcc-s1", "gcc-12-base"]}
RELEASE = "bookworm"
# `e_machine` of a program's header.
PROCESSORS = {0x3E: "amd64", 0xB7: "arm64"}


class Failure(Exception):
    """Why there is no figure; the text is for whoever asked."""


@dataclass(frozen=True)
class Layer:
    """Bytes of the files, and of the layer as it is pulled."""

    name: str
    files: int
    pulled: int

    @classmethod
    def of(cls, name, tar):
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            files = sum(member.size for member in archive if member.isfile())
        return cls(name, files, len(gzip.compress(tar, 6)))


def last_stage(dockerfile):
    """The base image without its tag, and what is copied: pairs of source and target."""
    stage = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[-1]
    base = stage.split()[0].rpartition(":")[0]
    copies = []
    for line in re.findall(r"^(?:COPY|ADD) (.+)$", stage, flags=re.MULTILINE):
        *sources, target = [word for word in line.split() if not word.startswith("--")]
        copies += [(source, target) for source in sources]
    return base, copies


def processor(program):
    header = program.read_bytes()[:20]
    found = PROCESSORS.get(int.from_bytes(header[18:20], "little")) if header[:4] == b"\x7fELF" else None
    if found is None:
        raise Failure(f"{program} is no program for {' or '.join(PROCESSORS.values())}")
    return found


def run(*command, cwd=None):
    try:
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise Failure(f"{command[0]} is needed, as Debian has it") from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode().strip().splitlines()[-1:]
        raise Failure(f"{command[0]} failed: {''.join(last)}") from None


def packages(names, architecture, folder):
    """The files of Debian packages by name. What is there is kept, and nothing is installed."""
    if f"VERSION_CODENAME={RELEASE}" not in Path("/etc/os-release").read_text().splitlines():
        raise Failure(f"this is not Debian's {RELEASE}, which the base image is made of")
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    settings = {
        "APT::Architecture": architecture, "APT::Architectures": architecture, "APT::Sandbox::User": "root",
        "Dir::State": folder, "Dir::State::status": folder / "status", "Dir::Cache": folder, "Debug::NoLocking": 1,
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    missing = [name for name in names if not list(folder.glob(f"{name}_*.deb"))]
    if missing:
        run("apt-get", *options, "-qq", "update")
        run("apt-get", *options, "-qq", "download", *missing, cwd=folder)
    return {name: next(folder.glob(f"{name}_*.deb")) for name in names}


def packed(program, path):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.add(program, arcname=path.lstrip("/"))
    return tar.getvalue()


def layers(dockerfile, program, folder):
    """The layers of the image, those of the base first."""
    base, copies = last_stage(dockerfile)
    if base not in BASES:
        raise Failure(f"it is not known what {base} is made of")
    for source, _ in copies:
        if Path(source).name != program.name:
            raise Failure(f"the image has {source}, too, which is not {program}")
    architecture = processor(program)
    debs = packages(BASES[base], architecture, folder / architecture)
    made = [Layer.of(name, run("dpkg-deb", "--fsys-tarfile", deb)) for name, deb in debs.items()]
    return base, architecture, made, [Layer.of(target, packed(program, target)) for _, target in copies]


def total(name, parts):
    return Layer(name, sum(part.files for part in parts), sum(part.pulled for part in parts))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    program = parser.parse_args(argv).program
    folder = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "image-size"
    try:
        base, architecture, below, own = layers((REPOSITORY / "Dockerfile").read_text(), program, folder.resolve())
    except (Failure, OSError) as error:
        print(f"image_size: {error}", file=sys.stderr)
        return 1
    print(f"{architecture:28} {'files, MB':>10} {'gzip, MB':>10}")
    for layer in [*below, total(f"{base.rpartition('/')[2]}, together", below), *own, total("the image", [*below, *own])]:
        print(f"{layer.name:28} {layer.files / 1e6:10.2f} {layer.pulled / 1e6:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
