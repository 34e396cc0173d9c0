#!/usr/bin/env python3
"""Builds the server's image as the Dockerfile says, looks at it, and runs it as Fargate would.

    python3 scripts/image_check.py target/release/roomcast-local

For machines without Docker: on Debian 12, as root, with `apt-get install --no-install-recommends buildah debootstrap` and
rustup's toolchain of the version in the Dockerfile (for another processor also its target, and qemu-user). The first time it
takes half an hour on two cores, and 8 GB below target/image-check, which is to be removed when the toolchain changes. The
program that is named plays AWS for the node.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from image_bases import Engine, make_bases, names
from image_size import REPOSITORY, Failure, run
from image_run import Machine, check_node

IMAGE = "localhost/roomcast-checked"
# What a source file gets for the second build.
CHANGE = "\n// Nothing, but another file for the builder.\n"


def say(what):
    print(what, flush=True)


def sources(context, base, architecture):
    """What git knows of the repository, as it is now. A stage whose platform the Dockerfile leaves open has the one that is built
    for; this buildah gives it that of the stage before."""
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    run("sh", "-c", 'git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$0"', context, cwd=REPOSITORY)
    dockerfile = context / "Dockerfile"
    text = dockerfile.read_text().replace(f"\nFROM {base}\n", f"\nFROM --platform=linux/{architecture} {base}\n")
    dockerfile.write_text(text)


def here():
    """This machine's processor, as images name it."""
    return run("dpkg", "--print-architecture").decode().strip()


def build(engine, context, architecture, log):
    """Seconds that it took, and the steps that were not built again."""
    # OCI's own format knows no HEALTHCHECK. Docker names the platform that it builds on by itself; this buildah does not.
    command = [*engine.command, "build", "--isolation=chroot", "--format=docker", "--layers", "--pull-never"]
    command += [f"--build-arg=BUILDPLATFORM=linux/{here()}"]
    start = time.monotonic()
    with log.open("w") as out:
        done = subprocess.run([*command, f"--platform=linux/{architecture}", f"--tag={IMAGE}", context], stdout=out, stderr=out)
    if done.returncode != 0:
        raise Failure(f"the image cannot be built: {log}")
    steps = log.read_text().split("STEP ")[1:]
    return time.monotonic() - start, [step for step in steps if "--> Using cache" in step]


def check_build(engine, context, architecture, folder):
    took, _ = build(engine, context, architecture, folder / "first.log")
    say(f"built in {took:.0f} s")
    with (context / "ws-server/src/main.rs").open("a") as source:
        source.write(CHANGE)
    took, kept = build(engine, context, architecture, folder / "second.log")
    if not any("cargo chef cook" in step for step in kept):
        raise Failure("a change of a source file builds the dependencies again")
    say(f"built in {took:.0f} s after a change of ws-server/src/main.rs: dependencies were kept")


def check_config(config):
    """What the engine is told about the image, apart from its files."""
    server = "/usr/local/bin/ws-server"
    expected = {"User": "65532:65532", "Entrypoint": [server], "ExposedPorts": {"8080/tcp": {}, "8090/tcp": {}}}
    found = {name: config.get(name) for name in expected}
    if found != expected:
        raise Failure(f"the image's configuration is {found}")
    if config["Healthcheck"]["Test"] != ["CMD", server, "health-check"]:
        raise Failure(f"the image's health check is {config['Healthcheck']}")


def regular(root):
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


def is_program(path):
    if not path.stat().st_mode & 0o111 or ".so" in path.name:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def check_files(root):
    """No shell nor any other program than ours, and nothing that makes root of anybody."""
    files = regular(root)
    programs = [path.name for path in files if is_program(path)]
    if programs != ["ws-server"]:
        raise Failure(f"the programs in the image are {', '.join(programs) or 'none'}")
    if privileged := [str(path) for path in files if path.stat().st_mode & 0o6000]:
        raise Failure(f"files with special rights: {', '.join(privileged)}")
    say("the server is the only program: no shell, nothing set-uid")


def sizes(engine, folder):
    """Bytes of each layer as it is pulled, in the image's order."""
    shutil.rmtree(folder, ignore_errors=True)
    engine("push", "--quiet", "--format=oci", IMAGE, f"oci:{folder}:checked")
    blob = lambda digest: json.loads((folder / "blobs" / digest.replace(":", "/")).read_text())
    manifest = blob(json.loads((folder / "index.json").read_text())["manifests"][0]["digest"])
    return [layer["size"] for layer in manifest["layers"]]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("local_stack", type=Path, help="roomcast-local")
    parser.add_argument("--architecture", choices=["amd64", "arm64"], help="the image's processor (this machine's)")
    parser.add_argument("--toolchain", type=Path, help="a folder as rustup lays toolchains (the one that is in use)")
    given = parser.parse_args(argv)
    folder = (Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "image-check").resolve()
    try:
        architecture = given.architecture or here()
        check(given.local_stack.resolve(), architecture, architecture == here(), given.toolchain, folder)
    except (Failure, OSError) as error:
        print(f"image_check: {error}", file=sys.stderr)
        return 1
    return 0


def check(local_stack, architecture, native, toolchain, folder):
    if os.geteuid() != 0:
        raise Failure("mounts and other users' processes need root")
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    engine = Engine(folder)
    toolchain = toolchain or Path(run("rustc", "--print", "sysroot", cwd=folder).decode().strip())
    make_bases(engine, dockerfile, architecture, toolchain, folder)
    builder, base = names(dockerfile)
    say(f"{builder} and {base} are made of Debian's packages and {toolchain.name}")
    context = folder / "context"
    sources(context, base, architecture)
    check_build(engine, context, architecture, folder)
    config = engine.config(IMAGE)
    check_config(config)
    container = engine("from", "--pull-never", IMAGE)
    try:
        root = Path(engine("mount", container))
        check_files(root)
        layers = [f"{size / 1e6:.1f}" for size in sizes(engine, folder / "oci")]
        server = (root / "usr/local/bin/ws-server").stat().st_size
        files = sum(path.stat().st_size for path in regular(root))
        say(f"{files / 1e6:.1f} MB of files, {server / 1e6:.1f} of them the server; layers as they are pulled: {' + '.join(layers)} MB")
        if native:
            check_node(Machine(root, config), local_stack, folder / "local", say)
        else:
            run("qemu-aarch64", "-L", root, root / "usr/local/bin/ws-server", "--help")
            say("the server runs in an emulator (--help)")
    finally:
        engine("rm", container)


if __name__ == "__main__":
    sys.exit(main())
