"""Sends events to Kafka as somebody else's program would.

Reads files of JSON lines (one event a line, as docs/events.md says), sends each to the topic of
its kind with the account as key, and prints how many records the broker has acknowledged. Exits
with 1 when one of them was not.

    produce.py --bootstrap 127.0.0.1:9092 --topic login=logins --topic '*=others' events.jsonl
"""

import argparse
import datetime
import json
import sys
import time

from confluent_kafka import KafkaException, Producer

ENVELOPE = {"v", "id", "account_id", "occurred_at", "version"}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True, help="host:port")
    parser.add_argument("--topic", action="append", required=True, metavar="KIND=TOPIC",
                        help="where events of a kind go; '*' stands for all other kinds")
    parser.add_argument("--property", action="append", default=[], metavar="KEY=VALUE",
                        help="a librdkafka setting")
    parser.add_argument("--event-time", action="store_true",
                        help="timestamps are the events' occurred_at, not the present")
    parser.add_argument("--rate", type=float, help="records a second at most")
    parser.add_argument("files", nargs="+")
    return parser.parse_args()


def pairs(given):
    return dict(pair.split("=", 1) for pair in given)


def settings(args):
    return {
        "bootstrap.servers": args.bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        # An account must come to the partition that Kafka's own (Java) producer gives its key:
        # murmur2. librdkafka's default is another hash (crc32), and keys would land elsewhere.
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "reconnect.backoff.max.ms": 500,
    } | pairs(args.property)


def events(files):
    """The account, the kind, the time in milliseconds and the bytes of each line."""
    for name in files:
        with open(name, "rb") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip(b"\n")
                event = json.loads(line)
                kinds = [key for key, value in event.items() if key not in ENVELOPE and value is not None]
                if len(kinds) != 1:
                    sys.exit(f"{name}:{number}: one body is needed, found {kinds}")
                at = datetime.datetime.fromisoformat(event["occurred_at"].replace("Z", "+00:00"))
                yield event["account_id"], kinds[0], (at - EPOCH) // datetime.timedelta(milliseconds=1), line


class Deliveries:
    """Counts what the broker has taken, and keeps the first reason why it did not."""

    def __init__(self):
        self.taken = 0
        self.failed = 0
        self.reason = None

    def __call__(self, error, _message):
        if error is None:
            self.taken += 1
        else:
            self.failed += 1
            self.reason = self.reason or str(error)


def send(producer, args, deliveries):
    topics = pairs(args.topic)
    due = time.monotonic()
    for account, kind, at, line in events(args.files):
        topic = topics.get(kind) or topics.get("*")
        if topic is None:
            sys.exit(f"no --topic for '{kind}'")
        more = {"timestamp": at} if args.event_time else {}
        if args.rate:
            while (left := due - time.monotonic()) > 0:
                producer.poll(left)
            # What was not sent while nothing was there to send is not made up for.
            due = max(due, time.monotonic() - 0.1) + 1 / args.rate
        while True:
            try:
                producer.produce(topic, value=line, key=account.encode(), on_delivery=deliveries, **more)
                break
            except BufferError:
                # The queue is full: serving deliveries makes room.
                producer.poll(0.1)
        producer.poll(0)


def main():
    args = arguments()
    deliveries = Deliveries()
    try:
        producer = Producer(settings(args))
        send(producer, args, deliveries)
    except KafkaException as error:
        sys.exit(str(error))
    # Ends when every record was delivered or has met delivery.timeout.ms.
    producer.flush()
    if deliveries.failed:
        sys.exit(f"{deliveries.failed} records were not delivered, the first because of: {deliveries.reason}")
    print(deliveries.taken)


main()
