#!/bin/sh
# Gets the outside tools that some tests call:
#
#   promtool           from Debian's `prometheus` package (the service itself is not started)
#   kill, ps           the programs, from `procps`
#   openssl            makes the certificates of test brokers
#   Kafka              the jars of a real broker, and Java (scripts/kafka.sh fetch)
#   confluent-kafka    in a Python environment of its own, by tests/kafka/requirements.txt: a
#                      client that knows nothing of this repository
#
# The last two are kept in ~/.cache/accountpulse (ACCOUNTPULSE_TOOLS names another folder), so a
# fresh clone finds them. Run it as yourself: only apt is called through sudo. With --check
# nothing is installed: the exit code says whether everything is here. With --python the path of
# that Python is printed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/../tests/kafka/requirements.txt
tools=${ACCOUNTPULSE_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/accountpulse}
environment=$tools/python

# The environment appears only when it is complete, and holds the list it was made from.
python_is_here() {
    cmp -s "$requirements" "$environment/requirements.txt" \
        && "$environment/bin/python" -c 'import confluent_kafka' 2>/dev/null
}

if [ "${1:-}" = --python ]; then
    python_is_here || { echo "error: the tests' Python is not here: run scripts/setup-test-tools.sh" >&2; exit 1; }
    echo "$environment/bin/python"
    exit 0
fi

packages=
command -v promtool >/dev/null 2>&1 || packages="prometheus"
# The shell's own `kill` does not count: tests start the program.
{ [ -x /bin/kill ] || [ -x /usr/bin/kill ]; } && command -v ps >/dev/null 2>&1 || packages="$packages procps"
command -v openssl >/dev/null 2>&1 || packages="$packages openssl"
python_is_here || python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"

if [ "${1:-}" = --check ]; then
    [ -z "$packages" ] && python_is_here && "$here/kafka.sh" jars >/dev/null 2>&1 || exit 1
    echo "test tools are here: promtool ($(command -v promtool)), kill, openssl, Kafka and Python (in $tools)"
    exit 0
fi

fail() {
    echo "error: the test tools could not be installed: $1" >&2
    echo "  get them by hand: 'apt-get install prometheus procps openssl python3-venv' on Debian or" >&2
    echo "  Ubuntu, 'brew install prometheus openssl python' on macOS, or unpack a release of the" >&2
    echo "  Prometheus project and put its promtool on PATH; then run this again." >&2
    exit 1
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || fail "$packages is missing, and this system has no apt-get"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "$packages is missing, apt-get needs root, and there is no sudo"
        as_root=sudo
    fi
    # Debian starts services on installation unless policy-rc.d forbids it (exit code 101). A
    # file that is already there belongs to the system and is left as it is.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
        trap '$as_root rm -f "$policy"' EXIT
    fi
    $as_root apt-get update -q || fail "apt-get update failed"
    # shellcheck disable=SC2086 # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages \
        || fail "apt-get install failed"
    command -v promtool >/dev/null 2>&1 || fail "the package was installed but promtool is not on PATH"
    echo "installed: $packages"
}

make_environment() {
    echo "making the tests' Python environment in $environment"
    mkdir -p "$tools"
    part=$(mktemp -d "$tools/python.part.XXXXXX")
    python3 -m venv "$part/new" || { rm -rf "$part"; fail "python3 -m venv failed"; }
    if ! "$part/new/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: \
        -r "$requirements"; then
        rm -rf "$part"
        fail "pip could not install tests/kafka/requirements.txt: is there a network?"
    fi
    cp "$requirements" "$part/new/"
    [ ! -e "$environment" ] || mv "$environment" "$part/old"
    mv "$part/new" "$environment"
    rm -rf "$part"
    python_is_here || fail "the environment was made, but confluent_kafka cannot be imported from it"
}

[ -z "$packages" ] || install_packages
"$here/kafka.sh" fetch
python_is_here || make_environment
"$here/setup-test-tools.sh" --check
