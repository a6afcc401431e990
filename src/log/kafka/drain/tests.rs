//! What the batch interface hands out, against the library's own mock of a broker.

use std::collections::BTreeMap;
use std::thread;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::*;
use crate::clock;
use crate::log::kafka::context::{Base, Book};
use crate::log::kafka::reasons::Facts;
use crate::log::kafka::security::Scrub;
use crate::log::kafka::{
    DEFAULT_FETCHED_BYTES, DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, Security, settings,
};

const LONG: Duration = Duration::from_secs(30);
const IN: TopicId = TopicId(0);
const RECORDS: u64 = 100;

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: IN, partition }
}

fn broker() -> (MockCluster<'static, DefaultProducerContext>, KafkaOptions) {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("in", 2, 1).unwrap();
    let options = KafkaOptions {
        brokers: broker.bootstrap_servers(),
        group: "g".to_owned(),
        instance: "i".to_owned(),
        topics: vec!["in".to_owned()],
        inputs: vec![IN],
        partitions: 2,
        session_timeout: DEFAULT_SESSION_TIMEOUT,
        transaction_timeout: DEFAULT_TRANSACTION_TIMEOUT,
        fetched_bytes: DEFAULT_FETCHED_BYTES,
        security: Security::default(),
        properties: BTreeMap::new(),
    };
    (broker, options)
}

/// Each partition gets the same: a record with everything, one with nothing, and then numbers.
fn fill(options: &KafkaOptions) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &options.brokers).create().unwrap();
    for partition in [0, 1] {
        let to = || BaseRecord::<[u8], [u8]>::to("in").partition(partition);
        let header = |key, value| Header { key, value };
        let headers = OwnedHeaders::new()
            .insert(header("h", Some("first")))
            .insert(header("none", None::<&str>))
            .insert(header("h", Some("last")));
        producer.send(to().key(b"k").payload(b"v").headers(headers).timestamp(7)).unwrap();
        producer.send(to()).unwrap();
        for number in 2..RECORDS {
            let number = number.to_string();
            producer.send(to().key(b"").payload(number.as_bytes())).unwrap();
        }
    }
    producer.flush(LONG).unwrap();
}

fn queue(options: &KafkaOptions, most: usize) -> (Arc<Closing<BaseConsumer<Base>>>, BatchQueue) {
    let book = Book::new(Facts::new(options), Scrub::new(&options.security));
    let consumer = settings::reader(options).create_with_context(Base::new(Arc::new(book), None, "test"));
    let consumer = Arc::new(Closing::new(consumer.unwrap(), &Arc::default()));
    let queue = BatchQueue::new(&consumer, options, &[IN], most).unwrap();
    (consumer, queue)
}

/// Everything up to the ends of so many partitions, batch by batch, and these ends.
fn drain(queue: &mut BatchQueue, partitions: usize) -> (Vec<KafkaBatch>, BTreeMap<TopicPartition, Offset>) {
    let (mut batches, mut ends, mut notices) = (Vec::new(), BTreeMap::new(), Vec::new());
    let deadline = clock::monotonic() + LONG;
    while ends.len() < partitions {
        assert!(clock::monotonic() < deadline, "no end within {LONG:?}");
        let messages = queue.take(Duration::from_millis(20), &mut notices);
        batches.push(queue.batch(messages));
        for notice in notices.drain(..) {
            if let Notice::Eof { at, position } = notice {
                ends.insert(at, position);
            }
        }
    }
    (batches, ends)
}

