#!/bin/sh
# Installs the outside tools that some tests call: promtool, from Debian's `prometheus` package
# (the Prometheus service itself is not started), and the program `kill`, from `procps`. With
# --check nothing is installed: the exit code says whether everything is here.
set -eu

packages=
command -v promtool >/dev/null 2>&1 || packages="prometheus"
# The shell's own `kill` does not count: tests start the program.
[ -x /bin/kill ] || [ -x /usr/bin/kill ] || packages="$packages procps"

if [ -z "$packages" ]; then
    echo "test tools are here: promtool ($(command -v promtool)), kill"
    exit 0
fi
[ "${1:-}" != --check ] || exit 1

fail() {
    echo "error: the test tools could not be installed ($packages): $1" >&2
    echo "  get them by hand: 'apt-get install prometheus procps' on Debian or Ubuntu," >&2
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
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages \
    || fail "apt-get install failed"
command -v promtool >/dev/null 2>&1 || fail "the package was installed but promtool is not on PATH"
echo "installed: $packages"
