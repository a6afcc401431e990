#!/bin/sh
# Every check there is, in the order in which they fail fastest. CI and people call this one.
set -eu
cd "$(dirname "$0")/.."

scripts/setup-build-tools.sh
scripts/setup-test-tools.sh
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    rustup component add rustfmt clippy
fi

cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo test --locked
