//! (being built)
use super::{Event, PersonKey, Refusal};
/// (being built)
pub fn decode_protobuf<'a>(_bytes: &'a [u8], _key: &PersonKey) -> Result<Event<'a>, Refusal> {
    Err(Refusal::new(super::Reason::MalformedProtobuf, "being built"))
}
