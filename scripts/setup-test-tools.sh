#!/bin/sh
# Installs the outside tools that some tests call. Today that is promtool, from Debian's
# `prometheus` package; the Prometheus service itself is not started.
set -eu

if command -v promtool >/dev/null 2>&1; then
    echo "promtool is here: $(command -v promtool)"
    exit 0
fi

fail() {
    echo "error: promtool could not be installed: $1" >&2
    echo "  get it by hand: 'apt-get install prometheus' on Debian or Ubuntu," >&2
    echo "  'brew install prometheus' on macOS, or unpack a release of the Prometheus project" >&2
    echo "  and put its promtool on PATH." >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 || fail "this system has no apt-get"
[ "$(id -u)" = 0 ] || fail "apt-get needs root; run 'sudo scripts/setup-test-tools.sh'"

# Debian starts services on installation unless policy-rc.d forbids it (exit code 101). A file
# that is already there belongs to the system and is left as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

apt-get update -q || fail "apt-get update failed"
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus \
    || fail "apt-get install failed"
command -v promtool >/dev/null 2>&1 || fail "the package was installed but promtool is not on PATH"
echo "promtool is here: $(command -v promtool)"
