#!/usr/bin/env python3
"""What the publisher takes of a Lambda: time to start, the first invocation, warm ones, processor time and memory.

    python3 scripts/lambda_figures.py target/dist/stream-publisher

Lambda's Runtime API and SNS are played by this program, over plain HTTP on loopback, and answer at once: what is
measured is the program alone. In AWS the sandbox and the download of the code come before it, a TLS handshake goes with
the first publish, and SNS takes its own time for each.
"""

import argparse
import json
import queue
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread
from urllib.parse import parse_qs

FIXTURE = Path(__file__).resolve().parent.parent / "stream-publisher" / "fixtures" / "insert_one.json"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:roomcast"
NEXT = "/2018-06-01/runtime/invocation/next"
PUBLISHED = b"<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
BODY_BYTES = 300
# For anything that should take milliseconds.
PATIENCE = 10


class Failure(Exception):
    """The program did not do what it is there for; the text is for whoever asked."""


class Cloud(ThreadingHTTPServer):
    """The Runtime API for one program, and SNS."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"127.0.0.1:{self.server_port}"
        self.asked, self.events, self.answered = queue.Queue(), queue.Queue(), queue.Queue()
        self.publishes = []
        Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """A program that is killed in the middle of a request is what ends each of its lives."""

    def invoke(self, event):
        """Milliseconds until the program has answered."""
        text = json.dumps(event).encode()
        self.publishes.clear()
        start = time.monotonic()
        self.events.put(text)
        at, answer = self.answered.get(timeout=PATIENCE)
        if json.loads(answer) != {"batchItemFailures": []}:
            raise Failure(f"the batch was not taken: {answer.decode()}")
        messages = [json.loads(parse_qs(body.decode())["Message"][0]) for body in self.publishes]
        published = sum(len(message["segments"]) for message in messages)
        if published != len(event["Records"]):
            raise Failure(f"of {len(event['Records'])} records {published} were published")
        return (at - start) * 1_000


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body of an answer are two writes.
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.asked.put(time.monotonic())
        self.answer(200, self.server.events.get(), {
            "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1_000) + 15_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:publisher",
        })

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/2018-06-01/"):
            self.server.answered.put((time.monotonic(), body))
            return self.answer(202, b"")
        self.server.publishes.append(body)
        self.answer(200, PUBLISHED)

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def batch(records):
    """An event of so many records, each with a segment of one message of its own room."""
    record = json.loads(FIXTURE.read_text())["Records"][0]
    message = record["dynamodb"]["NewImage"]["messages"]["L"][0]
    message["M"]["body"]["S"] = json.dumps({"text": "x" * BODY_BYTES})
    record["dynamodb"]["NewImage"].update({"count": {"N": "1"}, "messages": {"L": [message]}})
    text = json.dumps(record)
    made = [json.loads(text.replace('"lobby"', f'"room-{number}"')) for number in range(records)]
    for number, each in enumerate(made):
        each["dynamodb"]["SequenceNumber"] = f"44215845000000000174504{number:05}"
    return {"Records": made}


def processor_ms(pid):
    """Processor time that the program has taken."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


def most_memory(pid):
    """The most memory that it has held, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_024


def life(program, event, invocations):
    """One start of the program, and what it took: figures by name."""
    cloud = Cloud()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": cloud.address,
        "AWS_LAMBDA_FUNCTION_NAME": "publisher",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "",
        "AWS_LAMBDA_LOG_GROUP_NAME": "",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_SNS": f"http://{cloud.address}",
        "TOPIC_ARNS": TOPIC,
    }
    start = time.monotonic()
    with Popen([program], env=environment, stdout=DEVNULL, stderr=PIPE) as process:
        try:
            ready = cloud.asked.get(timeout=PATIENCE)
            cpu_of_start, memory_of_start = processor_ms(process.pid), most_memory(process.pid)
            first = cloud.invoke(event)
            before = processor_ms(process.pid)
            warm = [cloud.invoke(event) for _ in range(invocations)]
            return {
                "start until it asks for work, ms": (ready - start) * 1_000,
                "  processor time of that, ms": cpu_of_start,
                "first invocation, ms": first,
                "a warm invocation, ms": median(warm),
                "  processor time of a warm one, ms": (processor_ms(process.pid) - before) / invocations,
                "memory when it asks for work, MiB": memory_of_start,
                "most memory, MiB": most_memory(process.pid),
            }
        except queue.Empty:
            process.kill()
            said = process.stderr.read().decode().strip() or "it said nothing"
            raise Failure(f"{program} did not answer within {PATIENCE} s: {said}") from None
        finally:
            process.kill()
            cloud.shutdown()
            cloud.server_close()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--starts", type=int, default=20, help="(%(default)d)")
    parser.add_argument("--invocations", type=int, default=100, help="after the first, of each start (%(default)d)")
    parser.add_argument("--records", type=int, default=100, help="of an invocation (%(default)d)")
    args = parser.parse_args(argv)
    event = batch(args.records)
    try:
        lives = [life(args.program, event, args.invocations) for _ in range(args.starts)]
    except (Failure, OSError) as error:
        print(f"lambda_figures: {error}", file=sys.stderr)
        return 1
    size = args.program.stat().st_size / 2**20
    print(f"{args.program}, {size:.1f} MiB: {args.starts} starts, {args.invocations} invocations of {args.records} records")
    print(f"{'':36} {'median':>8} {'least':>8} {'most':>8}")
    for name in lives[0]:
        values = [each[name] for each in lives]
        print(f"{name:36} {median(values):8.1f} {min(values):8.1f} {max(values):8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
