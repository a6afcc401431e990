#!/bin/sh
# Everything from a fresh clone to a running demo: installs compilers if there are none, builds,
# runs `accountpulse demo` with the arguments given. Ctrl-C ends it; the same command goes on.
#
# With --kafka as the first argument the demo runs on a real Kafka on port 9092 of this machine,
# which is fetched and started if none runs; it goes on after the demo: scripts/kafka.sh stop.
# The directory is then accountpulse-demo-kafka, since the one of the embedded log has another company.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

if [ "${1:-}" = --kafka ]; then
    shift
    set -- -c "$here/examples/kafka-local.yaml" "$@"
    : "${ACCOUNTPULSE_DATA:=accountpulse-demo-kafka}"
    export ACCOUNTPULSE_DATA
    on_kafka=yes
fi
"$here/scripts/setup-build-tools.sh"
cargo build --manifest-path "$here/Cargo.toml" --locked
[ -z "${on_kafka:-}" ] || "$here/scripts/kafka.sh" start
exec "${CARGO_TARGET_DIR:-$here/target}/debug/accountpulse" demo "$@"
