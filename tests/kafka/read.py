#!/usr/bin/env python3
"""Print what accountpulse committed to one Kafka topic, from its beginning to its present end.

A read_committed reader, written from docs/contract.md alone. One JSON object per record on stdout,
in order within each partition:

    partition, offset, timestamp_ms, key, headers, value

- The end is the last stable offset of each partition when the program starts: what is in a
  transaction still open then, and whatever stands behind its beginning, is not visible to anybody
  yet. Offsets are only compared, never counted: markers, aborted records and compaction leave gaps.
- A key or header that is no text stands in base64, a key then as `key_base64`.
- `value` is the parsed value, `null` for a tombstone. Without a `content-type` it is taken for JSON,
  the default. A dead letter (told by its header
  `__streams.errors.topic`, for the names of topics can be configured) has any bytes: text in
  `value`, or else base64 in `value_base64`.
- Protobuf values need google.protobuf and the classes generated from proto/ on PYTHONPATH or beside
  this file:  protoc --python_out=. -Iproto accountpulse/v1/score.proto accountpulse/v1/risk.proto
  Times stay milliseconds (`as_of_ms`) and names of lists those of the enum (`BAND_AT_RISK`).

It joins no group and commits nothing. On an error: one sentence on stderr, exit status 1.
"""

import argparse
import base64
import importlib
import json
import os
import sys
import time

from confluent_kafka import (OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, OffsetSpec

STALL_SECONDS = 30  # the longest wait for records that are known to be there
# Opaque bytes: always base64, even if they happen to be text.
BINARY_HEADERS = {"accountpulse.decisions"}
PROTO_CLASSES = {
    "accountpulse.score.v1": ("accountpulse.v1.score_pb2", "ScoreRecord"),
    "accountpulse.risk.v1": ("accountpulse.v1.risk_pb2", "RiskTransition"),
}


class Failure(Exception):
    """A sentence for the person at the terminal."""


class Reader:
    """Reads a topic from its beginning, committed records only, and knows where it stands."""

    def __init__(self, bootstrap, topic):
        self.bootstrap, self.topic, self.trouble = bootstrap, topic, None
        connection = {"bootstrap.servers": bootstrap, "error_cb": self._note, "log_level": 0}
        self.admin = AdminClient(connection)
        self.consumer = Consumer({
            **connection,
            "group.id": "accountpulse-reader",  # the library asks for one; it is never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # Only when retention overtakes the reader. The default would jump to the end, in silence.
            "auto.offset.reset": "earliest",
        })
        # All topics, because asking for one by name may create it.
        topics = self._ask(lambda: self.admin.list_topics(timeout=10)).topics
        if topic not in topics or not topics[topic].partitions:
            raise Failure(f"there is no topic {topic} on {bootstrap}")
        self.partitions = sorted(topics[topic].partitions)
        self.reached = dict.fromkeys(self.partitions, 0)  # everything below was read or is a gap

    def _note(self, error):
        self.trouble = error.str()

    def _ask(self, question):
        try:
            return question()
        except KafkaException as error:
            reason = self.trouble or error.args[0].str()
            raise Failure(f"{self.bootstrap} does not answer: {reason}") from None

    def ends(self):
        """The last stable offset of each partition, as the broker knows it now."""
        wanted = {TopicPartition(self.topic, p): OffsetSpec.latest() for p in self.partitions}
        # Not over the consumer's connection, where it would wait behind a fetch.
        answers = self.admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=10)
        return {at.partition: self._ask(answer.result).offset for at, answer in answers.items()}

    def start(self, partitions):
        self.consumer.assign([TopicPartition(self.topic, p, OFFSET_BEGINNING) for p in partitions])

    def stop(self, partition):
        self.consumer.incremental_unassign([TopicPartition(self.topic, partition)])

    def poll(self, seconds):
        """The next message; one with an error() is the end of its partition, None is neither."""
        message = self.consumer.poll(seconds)
        if message is None:
            return None
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error and error.code() != KafkaError._PARTITION_EOF:
            raise Failure(f"reading {self.topic} failed: {error.str()}")
        if not error and offset < self.reached[partition]:
            raise Failure(f"partition {partition} of {self.topic} was truncated: "
                          f"offset {offset} came again")
        self.reached[partition] = offset if error else offset + 1
        return message

    def stalled(self, ends):
        behind = {p: end for p, end in ends.items() if self.reached[p] < end}
        where = ", ".join(f"{p} at {self.reached[p]} of {end}" for p, end in behind.items())
        return Failure(f"nothing came for {STALL_SECONDS} s although {self.topic} goes on (partition "
                       f"{where}): {self.trouble or 'the broker gave no reason'}")

    def close(self):
        self.consumer.close()


