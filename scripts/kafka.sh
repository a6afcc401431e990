#!/bin/sh
# A real Apache Kafka on this machine, one node, without Docker.
#
#   scripts/kafka.sh start [--port N] [--data DIR]    start it, wait until it answers
#   scripts/kafka.sh stop [--port N] [--data DIR]     stop it; its records stay
#   scripts/kafka.sh status [--port N] [--data DIR]   exit code 0 when it runs
#   scripts/kafka.sh fetch                            only get the jars (start does it as well)
#   scripts/kafka.sh jars                             print where the jars are; exit code 1 when they are not
#   scripts/kafka.sh pin                              after a change of scripts/kafka/pom.xml
#
# Port 9092 unless told otherwise; the port after it is for the broker's own use. The jars come
# by Maven and are held to scripts/kafka/jars.sha256. They are kept in ~/.cache/accountpulse, as
# is the data of a broker without --data; ACCOUNTPULSE_TOOLS names another folder. Behind a
# mirror, name it in Maven's settings.xml.
set -eu
here=$(cd "$(dirname "$0")/kafka" && pwd)
tools=${ACCOUNTPULSE_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/accountpulse}
jars=$tools/kafka
started_line="Kafka Server started"

fail() {
    echo "error: $1" >&2
    exit 1
}

java_is_new_enough() {
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || return 1
    [ "${version:-0}" -ge 17 ]
}

# Installs the first of the packages that the system knows; $1 says what a person may do instead.
install_one() {
    by_hand=$1
    shift
    command -v apt-get >/dev/null 2>&1 || fail "$by_hand"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "$by_hand"
        as_root=sudo
    fi
    $as_root apt-get update -q >&2 || fail "apt-get update failed; $by_hand"
    for package in "$@"; do
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "$package" >&2 && return 0
    done
    fail "apt-get install failed; $by_hand"
}

need_java() {
    java_is_new_enough && return 0
    # Newer systems have left 17 behind.
    install_one "Kafka needs Java 17 or newer: install it (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), then run this again" \
        openjdk-17-jre-headless openjdk-21-jre-headless openjdk-25-jre-headless
    java_is_new_enough || fail "Java was installed, but the 'java' on PATH is older than 17"
}

need_maven() {
    command -v mvn >/dev/null 2>&1 && return 0
    install_one "Kafka's jars are fetched by Maven: install it (Debian, Ubuntu: apt-get install maven), then run this again" maven
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# The folder appears only when all is there and right, and holds the list it was held to.
jars_are_here() {
    cmp -s "$here/jars.sha256" "$jars/jars.sha256"
}

download() {
    need_maven
    mkdir -p "$tools"
    part=$(mktemp -d "$tools/kafka.part.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 1' INT TERM
    if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$part/new" >"$part/log" 2>&1; then
        sed -n 's/.*\[ERROR\] \(..*\)/Maven: \1/p' "$part/log" | head -n 1 >&2
        fail "Maven could not fetch Kafka's jars: is there a network? A mirror belongs into Maven's settings.xml"
    fi
    (cd "$part/new" && LC_ALL=C && export LC_ALL && sha256 *.jar) >"$part/jars.sha256"
}

fetch() {
    need_java
    jars_are_here && return 0
    echo "fetching Kafka's jars (about 44 MB) into $jars" >&2
    download
    if ! diff "$here/jars.sha256" "$part/jars.sha256" >&2; then
        fail "what was fetched is not what scripts/kafka/jars.sha256 names; nothing was kept"
    fi
    mv "$part/jars.sha256" "$part/new/"
    # Another fetch may have been faster; then its folder is as good.
    [ ! -e "$jars" ] || mv "$jars" "$part/old"
    mv "$part/new" "$jars" 2>/dev/null || jars_are_here || fail "cannot write $jars"
}

jars() {
    jars_are_here || fail "Kafka's jars are not here: run scripts/kafka.sh fetch"
    java_is_new_enough || fail "Java 17 or newer is not here: run scripts/kafka.sh fetch"
    echo "$jars"
}

pin() {
    need_java
    download
    mv "$part/jars.sha256" "$here/jars.sha256"
    echo "wrote scripts/kafka/jars.sha256"
}

# The pid of the broker of $data, or nothing. A number that was given to another process since
# is not taken for ours.
running() {
    pid=$(cat "$data/pid" 2>/dev/null) || return 1
    ps -p "$pid" -o args= 2>/dev/null | grep -qF "$data/server.properties"
}

write_settings() {
    cat >"$data/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
log.dirs=$data/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A broker that was killed comes back after these 2 seconds instead of 9.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
END
}

start() {
    if running; then
        echo "Kafka runs on 127.0.0.1:$port already (pid $pid)"
        return 0
    fi
    fetch
    mkdir -p "$data"
    write_settings
    if [ ! -e "$data/data/meta.properties" ]; then
        cluster=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | cut -c1-22)
        java -cp "$jars/*" kafka.tools.StorageTool format -t "$cluster" -c "$data/server.properties" \
            >"$data/log" 2>&1 || fail "the data folder could not be made, see $data/log"
    fi
    # Emptied before the process is there: an old line must not count as its word.
    : >"$data/log"
    # Neither Ctrl-C nor the end of the terminal or of a process group is for the broker.
    detach=
    ! command -v setsid >/dev/null 2>&1 || detach=setsid
    $detach nohup java -Xms256m -Xmx512m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$here/log4j2.properties" \
        -cp "$jars/*" kafka.Kafka "$data/server.properties" </dev/null >>"$data/log" 2>&1 &
    pid=$!
    echo "$pid" >"$data/pid"
    # The line is written once every listener is open and the broker may serve.
    until grep -qF "$started_line" "$data/log"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            rm -f "$data/pid"
            ! grep -q "Address already in use" "$data/log" \
                || fail "port $port or $((port + 1)) is taken by another program: stop it, or choose with --port"
            fail "the broker ended while it started, see $data/log"
        fi
        sleep 0.1
    done
    echo "Kafka runs on 127.0.0.1:$port (pid $pid), data in $data"
}

stop() {
    if ! running; then
        echo "no Kafka runs on port $port"
        return 0
    fi
    kill "$pid" 2>/dev/null || true
    while running; do sleep 0.1; done
    rm -f "$data/pid"
    echo "Kafka has stopped; its records are in $data"
}

status() {
    running || { echo "no Kafka runs on port $port"; exit 1; }
    echo "Kafka runs on 127.0.0.1:$port (pid $pid), data in $data"
}

command=${1:-}
[ $# = 0 ] || shift
port=9092
data=
while [ $# -gt 0 ]; do
    case "$1" in
        --port) port=${2:-} ;;
        --data) data=${2:-} ;;
        *) fail "'$1' is unknown: there are --port N and --data DIR" ;;
    esac
    [ -n "${2:-}" ] || fail "$1 needs a value"
    shift 2
done
case "$port" in
    *[!0-9]*) fail "--port needs a number, not '$port'" ;;
esac
data=${data:-$tools/kafka-data-$port}
case "$data" in
    /*) ;;
    *) data=$PWD/$data ;;
esac

case "$command" in
    start) start ;;
    stop) stop ;;
    status) status ;;
    fetch) fetch ;;
    pin) pin ;;
    jars) jars ;;
    *) fail "say what to do: start, stop, status, fetch, jars or pin (see the head of scripts/kafka.sh)" ;;
esac
