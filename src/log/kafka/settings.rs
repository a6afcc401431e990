//! The settings of every kind of client, in one place: the reader of a setting should not have to
//! know which of five places wins.
//!
//! Order: what all clients share, what the kind needs, the operator's own properties, and last the
//! names under which the cluster knows us. To add a kind: a function beside the others.

use std::fmt::Display;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::options::KafkaOptions;
use super::security;

/// What a consumer that is no member may have waiting: one partition at a time, or none.
const QUEUED_KIB: usize = 16 * 1024;

/// Half of what a member may have fetched. All its partitions are forwarded to one queue, and the
/// library holds the size of that queue against the limit of each: so it is the limit of all. A
/// request that begins just below it brings one answer more.
fn half(options: &KafkaOptions) -> usize {
    options.fetched_bytes / 2
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn set(config: &mut ClientConfig, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        config.set(*key, *value);
    }
}

/// What all clients share.
fn common(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    set(
        &mut config,
        &[
            // Back soon after a broker has come back (library: 10 s).
            ("reconnect.backoff.max.ms", "500"),
            // A host that swallows packets is named within 10 s (library: 30 s).
            ("socket.connection.setup.timeout.ms", "10000"),
            ("socket.keepalive.enable", "true"),
            // Idle connections are closed by brokers every ten minutes: no news.
            ("log.connection.close", "false"),
            // A typing error in a topic's name must not become a topic.
            ("allow.auto.create.topics", "false"),
            // The library would send its metrics to the cluster's operator.
            ("enable.metrics.push", "false"),
            ("statistics.interval.ms", "0"),
        ],
    );
    security::apply(&options.security, &mut config);
    config
}

/// The operator's properties, then our names.
fn finish(mut config: ClientConfig, options: &KafkaOptions, client_id: &str) -> ClientConfig {
    config.extend(options.properties.clone());
    config.set("bootstrap.servers", &options.brokers);
    config.set("client.id", client_id);
    let debug = options.properties.contains_key("debug");
    config.set_log_level(if debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
    config
}

/// What all consumers share.
fn consumer(options: &KafkaOptions) -> ClientConfig {
    let mut config = common(options);
    set(
        &mut config,
        &[
            // Positions are committed inside our transactions and nowhere else.
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // We always say where to start; a position that does not exist is an error.
            ("auto.offset.reset", "error"),
            // The sign for "caught up".
            ("enable.partition.eof", "true"),
            // Damaged data must not become state (library: not checked).
            ("check.crcs", "true"),
            // A broker gathers records for this long, or so many bytes of them: answers with a few records
            // each would cost both sides more than the records do, and empty ones are what being idle costs.
            ("fetch.wait.max.ms", "40"),
            ("fetch.min.bytes", "32768"),
            ("fetch.max.bytes", "52428800"),
            // At the limit of the queue the library would pause for a second.
            ("fetch.queue.backoff.ms", "10"),
            ("queued.min.messages", "100000"),
        ],
    );
    config.set("queued.max.messages.kbytes", QUEUED_KIB.to_string());
    config
}

/// The consumer of a worker: a static member of the group.
pub(super) fn member(options: &KafkaOptions, worker: u32) -> ClientConfig {
    let name = format!("{}-{worker}", options.instance);
    let mut config = consumer(options);
    set(
        &mut config,
        &[
            ("isolation.level", "read_committed"),
            // Partitions of one number go together, whatever the topic: only `range` does that.
            ("partition.assignment.strategy", "range"),
            ("heartbeat.interval.ms", "3000"),
            ("max.partition.fetch.bytes", "1048576"),
        ],
    );
    config.set("queued.max.messages.kbytes", (half(options) / 1024).to_string());
    config.set("fetch.max.bytes", half(options).to_string());
    // The longest time between two polls must not be below the session.
    let longest = options.session_timeout.max(Duration::from_secs(300));
    config.set("max.poll.interval.ms", millis(longest));
    if options.session_timeout < Duration::from_secs(9) {
        // Three heartbeats fit into a session.
        config.set("heartbeat.interval.ms", millis(options.session_timeout / 3));
    }
    let mut config = finish(config, options, &name);
    config.set("group.id", &options.group);
    config.set("group.instance.id", &name);
    config.set("session.timeout.ms", millis(options.session_timeout));
    config
}

/// What both producers share.
fn producer(options: &KafkaOptions) -> ClientConfig {
    let mut config = common(options);
    set(
        &mut config,
        &[
            ("enable.idempotence", "true"),
            // As Java producers do; the library's own default disagrees about a key's partition.
            ("partitioner", "murmur2_random"),
            ("retry.backoff.ms", "10"),
            ("linger.ms", "1"),
            ("compression.codec", "lz4"),
            ("batch.num.messages", "10000"),
            ("batch.size", "1000000"),
            // Bounds memory; a full queue is back-pressure.
            ("queue.buffering.max.messages", "1000000"),
            ("queue.buffering.max.kbytes", "262144"),
        ],
    );
    config
}

/// The producer of a worker.
pub(super) fn transactional(options: &KafkaOptions, worker: impl Display) -> ClientConfig {
    let name = format!("{}-{worker}", options.instance);
    let mut config = finish(producer(options), options, &name);
    // Only these lines tell of a request that was lost (see `delivery.rs`).
    let debug =
        options.properties.get("debug").map_or_else(|| "eos".to_owned(), |more| format!("{more},eos"));
    config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    // Under this name its transactions are fenced.
    config.set("transactional.id", format!("{}-{name}", options.group));
    config.set("transaction.timeout.ms", millis(options.transaction_timeout));
    config
}

/// A producer without transactions.
pub(super) fn appender(options: &KafkaOptions) -> ClientConfig {
    let mut config = producer(options);
    set(
        &mut config,
        &[
            // Whoever waits for an append has long gone then.
            ("message.timeout.ms", "30000"),
            // What may be on its way while the cluster is away.
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
        ],
    );
    finish(config, options, &format!("{}-appender", options.instance))
}

/// A consumer that reads committed records of partitions it is told. It has no group: what it
/// reads is nobody's position, and it needs no coordinator.
pub(super) fn reader(options: &KafkaOptions) -> ClientConfig {
    let mut config = consumer(options);
    config.set("isolation.level", "read_committed");
    config.set("max.partition.fetch.bytes", "4194304");
    finish(config, options, &format!("{}-reader", options.instance))
}

/// A consumer that only asks: watermarks with open transactions included, metadata.
pub(super) fn probe(options: &KafkaOptions) -> ClientConfig {
    let mut config = consumer(options);
    config.set("isolation.level", "read_uncommitted");
    finish(config, options, &format!("{}-probe", options.instance))
}

/// As `probe`, under the group's name, for its committed positions. It never joins.
pub(super) fn positions(options: &KafkaOptions) -> ClientConfig {
    let mut config = probe(options);
    config.set("group.id", &options.group);
    config
}

/// For administration. The library counts these clients as producers.
pub(super) fn admin(options: &KafkaOptions) -> ClientConfig {
    finish(common(options), options, &format!("{}-admin", options.instance))
}
