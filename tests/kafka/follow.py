#!/usr/bin/env python3
"""Follow one accountpulse topic on Kafka from its beginning, live, committed records only.

Prints each record once, as it becomes visible to a read_committed reader, in the format of read.py
(see there), and ends when nothing new came for --until-idle seconds. Those count from the moment
everything that stood in the topic was read, and a broker that does not answer is an error, not
silence. It joins no group and commits nothing. On an error: one sentence on stderr, exit status 1.
"""

import sys
import time

from read import STALL_SECONDS, Reader, parser, run, to_object


def follow(bootstrap, topic, until_idle):
    """Yields every record as it becomes visible, until none came for that many seconds."""
    reader = Reader(bootstrap, topic)
    try:
        ends = reader.ends()
        reader.start(reader.partitions)
        new = heard = time.monotonic()  # when a record came; when a record or an end of one came
        while True:
            message = reader.poll(min(until_idle, 0.5))
            if message is not None:
                behind = any(reader.reached[p] < end for p, end in ends.items())
                heard = time.monotonic()
                if not message.error() or behind:
                    new = heard
                if not message.error():
                    yield to_object(message)
                continue
            now = time.monotonic()
            if now - new < until_idle:
                continue
            ends = reader.ends()  # idle only if the broker says so too
            if all(reader.reached[p] >= end for p, end in ends.items()):
                return
            if now - heard > max(STALL_SECONDS, until_idle):
                raise reader.stalled(ends)
    finally:
        reader.close()


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--until-idle", required=True, type=float, metavar="SECONDS",
                           help="end when nothing new came for this long")
    given = arguments.parse_args()
    if given.until_idle <= 0:
        arguments.error("--until-idle must be above 0")
    sys.exit(run(follow(given.bootstrap, given.topic, given.until_idle)))
