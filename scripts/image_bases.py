"""The base images that the Dockerfile names, put together from Debian's packages and this machine's rustup.

For machines that have no registry to pull from. What is built on them shows that the Dockerfile is right and what the
image holds; the image that is deployed is built on the real ones.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from image_size import BASES, RELEASE, Failure, packages, run

# Of what the official image of Rust has, the parts that a build of ours uses.
BUILDER = ["ca-certificates", "g++", "gcc", "git", "libc6-dev", "make", "pkg-config"]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
NOBODY = 65532
USERS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
GROUPS = "root:x:0:\nnonroot:x:65532:\n"


class Engine:
    """buildah with its storage in a folder of ours. It needs root, and neither a daemon nor a runtime."""

    def __init__(self, folder):
        self.command = ["buildah", "--root", folder / "storage", "--runroot", folder / "run"]

    def __call__(self, *arguments):
        return run(*self.command, *arguments).decode().strip()

    def has(self, image):
        return subprocess.run([*self.command, "inspect", "--type", "image", image], capture_output=True).returncode == 0

    def config(self, image):
        return json.loads(self("inspect", "--type", "image", image))["Docker"]["config"]

    def make(self, image, root, *settings):
        """An image of one layer."""
        container = self("from", "scratch")
        self("add", "--quiet", container, root, "/")
        self("config", *settings, container)
        self("commit", "--quiet", "--rm", container, image)


def names(dockerfile):
    """The image to build with and the one to build upon, as the Dockerfile has them."""
    builder, *_, base = re.findall(r"^FROM (?:--platform=\S+ )?(\S+[:/]\S+)", dockerfile, flags=re.MULTILINE)
    return builder, base


def make_bases(engine, dockerfile, architecture, toolchain, folder):
    """Makes what is not there yet. The toolchain is a folder as rustup lays it."""
    builder, base = names(dockerfile)
    if not engine.has(f"docker.io/library/{builder}"):
        root, version = builder_root(toolchain, folder / "builder")
        # Nothing is fetched that the real image has: what is missing shows.
        variables = {
            "RUSTUP_HOME": "/usr/local/rustup", "CARGO_HOME": "/usr/local/cargo", "RUST_VERSION": version,
            "PATH": f"/usr/local/cargo/bin:{PATH}", "RUSTUP_AUTO_INSTALL": "0", "RUSTUP_DIST_SERVER": "http://127.0.0.1:9",
        }
        engine.make(f"docker.io/library/{builder}", root, *(f"--env={name}={value}" for name, value in variables.items()))
    # One name for both processors: made anew each time, it takes a second.
    root = base_root(base, architecture, folder / f"base-{architecture}")
    settings = [f"--env=PATH={PATH}", f"--env=SSL_CERT_FILE=/{CERTIFICATES}", f"--user={NOBODY}", f"--arch={architecture}"]
    engine.make(base, root, *settings)


def builder_root(toolchain, root):
    """Debian with a compiler, and rustup with this one toolchain, under the name that the official image gives it."""
    about = run(toolchain / "bin" / "rustc", "-vV").decode()
    version, host = (re.search(rf"^{field}: (\S+)", about, flags=re.MULTILINE)[1] for field in ("release", "host"))
    rustup, cargo = root / "usr/local/rustup", root / "usr/local/cargo"
    if not cargo.exists():
        shutil.rmtree(root, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={','.join(BUILDER)}", RELEASE, root)
        named = rustup / "toolchains" / f"{version}-{host}"
        named.parent.mkdir(parents=True)
        run("cp", "-a", toolchain.resolve(), named)
        shutil.rmtree(named / "share" / "doc", ignore_errors=True)
        settings = f'version = "12"\ndefault_toolchain = "{named.name}"\nprofile = "minimal"\n'
        (rustup / "settings.toml").write_text(settings)
        # Crates may come to this machine through a mirror.
        shutil.copy(f"/{CERTIFICATES}", root / CERTIFICATES)
        cargo.mkdir()
        for file in (Path.home() / ".cargo").glob("config.toml"):
            shutil.copy(file, cargo)
        run("cp", "-a", Path(shutil.which("rustup")).parent, cargo / "bin")
    return root, version


def base_root(name, architecture, root):
    """The files of the base image's Debian packages, certificates in one file, and a user."""
    known = BASES.get(name.rpartition(":")[0])
    if known is None:
        raise Failure(f"it is not known what {name} is made of")
    shutil.rmtree(root, ignore_errors=True)
    for deb in packages(known, architecture, root.parent / "packages" / architecture).values():
        run("dpkg-deb", "--extract", deb, root)
    sources = sorted((root / "usr/share/ca-certificates/mozilla").iterdir())
    (root / CERTIFICATES).write_text("".join(source.read_text() for source in sources))
    (root / "etc/passwd").write_text(USERS)
    (root / "etc/group").write_text(GROUPS)
    (root / "home/nonroot").mkdir()
    shutil.chown(root / "home/nonroot", NOBODY, NOBODY)
    return root
