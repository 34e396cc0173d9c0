"""The image's content as a container: its user, its environment, its root and nothing that can be written."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

from image_size import Failure

# For anything that should take a second.
PATIENCE = 30
# Code of RFC 6455 with which a node that ends closes its sessions.
RESTARTS = 1012
# Within a mount namespace of its own: the files read-only, /proc as containers have it, and the one file that the node needs
# to believe the local stack's signatures.
ENTER = """
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/run"
mount -o remount,ro,bind "$1"
mount -o remount,ro,bind "$1/run"
mount -t proc proc "$1/proc"
cd /
root=$1 user=$3
shift 3
exec /usr/sbin/chroot --userspec="$user" "$root" "$@"
"""


class Machine:
    """Runs programs in the image's content."""

    def __init__(self, root, config):
        self.root, self.user, self.entry = root, config["User"], config["Entrypoint"]
        self.health = config["Healthcheck"]["Test"][1:]
        self.environment = dict(pair.split("=", 1) for pair in config["Env"])

    def start(self, command, environment, shared):
        enter = ["unshare", "--mount", "/bin/sh", "-c", ENTER, "enter", self.root, shared, self.user, *command]
        return subprocess.Popen(enter, env={**self.environment, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finished(self, command, environment, shared):
        """Exit code and output."""
        process = self.start(command, environment, shared)
        try:
            out, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"{command} does not end") from None
        return process.returncode, out


@contextmanager
def local_stack(program, folder):
    """AWS on loopback: where everything is, and a folder with its root certificate."""
    folder.mkdir(exist_ok=True)
    command = [program, "--nodes", "0", "--memory", "--data", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if not process.stdout.readline().startswith("ready"):
            raise Failure("the local stack does not start")
        yield json.loads((folder / "stack.json").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def variables(stack, port):
    """As the task definition gives them, but for where AWS is."""
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": stack["dynamodb"], "AWS_ENDPOINT_URL_SNS": stack["sns"], "AWS_REGION": stack["region"],
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "ROOMCAST_LISTEN": f"0.0.0.0:{port}", "ROOMCAST_LINK_LISTEN": "127.0.0.1:0", "ROOMCAST_LINK_ADDRESS": "127.0.0.1:1",
        "ROOMCAST_SNS_ENDPOINT": f"http://127.0.0.1:{port}", "ROOMCAST_TOPIC_ARNS": stack["topic_arn"],
        "ROOMCAST_SNS_CERT_ORIGIN": stack["cert_origin"], "ROOMCAST_SNS_TRUST_ROOT": "/run/sns-root.pem",
        "ROOMCAST_MESSAGES_TABLE": stack["messages_table"], "ROOMCAST_NODES_TABLE": stack["nodes_table"],
        "ROOMCAST_CLUSTER_KEY": stack["cluster_key"], "ROOMCAST_CREATE_TABLES": "true", "ROOMCAST_DRAIN_MS": "500",
        "ROOMCAST_LOG_FORMAT": "json",
    }


def status(port, path):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None


def session(port):
    """A WebSocket, open."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET /ws?guest=image-check HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    client.sendall(head.encode())
    stream = client.makefile("rb")
    if b" 101 " not in stream.readline():
        raise Failure("the node takes no WebSocket")
    while stream.readline() != b"\r\n":
        pass
    return stream


def close_code(stream):
    """The code with which the node closes; what it says before is passed over."""
    while head := stream.read(2):
        length = int.from_bytes(stream.read(2), "big") if head[1] == 126 else head[1]
        payload = stream.read(length)
        if head[0] & 0x0F == 8:
            return int.from_bytes(payload[:2], "big")
    return None


def check_node(machine, program, folder, say):
    """Help, a start with settings missing, a start, the health check before and after, and the end."""
    with local_stack(program, folder) as stack:
        code, out = machine.finished([*machine.entry, "--help"], {}, folder)
        if code != 0 or "--sns-endpoint" not in out:
            raise Failure(f"--help ends with {code}: {out}")
        code, out = machine.finished(machine.entry, {}, folder)
        if code == 0 or out.count("\n") != 1:
            raise Failure(f"without settings the node ends with {code}: {out}")
        say(f"without settings: exit code {code}, {out.strip()!r}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = variables(stack, port)
        node = machine.start(machine.entry, environment, folder)
        try:
            check_life(machine, node, environment, port, folder, say)
        finally:
            node.kill()


def check_life(machine, node, environment, port, folder, say):
    start = time.monotonic()
    while status(port, "/readyz") != 200:
        if node.poll() is not None or time.monotonic() > start + PATIENCE:
            node.kill()
            raise Failure(f"the node does not become ready: {node.communicate()[0]}")
        time.sleep(0.02)
    say(f"ready after {(time.monotonic() - start) * 1_000:.0f} ms, SNS delivers to it")
    with open(f"/proc/{node.pid}/status") as about:
        fields = dict(line.rstrip().split(":\t", 1) for line in about)
    if set(fields["Uid"].split() + fields["Gid"].split()) != {machine.user.split(":")[0]} or int(fields["CapEff"], 16) != 0:
        raise Failure(f"the node runs as {fields['Uid']} with the capabilities {fields['CapEff']}")
    say(f"it runs as {machine.user} without capabilities, on a root that cannot be written")
    if (code := machine.finished(machine.health, environment, folder)[0]) != 0:
        raise Failure(f"the health check of a healthy node ends with {code}")
    client = session(port)
    node.send_signal(signal.SIGTERM)
    closed = close_code(client)
    out, _ = node.communicate(timeout=PATIENCE)
    if closed != RESTARTS or node.returncode != 0:
        raise Failure(f"told to end, the node closed a session with {closed} and ended with {node.returncode}: {out}")
    say(f"told to end, it closed its session with {closed} and ended with {node.returncode}")
    code, out = machine.finished(machine.health, environment, folder)
    if code == 0:
        raise Failure("the health check of a node that is gone succeeds")
    say(f"the health check: 0 while it ran, then {code}, {out.strip()!r}")
