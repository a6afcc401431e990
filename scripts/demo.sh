#!/bin/sh
# Everything from a fresh clone to a running demo: installs a C compiler if there is none, builds,
# runs `accountpulse demo` with the arguments given. Ctrl-C ends it; the same command goes on.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

"$here/scripts/setup-build-tools.sh"
cargo build --manifest-path "$here/Cargo.toml" --locked
exec "${CARGO_TARGET_DIR:-$here/target}/debug/accountpulse" demo "$@"