def text_or_base64(data):
    """(text, True), or (base64, False) for bytes that are no UTF-8."""
    try:
        return data.decode("utf-8"), True
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii"), False


def to_object(message):
    """A Kafka record as what is printed of it."""
    raw = dict(message.headers() or [])  # of headers with the same name the last one counts
    headers = {}
    for name, data in raw.items():
        if data is not None and name in BINARY_HEADERS:
            headers[name] = base64.b64encode(data).decode("ascii")
        else:
            headers[name] = None if data is None else text_or_base64(data)[0]
    timestamp = message.timestamp()[1]
    record = {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": timestamp if timestamp >= 0 else None,
    }
    put(record, "key", message.key())
    record["headers"] = headers
    if message.value() is None:
        record["value"] = None
    elif "__streams.errors.topic" in headers:
        put(record, "value", message.value())
    else:
        try:
            record["value"] = parse(message.value(), headers)
        except Failure as error:
            where = f"partition {message.partition()} offset {message.offset()}"
            raise Failure(f"{where} of {message.topic()}: {error}") from None
    return record


def put(record, name, data):
    if data is None:
        record[name] = None
        return
    text, is_text = text_or_base64(data)
    record[name if is_text else f"{name}_base64"] = text


def parse(value, headers):
    content_type = headers.get("content-type")
    if content_type in ("application/json", None):
        try:
            return json.loads(value)
        except ValueError as error:
            raise Failure(f"the value is not JSON: {error}") from None
    if content_type == "application/x-protobuf":
        return parse_protobuf(value, headers.get("ce_type"))
    raise Failure(f"cannot decode content-type {content_type}")


def parse_protobuf(value, ce_type):
    if ce_type not in PROTO_CLASSES:
        raise Failure(f"no protobuf class is known for ce_type {ce_type}")
    module, name = PROTO_CLASSES[ce_type]
    try:
        from google.protobuf.message import DecodeError
        cls = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise Failure("the value is protobuf, which needs google.protobuf and the classes generated "
                      f"from proto/ (see read.py): {error}") from None
    try:
        return message_to_dict(cls.FromString(value))
    except DecodeError as error:
        raise Failure(f"the value is not a {name}: {error}") from None


def message_to_dict(message):
    """Every field but the absent ones. json_format would turn 64 bit numbers into strings."""
    def plain(field, value):
        if field.message_type:
            return message_to_dict(value)
        if field.enum_type:
            known = field.enum_type.values_by_number.get(value)
            return known.name if known else value  # a number that was added later
        return value

    result = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            result[field.name] = [plain(field, item) for item in value]
        elif not field.has_presence or message.HasField(field.name):
            result[field.name] = plain(field, value)
    return result


def parser(doc):
    arguments = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="a Kafka broker")
    arguments.add_argument("--topic", required=True, metavar="NAME", help="the topic to read")
    return arguments


def read(bootstrap, topic):
    """Yields every record that is committed and visible now."""
    reader = Reader(bootstrap, topic)
    try:
        ends = reader.ends()
        unread = {p: end for p, end in ends.items() if end > 0}
        reader.start(unread)
        heard = time.monotonic()
        while unread:
            message = reader.poll(0.5)
            if message is None:
                if time.monotonic() - heard > STALL_SECONDS:
                    raise reader.stalled(ends)
                continue
            heard = time.monotonic()
            partition = message.partition()
            if partition not in unread:
                continue
            if not message.error() and message.offset() < unread[partition]:
                yield to_object(message)
            if reader.reached[partition] >= unread[partition]:
                del unread[partition]
                reader.stop(partition)
    finally:
        reader.close()


def run(records):
    """Prints records, a line each; returns the exit status."""
    try:
        for record in records:
            print(json.dumps(record), flush=True)
    except BrokenPipeError:  # whoever read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (Failure, KafkaException) as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    given = parser(__doc__).parse_args()
    sys.exit(run(read(given.bootstrap, given.topic)))
