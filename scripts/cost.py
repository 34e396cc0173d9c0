#!/usr/bin/env python3
"""What a month of Roomcast costs on AWS, and what the same load costs elsewhere.

    python3 scripts/cost.py --clients 100000 --messages 100
    python3 scripts/cost.py --clients 10000 --messages 5 --broadcast

The unit prices, with their date, are in docs/operations/prices.json; what the model assumes is in its arguments
(--help). Anything that is only estimated is called so.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path

PRICES = Path(__file__).resolve().parent.parent / "docs" / "operations" / "prices.json"

HOURS = 730
SECONDS = HOURS * 3600
MINUTES = HOURS * 60
GIB = 2**30

# Bytes of an SNS post besides the messages in it, and of a publish with its acknowledgement.
POST_BYTES = 700
PUBLISH_BYTES = 450
# Bytes of an item besides the message in it.
ITEM_BYTES = 250
# A stream shard is polled four times a second, and takes some 500 writes a second before there is another.
POLLS = 4
SHARD_WRITES = 500
# The publisher: GB of memory, seconds a batch.
LAMBDA_GB, LAMBDA_SECONDS = 0.25, 0.03
# Audits of a room without news: after 2 s, then ever longer, at most every 30 s; half a read unit each.
AUDIT_SECONDS = (2, 30)


class LoadError(ValueError):
    """A load that cannot be; the text is for whoever asked."""


@dataclass(frozen=True)
class Load:
    """What the service carries. Bytes are bytes, rates are a second, the same all month."""

    clients: int
    messages: float
    receivers: float = 50
    message_bytes: int = 300
    frame_bytes: int = 350
    connects: float = 0
    clients_per_node: int = 10_000
    vcpu: float = 1
    memory_gb: float = 2
    architecture: str = "arm64"
    shards: int = 0
    packed: bool = True
    retention_days: float = 30
    nat_gateways: int = 2
    audit_units: int = 500
    redis_nodes: int = 0

    def __post_init__(self):
        for name in ("clients", "messages", "receivers", "message_bytes", "frame_bytes", "clients_per_node"):
            if getattr(self, name) <= 0:
                raise LoadError(f"{name} must be above 0")
        if self.receivers > self.clients:
            raise LoadError(f"a message has {self.receivers:g} receivers, but there are only {self.clients} clients")
        for name in ("connects", "retention_days", "nat_gateways", "shards", "audit_units", "redis_nodes"):
            if getattr(self, name) < 0:
                raise LoadError(f"{name} must not be below 0")

    @property
    def nodes(self):
        """Nodes: two at least."""
        return max(2, ceil(self.clients / self.clients_per_node))

    @property
    def publishes(self):
        """SNS messages a second: as many as there are polls with something in them, or as there are messages."""
        if not self.packed:
            return self.messages
        shards = self.shards or max(4, self.messages / SHARD_WRITES)
        return min(self.messages, POLLS * shards)

    @property
    def out_bytes(self):
        """To clients, a second."""
        return self.messages * self.receivers * self.frame_bytes

    @property
    def in_bytes(self):
        """From clients and SNS, through the load balancer, a second."""
        posts = (self.messages * self.message_bytes + self.publishes * POST_BYTES) * self.nodes
        return posts + self.messages * PUBLISH_BYTES

    @property
    def audits(self):
        """Read units a second that audits take: those of rooms without news, within the nodes' budgets."""
        rooms = self.clients / self.receivers
        between = rooms / self.messages
        pairs = rooms * min(self.nodes, self.receivers)
        return min(self.audit_units * self.nodes, 0.5 * pairs * audits_within(between) / between)


