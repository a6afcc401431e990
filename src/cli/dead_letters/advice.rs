//! What to do about a reason: one sentence that begins with the hand that has to move.

use crate::engine::event::Reason;

/// The next step for a code.
pub fn advice(code: &str) -> &'static str {
    let Some(reason) = Reason::ALL.into_iter().find(|reason| reason.code() == code) else {
        return "this version of accountpulse does not know the code; ask the one that wrote the letter";
    };
    match reason {
        Reason::MalformedJson
        | Reason::MalformedProtobuf
        | Reason::MalformedFraming
        | Reason::MalformedCloudEvent => {
            "look at one with `show`: its producer writes something else than an event; repair it there and send \
             these again from there, as they stand they stay unreadable"
        }
        Reason::UnsupportedSpecversion | Reason::UnsupportedVersion | Reason::UnknownKind => {
            "update accountpulse if the event is of a newer kind, then `resubmit`; otherwise repair the producer"
        }
        Reason::MissingField | Reason::InvalidField | Reason::DuplicateField => {
            "repair the field that the sentence names in the producer, and send these again from there"
        }
        Reason::TooLarge => "send less in one event: what it carries beyond its kind is ignored anyway",
        Reason::Future => {
            "correct the producer's clock or time zone; once their time has come, or after raising clock.skew_limit, \
             `resubmit`"
        }
        Reason::MissingKey => {
            "key the records by account_id in the producer, and send these again from there"
        }
        Reason::KeyMismatch => {
            "key the records by account_id in the producer, and send these again from there"
        }
        Reason::WrongPartition => {
            "set the producer's partitioner to murmur2 (murmur2_random in librdkafka), then `resubmit`: each goes to \
             the partition of its key"
        }
        Reason::AccountLimit => {
            "find out why there are so many accounts (`list` shows the keys); resubmitting is refused again while the \
             shard is full"
        }
        Reason::Late => {
            "nothing, if history was loaded out of order; it cannot be told any more whether these were counted, and \
             resubmitting finds them late again"
        }
    }
}
