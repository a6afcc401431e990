#!/bin/sh
# Every check there is, in the order in which they fail fastest. CI and people call this one.
set -eu
cd "$(dirname "$0")/.."

scripts/setup-build-tools.sh
if ! scripts/setup-test-tools.sh --check; then
    if [ "$(id -u)" = 0 ]; then
        scripts/setup-test-tools.sh
    else
        sudo scripts/setup-test-tools.sh
    fi
fi
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    rustup component add rustfmt clippy
fi

cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo test --locked