#[test]
fn a_batch_hands_out_what_was_written_and_outlives_its_queue_and_its_client() {
    let (_broker, options) = broker();
    fill(&options);
    let (consumer, mut queue) = queue(&options, 16);
    queue.start(at(0), 0).unwrap();
    queue.start(at(1), 0).unwrap();
    let (batches, ends) = drain(&mut queue, 2);
    assert_eq!(ends, BTreeMap::from([(at(0), RECORDS), (at(1), RECORDS)]));
    queue.stop(at(0));
    queue.stop(at(1));
    drop((queue, consumer));

    // On another thread than the one that took them, which destroys them as well.
    let check = thread::spawn(move || {
        let mut next = BTreeMap::from([(at(0), 0), (at(1), 0)]);
        for batch in batches {
            assert!(batch.len() <= 16);
            for index in 0..batch.len() {
                let record = batch.get(index);
                assert_eq!(next.insert(record.at, record.offset + 1), Some(record.offset));
                assert_eq!(batch.place(index), (record.at, record.offset));
                assert_record(&batch, index);
            }
            let last = batch.len().checked_sub(1).map(|last| batch.place(last));
            assert_eq!(batch.ends().last(), last);
        }
        assert_eq!(next, ends);
    });
    check.join().unwrap();
}

fn assert_record(batch: &KafkaBatch, index: usize) {
    let record = batch.get(index);
    match record.offset {
        0 => {
            assert_eq!((record.key, record.value), (Some(&b"k"[..]), Some(&b"v"[..])));
            assert_eq!(record.timestamp_ms, 7);
            let headers: Vec<_> = batch.headers(index).collect();
            assert_eq!(headers, [("h", &b"first"[..]), ("none", b""), ("h", b"last")]);
            assert_eq!(batch.header(index, "h"), Some(&b"last"[..]));
            assert_eq!(batch.header(index, "other"), None);
        }
        1 => assert_eq!((record.key, record.value), (None, None)),
        number => {
            assert_eq!((record.key, record.value), (Some(&b""[..]), Some(number.to_string().as_bytes())));
        }
    }
    assert_eq!(batch.has_headers(index), record.offset == 0);
    // Three headers: their names and values twice, and their places.
    let headers = if record.offset == 0 { 3 * HEADER_BYTES + 2 * "hfirstnonehlast".len() } else { 0 };
    let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    assert_eq!(batch.weight(index), MESSAGE_BYTES + bytes + headers);
}

#[test]
fn a_missing_offset_is_named_and_what_was_stopped_is_not_handed_out() {
    let (_broker, options) = broker();
    fill(&options);
    let (_consumer, mut queue) = queue(&options, 16);
    queue.start(at(0), RECORDS + 5).unwrap();
    let mut notices = Vec::new();
    let deadline = clock::monotonic() + LONG;
    let missing = loop {
        assert!(clock::monotonic() < deadline, "no notice within {LONG:?}");
        assert!(queue.take(Duration::from_millis(20), &mut notices).is_empty());
        let missing = notices.drain(..).find_map(|notice| match notice {
            Notice::Error { at, offset, code: RDKafkaErrorCode::AutoOffsetReset, .. } => Some((at, offset)),
            _ => None,
        });
        if missing.is_some() {
            break missing;
        }
    };
    assert_eq!(missing, Some((Some(at(0)), Some(RECORDS + 5))));
    queue.stop(at(0));

    queue.start(at(1), 0).unwrap();
    let (batches, _) = drain(&mut queue, 1);
    let read = |batch: &KafkaBatch| (0..batch.len()).all(|index| batch.place(index).0 == at(1));
    assert!(batches.iter().all(read));
    assert_eq!(batches.iter().map(KafkaBatch::len).sum::<usize>(), 100);
}

#[test]
fn text_beside_a_position_need_not_be_utf8() {
    let mut list = TopicPartitionList::new();
    list.add_partition("in", 0);
    list.add_partition_offset("in", 1, rdkafka::Offset::Offset(3)).unwrap();
    list.find_partition("in", 1).unwrap().set_metadata("caf\u{e9}");
    // SAFETY: the list is ours and has two entries; the text of the second has five bytes, of which
    // the last two are one character.
    unsafe {
        let entry = &mut *(*list.ptr()).elems.add(1);
        entry.metadata_size -= 1;
    }
    let found = positions(&list);
    assert_eq!(found[0], (-1001, None, String::new()));
    assert_eq!(found[1], (3, None, "caf\u{fffd}".to_owned()));
}
