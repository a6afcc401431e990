#!/bin/sh
# Installs what a build needs besides Rust: a C compiler with its library headers (the memory
# allocator is written in C). Nothing is installed when it is there.
set -eu

fail() {
    echo "error: $1" >&2
    exit 1
}

command -v cargo >/dev/null 2>&1 \
    || fail "Rust is missing: install it from https://rustup.rs (1.90 or newer), then run this again"

if command -v cc >/dev/null 2>&1 && printf '#include <stdlib.h>\nint main(void) { return 0; }\n' \
    | cc -x c -o /dev/null - 2>/dev/null; then
    exit 0
fi

by_hand="install gcc and the C library headers (Debian, Ubuntu: apt-get install gcc libc6-dev)"
command -v apt-get >/dev/null 2>&1 || fail "there is no working C compiler and no apt-get; $by_hand"
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "there is no C compiler, and no sudo to install one; $by_hand"
    as_root=sudo
fi
$as_root apt-get update -q >&2 || fail "apt-get update failed; $by_hand"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev >&2 \
    || fail "apt-get install failed; $by_hand"
