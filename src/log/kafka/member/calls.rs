//! The calls of the trait.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::super::drain::{self, KafkaBatch};
use super::super::inputs::Proof;
use super::super::outcome::{misuse, of_call};
use super::super::range::RangeError;
use super::super::sweep::sweep;
use super::{COMMITTED_WAIT, KafkaLog, RANGE_WAIT, SAY_AGAIN, SETTLED_WAIT, SLICE};
use crate::clock;
use crate::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, ReadRange, SweepAs, TopicId, TopicPartition, Watermarks,
};

/// Milliseconds between two moments, rounded up: a proof must not look younger than it is.
fn age_ms(from: Instant, to: Instant) -> i64 {
    let micros = to.saturating_duration_since(from).as_micros();
    i64::try_from(micros.div_ceil(1_000)).unwrap_or(i64::MAX)
}

impl Log for KafkaLog {
    type Batch = KafkaBatch;

    fn init(&mut self) -> Result<bool, LogError> {
        if self.subscribed {
            return Ok(true);
        }
        if !self.transactions.init()? || self.cluster.stays_away(&self.name) {
            return Ok(false);
        }
        let options = self.cluster.options();
        let topic = |id: &TopicId| options.topics.get(usize::from(id.0)).map(String::as_str);
        let topics: Vec<&str> = options.inputs.iter().filter_map(topic).collect();
        let _watched = self.cluster.guard("joining the group");
        self.consumer.subscribe(&topics).map_err(|error| misuse(&error.to_string()))?;
        self.subscribed = true;
        Ok(true)
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled<KafkaBatch>, LogError> {
        self.ready()?;
        let _watched = self.cluster.guard("polling the group");
        let mut now = clock::monotonic();
        let deadline = now + wait;
        self.rest_reader(now);
        loop {
            self.serve()?;
            if let Some(happening) = self.consumer.context().next() {
                return self.happening(happening);
            }
            if let Some(error) = self.pending.take() {
                return Err(error);
            }
            // Also while records come without a pause: the silence of one topic must be heard however
            // loud the others are.
            self.ask(now)?;
            if self.inputs.hear() {
                self.heard();
            }
            if let Some(Proof { at, position, asked }) = self.inputs.proof(now) {
                return Ok(Polled::Drained { at, position, asked_ms_ago: age_ms(asked, now) });
            }
            let left = deadline.saturating_duration_since(now);
            if let Some(batch) = self.take(left.min(SLICE))? {
                return Ok(Polled::Records(batch));
            }
            now = clock::monotonic();
            if self.silence.lost && self.silence.said.is_none_or(|said| now - said >= SAY_AGAIN) {
                self.silence.said = Some(now);
                self.inputs.doubt();
                let trouble = self.cluster.trouble().map(|trouble| trouble.sentence);
                let detail = trouble.unwrap_or_else(|| "no broker answers".to_owned());
                return Err(LogError::Unavailable { detail });
            }
            if self.pending.is_none() && now >= deadline {
                return Ok(Polled::Idle);
            }
        }
    }

    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.ready()?;
        let offset = |offset: &Offset| Place::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
        let list = self.list(positions.iter().map(|(at, from)| (*at, offset(from))))?;
        if positions.iter().any(|(at, _)| !self.cluster.options().inputs.contains(&at.topic)) {
            return Err(misuse("only inputs are read by a member"));
        }
        // Recovery is over: its reader would only hold memory and connections.
        self.reader = None;
        if self.consumer.context().has_news() {
            // The next poll tells of it, and this assignment is of the past.
            return Ok(());
        }
        let _watched = self.cluster.guard("starting to read");
        let nothing = TopicPartitionList::new();
        let failed = |error: LibraryError| misuse(&format!("reading could not be started: {error}"));
        // Stopping takes the forwarding away. The first call asks for the stop; the second is
        // answered behind it.
        self.consumer.assign(&nothing).map_err(failed)?;
        self.consumer.assign(&nothing).map_err(failed)?;
        for (at, _) in positions {
            let (name, partition) = self.place(*at)?;
            if !self.queue.forward(&self.consumer, name, partition) {
                return Err(misuse("a partition could not be forwarded"));
            }
        }
        self.inputs.start(positions);
        self.pending = None;
        if positions.is_empty() { Ok(()) } else { self.consumer.assign(&list).map_err(failed) }
    }

