import argparse, json
from confluent_kafka import Consumer, TopicPartition, KafkaError
p = argparse.ArgumentParser(); p.add_argument("--bootstrap"); p.add_argument("--topic"); a = p.parse_args()
c = Consumer({"bootstrap.servers": a.bootstrap, "group.id": "tmp-reader", "isolation.level": "read_committed", "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True})
parts = list(c.list_topics(a.topic, timeout=10).topics[a.topic].partitions)
c.assign([TopicPartition(a.topic, q, 0) for q in parts])
left = set(parts)
while left:
    m = c.poll(10)
    if m is None: continue
    if m.error():
        if m.error().code() == KafkaError._PARTITION_EOF: left.discard(m.partition()); continue
        raise SystemExit(str(m.error()))
    v = m.value()
    try: v = json.loads(v) if v is not None else None
    except Exception: v = v.decode("latin1")
    print(json.dumps({"partition": m.partition(), "offset": m.offset(), "key": m.key().decode(), "value": v}))
c.close()
