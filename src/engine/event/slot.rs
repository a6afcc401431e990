//! One field of a protobuf message while it is read: the last value wins, and what counts as
//! absent follows the schema (a plain field at its zero is absent, an `optional` one is not).
//!
//! To add a type of field: a [`Slot`] here; then name it in a table of `proto.rs`.

use std::borrow::Cow;

use super::MAX_ENTITLED_FEATURES;
use super::value::Raw;
use super::wire::{Damage, FieldKey, Reader};

/// What a table row may name.
pub(super) trait Slot<'a>: Default {
    /// Takes the value that stands next.
    fn read(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<(), Damage>;
    /// What was found, if anything was.
    fn found(self) -> Option<Raw<'a>>;
}

/// A string; empty is absent.
#[derive(Default)]
pub(super) struct Text<'a>(pub &'a str);

impl<'a> Slot<'a> for Text<'a> {
    #[inline]
    fn read(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<(), Damage> {
        self.0 = from.text(key)?;
        Ok(())
    }

    #[inline]
    fn found(self) -> Option<Raw<'a>> {
        (!self.0.is_empty()).then_some(Raw::Text(Cow::Borrowed(self.0)))
    }
}

/// An `optional` string.
#[derive(Default)]
pub(super) struct Given<'a>(Option<&'a str>);

impl<'a> Slot<'a> for Given<'a> {
    fn read(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<(), Damage> {
        self.0 = Some(from.text(key)?);
        Ok(())
    }

    fn found(self) -> Option<Raw<'a>> {
        self.0.map(|text| Raw::Text(Cow::Borrowed(text)))
    }
}

/// A repeated string; none is absent.
#[derive(Default)]
pub(super) struct Texts<'a>(pub Vec<&'a str>);

/// One more than any list may have, for the check of the list to see that it is exceeded.
const MAX_TEXTS: usize = MAX_ENTITLED_FEATURES + 1;

impl<'a> Slot<'a> for Texts<'a> {
    fn read(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<(), Damage> {
        let text = from.text(key)?;
        if self.0.len() < MAX_TEXTS {
            self.0.push(text);
        }
        Ok(())
    }

    fn found(self) -> Option<Raw<'a>> {
        let entries = || self.0.iter().map(|text| Raw::Text(Cow::Borrowed(*text))).collect();
        (!self.0.is_empty()).then(|| Raw::List(entries()))
    }
}

/// Names of fields to clear. They are no value of their own: the message hands them on.
#[derive(Default)]
pub(super) struct Names<'a>(pub Vec<&'a str>);

/// Most names: far more than there are fields, so that names nobody knows cost little.
const MAX_NAMES: usize = 256;

impl<'a> Slot<'a> for Names<'a> {
    fn read(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<(), Damage> {
        let name = from.text(key)?;
        if self.0.len() >= MAX_NAMES {
            return Err(key.too_many());
        }
        self.0.push(name);
        Ok(())
    }

    fn found(self) -> Option<Raw<'a>> {
        None
    }
}

/// Writes the slots of a number: how it is kept, read from a varint, and shown.
macro_rules! number_slot {
    ($($(#[$doc:meta])* $name:ident($kept:ty) = |$n:ident| $read:expr, |$k:ident| $found:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Default)]
            pub(super) struct $name($kept);

            impl<'a> Slot<'a> for $name {
                #[inline]
                fn read(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<(), Damage> {
                    let $n = from.number(key)?;
                    self.0 = $read;
                    Ok(())
                }

                #[inline]
                fn found(self) -> Option<Raw<'a>> {
                    let $k = self.0;
                    $found
                }
            }
        )*
    };
}

// A varint is cut to the width of its field, as protobuf has it.
number_slot! {
    /// An `int64` time in milliseconds; zero is absent.
    Millis(i64) = |n| n as i64, |ms| (ms != 0).then_some(Raw::Millis(ms));
    /// An enum; zero is `_UNSPECIFIED` and absent.
    Code(i32) = |n| n as i32, |code| (code != 0).then_some(Raw::Code(code));
    /// A `uint32`; zero is absent.
    Number(u32) = |n| n as u32, |n| (n != 0).then_some(Raw::Unsigned(n.into()));
    /// An `optional uint32`.
    Counted(Option<u32>) = |n| Some(n as u32), |n| n.map(|n| Raw::Unsigned(n.into()));
    /// An `optional uint64`.
    Wide(Option<u64>) = |n| Some(n), |n| n.map(Raw::Unsigned);
    /// An `optional int64` amount of money.
    Money(Option<i64>) = |n| Some(n as i64),
        |n| n.map(|n| u64::try_from(n).map_or(Raw::Negative(n), Raw::Unsigned));
    /// A `bool`.
    Flag(bool) = |n| n != 0, |flag| flag.then_some(Raw::Bool(true));
}