    fn unassign(&mut self) -> Result<(), LogError> {
        self.ready()?;
        self.inputs.start(&[]);
        self.pending = None;
        if self.revoking {
            self.membership = None;
            self.let_go();
            return Ok(());
        }
        let _watched = self.cluster.guard("ceasing to read");
        let nothing = TopicPartitionList::new();
        self.consumer.assign(&nothing).map_err(|error| misuse(&error.to_string()))
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.ready()?;
        if partitions.is_empty() {
            return Ok(Committed::Positions(Vec::new()));
        }
        let list = self.list(partitions.iter().map(|at| (*at, Place::Invalid)))?;
        let _watched = self.cluster.guard("the group's positions");
        let answer = self.consumer.committed_offsets(list, COMMITTED_WAIT);
        let list = match answer {
            Ok(list) => list,
            // The brokers say "not yet" and the library asks again until its time is up.
            Err(error)
                if error.rdkafka_error_code() == Some(Code::OperationTimedOut)
                    && !self.consumer.context().base().all_down() =>
            {
                return Ok(Committed::Pending);
            }
            Err(error) => return Err(of_call(&self.cluster, "the group's positions", &error)),
        };
        let mut found = Vec::with_capacity(partitions.len());
        for (offset, failed, metadata) in drain::positions(&list) {
            if let Some(code) = failed {
                let error = LibraryError::OffsetFetch(code);
                return Err(of_call(&self.cluster, "the group's positions", &error));
            }
            let position = Offset::try_from(offset).ok();
            found.push(position.map(|position| CommittedPosition { position, metadata }));
        }
        self.consumer.context().base().heard();
        Ok(Committed::Positions(found))
    }

    fn watermarks(&mut self, at: TopicPartition) -> Result<Watermarks, LogError> {
        self.ready()?;
        self.prober.watermarks(at)
    }

    fn read_range(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadRange<KafkaBatch>, LogError> {
        self.ready()?;
        self.place(at)?;
        let _watched = self.cluster.guard("reading a range");
        match self.reader()?.read(at, from, max_bytes, RANGE_WAIT) {
            Ok(range) => Ok(range),
            Err(RangeError::OutOfRange { offset }) => Err(self.out_of_range(at, offset)),
            Err(RangeError::Failed { code, .. }) => {
                let error = LibraryError::MessageConsumption(code);
                Err(self
                    .no_access(code, Some(at))
                    .unwrap_or_else(|| of_call(&self.cluster, "reading a range", &error)))
            }
        }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.ready()?;
        let begun = self.transactions.begin();
        self.judged(begun)
    }

    fn send(&mut self, record: &OutRecord) -> Result<(), LogError> {
        let sent = self.transactions.send(record);
        self.judged(sent)
    }

    fn drain(&mut self) -> Result<Drain, LogError> {
        let drained = self.transactions.drain();
        self.judged(drained)
    }

    fn last_sent(&self, at: TopicPartition) -> Option<Offset> {
        self.transactions.last_sent(at)
    }

    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        let held = self.membership.as_ref().filter(|known| known.shown == *group);
        let Some(held) = held.and_then(|known| known.held.as_ref()) else {
            let detail = "the membership is not the present one".to_owned();
            return self.transactions.is_open().and(Err(LogError::AbortRequired { detail }));
        };
        let sent = self.transactions.send_offsets(positions, held);
        self.judged(sent)
    }

    fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        let outcome = self.transactions.commit();
        match self.judged(outcome)? {
            CommitOutcome::Fenced => match self.who_fenced("the commit was refused") {
                LogError::Fenced { .. } => Ok(CommitOutcome::Fenced),
                error => Err(error),
            },
            outcome => Ok(outcome),
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let aborted = self.transactions.abort();
        self.judged(aborted)
    }

    fn settled(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.ready()?;
        match self.cluster.positions(partitions, SETTLED_WAIT) {
            Ok(found) => Ok(Committed::Positions(found)),
            Err(error) if error.is_permanent() => Err(misuse(&error.to_string())),
            Err(error) => Err(LogError::Unavailable { detail: error.to_string() }),
        }
    }

    fn stable_end(&mut self, at: TopicPartition) -> Result<Offset, LogError> {
        self.ready()?;
        let (name, partition) = self.place(at)?;
        let name = name.to_owned();
        let _watched = self.cluster.guard("the end of what is committed");
        let answer = self.reader()?.consumer().fetch_watermarks(&name, partition, SETTLED_WAIT);
        let (_, end) =
            answer.map_err(|error| of_call(&self.cluster, "the end of what is committed", &error))?;
        Offset::try_from(end)
            .map_err(|_| LogError::Unavailable { detail: format!("the end of {name} is unknown") })
    }

    fn sweep(&mut self, partitions: &[TopicPartition], how: SweepAs) -> Result<(), LogError> {
        self.ready()?;
        let group = self.membership.as_ref().and_then(|membership| membership.held.as_ref());
        let Some(group) = group else { return Err(misuse("only a member of the group can sweep")) };
        tracing::warn!(
            member = self.name,
            ?how,
            "recovery is held back by a transaction that its coordinator takes for ended; if it was ours, it \
             is ended now"
        );
        let swept = sweep(&mut self.transactions, partitions, group, how);
        self.judged(swept)
    }
}