def audits_within(seconds):
    """How often a room is audited in a time without news."""
    pause, longest = AUDIT_SECONDS
    count, time = 0, 0
    while time + pause <= seconds:
        if pause == longest:
            return count + int((seconds - time) // longest)
        count, time = count + 1, time + pause
        pause = min(2 * pause, longest)
    return count


def tiered(tiers, amount):
    """The price of an amount whose later parts are cheaper; a tier is its upper end (None: there is none) and its price."""
    price, start = 0, 0
    for end, each in tiers:
        part = amount - start if end is None else min(amount, end) - start
        if part <= 0:
            break
        price, start = price + part * each, end
    return price


def egress(prices, load):
    """Bytes to clients, the first 100 GB a month free."""
    return tiered(prices["egress"]["tiers_gb"], max(0, load.out_bytes * SECONDS / GIB - 100))


def load_balancer(prices, load):
    p = prices["load_balancer"]
    gb_hour = (load.out_bytes + load.in_bytes) * 3600 / GIB
    units = max(
        load.clients / p["unit_connections"],
        gb_hour / p["unit_gb_hour"],
        load.connects / p["unit_new_connections_second"],
    )
    return HOURS * (p["hour"] + units * p["capacity_unit_hour"])


def sns_chunks(prices, load):
    """What SNS charges a second, publishes and each node's deliveries alike: chunks of its messages."""
    packed = load.messages * load.message_bytes / load.publishes
    return load.publishes * max(1, ceil(packed / (prices["sns"]["chunk_kb"] * 1024)))


def sns_deliveries(prices, load):
    return SECONDS * sns_chunks(prices, load) * load.nodes * prices["sns"]["http_delivery_million"] / 1e6


def core(prices, load):
    """The parts of the service, in dollars a month."""
    dynamodb, aws_lambda, sns = prices["dynamodb"], prices["lambda_arm64"], prices["sns"]
    fargate = prices["fargate"][load.architecture]
    monthly = SECONDS / 1e6
    units = ceil((load.message_bytes + ITEM_BYTES) / 1024)
    publisher = monthly * aws_lambda["request_million"] + SECONDS * LAMBDA_GB * LAMBDA_SECONDS * aws_lambda["gb_second"]
    return {
        "DynamoDB writes": monthly * load.messages * units * dynamodb["write_million"],
        "Lambda": load.publishes * publisher,
        "SNS publishes": monthly * sns_chunks(prices, load) * sns["publish_million"],
        "SNS deliveries": sns_deliveries(prices, load),
        "Fargate": HOURS * load.nodes * (load.vcpu * fargate["vcpu_hour"] + load.memory_gb * fargate["gb_hour"]),
        "Load balancer": load_balancer(prices, load),
    } | valkey(prices, load)


def valkey(prices, load):
    """Hints through ElastiCache, if they were asked for: nodes of cache.t4g.small."""
    if not load.redis_nodes:
        return {}
    return {"ElastiCache for Valkey": HOURS * load.redis_nodes * prices["elasticache"]["small_node_hour"]}


def besides(prices, load):
    """What comes on top, in dollars a month. Reads and storage are estimates."""
    dynamodb = prices["dynamodb"]
    stored = load.messages * (load.message_bytes + ITEM_BYTES) * load.retention_days * 86_400 / GIB
    return {
        "Traffic to clients": egress(prices, load),
        "DynamoDB storage, full": stored * dynamodb["storage_gb_month"],
        "DynamoDB audits, at most": load.audits * SECONDS / 1e6 * dynamodb["read_million"],
        "NAT gateways": HOURS * load.nat_gateways * prices["nat_gateway"]["hour"],
    }


def elsewhere(prices, load):
    """The same load on other services, without what all of them pay alike: traffic to clients, and storage."""
    deliveries = load.messages * (1 + load.receivers) * SECONDS / 1e6
    minutes = load.clients * MINUTES / 1e6

    def frames(kilobytes):
        return ceil(load.frame_bytes / (kilobytes * 1024))

    gateway, appsync, cache = prices["api_gateway_websocket"], prices["appsync_events"], prices["elasticache"]
    parts = core(prices, load)
    ours = ("SNS publishes", "SNS deliveries", "Lambda", "ElastiCache for Valkey")
    without_sns = sum(dollars for name, dollars in parts.items() if name not in ours)
    return {
        "API Gateway WebSocket (without its Lambdas and tables)": tiered(
            gateway["messages_million"], deliveries * frames(gateway["message_kb"])
        )
        + minutes * gateway["connection_minute_million"],
        "AppSync Events (nothing is kept)": deliveries * frames(appsync["operation_kb"]) * appsync["operation_million"]
        + minutes * appsync["connection_minute_million"],
        "The same nodes with ElastiCache instead of SNS and Lambda": without_sns + cache["node_month"] * cache["nodes"],
        "The same nodes, SNS without packing": sum(
            (core(prices, Load(**{**load.__dict__, "packed": False}))).values()
        ),
    }


def lines(title, parts):
    yield title
    for name, dollars in parts.items():
        yield f"  {name:<58}{dollars:>14,.0f}"


def report(prices, load):
    """The bill as text."""
    own, more, other = core(prices, load), besides(prices, load), elsewhere(prices, load)
    total = sum(own.values())
    yield (
        f"{load.clients:,} clients, {load.messages:g} messages a second to {load.receivers:g} each: {load.nodes} nodes, "
        f"{load.publishes:g} SNS messages a second. {prices['currency']} a month, {prices['region']}, prices of {prices['date']}."
    )
    yield from lines("The service", own)
    yield from lines("", {"together": total})
    yield from lines("Besides", more)
    yield from lines("Elsewhere, to be compared with the service", other)
    dearer = [name for name, dollars in other.items() if dollars < total]
    yield f"Dearer than: {'; '.join(dearer)}." if dearer else "Dearer than none of them."


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    load = Load(clients=50, messages=1)
    add = parser.add_argument
    add("--clients", type=int, required=True, help="connections at a time")
    add("--messages", type=float, required=True, help="messages published a second, all rooms together")
    add("--receivers", type=float, help=f"clients that get a message ({load.receivers:g}, or all there are)")
    add("--broadcast", action="store_true", help="one room, of everybody")
    add("--message-bytes", type=int, default=load.message_bytes, help="bytes of a message in the log (%(default)d)")
    add("--frame-bytes", type=int, default=load.frame_bytes, help="bytes of a message to a client (%(default)d)")
    add("--connects", type=float, default=0, help="new connections a second (%(default)g)")
    add("--clients-per-node", type=int, default=load.clients_per_node, help="an assumption (%(default)d)")
    add("--vcpu", type=float, default=load.vcpu, help="of a node (%(default)g)")
    add("--memory-gb", type=float, default=load.memory_gb, help="of a node (%(default)g)")
    add("--architecture", choices=("arm64", "x86_64"), default=load.architecture, help="of a node (%(default)s)")
    add("--shards", type=int, default=0, help="shards of the stream (guessed: 4, or one for 500 messages a second)")
    add("--retention-days", type=float, default=load.retention_days, help="days that messages are kept (%(default)g)")
    add("--nat-gateways", type=int, default=load.nat_gateways, help="(%(default)d)")
    add("--audit-units", type=int, default=load.audit_units, help="a node's budget for audits (%(default)d)")
    add("--redis-nodes", type=int, default=0, help="Valkey nodes for hints, of cache.t4g.small (%(default)d)")
    return parser


def load_of(args):
    given = {name: value for name, value in vars(args).items() if name != "broadcast"}
    if args.broadcast:
        given.update(receivers=args.clients, shards=args.shards or 1)
    elif args.receivers is None:
        given.update(receivers=min(Load.receivers, args.clients))
    return Load(**given)


EXAMPLE = ("--clients", "10000", "--messages", "100")
ADVICE = """
This is an example. For a load of your own:
  make cost ARGS='--clients 100000 --messages 1000'
  make cost ARGS='--clients 100000 --messages 5 --broadcast'    one room, of everybody
  make cost ARGS=--help                                         everything that can be changed"""


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = arguments().parse_args(argv or EXAMPLE)
    try:
        load = load_of(args)
    except LoadError as error:
        print(f"cost: {error}", file=sys.stderr)
        return 2
    print("\n".join(report(json.loads(PRICES.read_text()), load)))
    if not argv:
        print(ADVICE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
