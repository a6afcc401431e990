#!/bin/sh
# Installs what a build needs besides Rust: a C and a C++ compiler with their library headers, make,
# and the headers of OpenSSL and zlib with pkg-config, which finds them (the Kafka client and the
# memory allocator are written in C). Nothing is installed when it is there.
set -eu

fail() {
    echo "error: $1" >&2
    exit 1
}

command -v cargo >/dev/null 2>&1 \
    || fail "Rust is missing: install it from https://rustup.rs (1.90 or newer), then run this again"

# Whether the compiler $1 makes a program of the language $2 that includes header $3.
compiles() {
    command -v "$1" >/dev/null 2>&1 \
        && printf '#include <%s>\nint main(void) { return 0; }\n' "$3" | "$1" -x "$2" -o /dev/null - 2>/dev/null
}

packages=
compiles cc c stdlib.h || packages="gcc libc6-dev"
compiles c++ c++ cstdlib || packages="$packages g++"
command -v make >/dev/null 2>&1 || packages="$packages make"
command -v pkg-config >/dev/null 2>&1 || packages="$packages pkg-config"
pkg-config --exists openssl 2>/dev/null || packages="$packages libssl-dev"
pkg-config --exists zlib 2>/dev/null || packages="$packages zlib1g-dev"
packages=${packages# }
[ -n "$packages" ] || exit 0

by_hand="install a C and a C++ compiler, make, pkg-config, OpenSSL and zlib with headers (Debian, Ubuntu: apt-get install $packages)"
command -v apt-get >/dev/null 2>&1 || fail "the build lacks tools, and there is no apt-get; $by_hand"
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "the build lacks tools, and there is no sudo to install them; $by_hand"
    as_root=sudo
fi
$as_root apt-get update -q >&2 || fail "apt-get update failed; $by_hand"
# shellcheck disable=SC2086 # a list of packages
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >&2 \
    || fail "apt-get install failed; $by_hand"
