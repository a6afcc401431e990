//! Pages: the accounts of one hash bucket as bytes, the unit of checkpointing.
//!
//! Equal content gives equal bytes (accounts by id, counters without their zeros), so a digest
//! of the bytes is a digest of the content. Decoding is total: any bytes give a page or an error.

use super::account::{Decisions, Facts, Lengths};
use super::plain::append;
use serde::Deserialize;
use std::borrow::Cow;

/// Version byte in front of a page. Older versions stay readable for ever.
const PAGE_VERSION: u8 = 1;

/// Why a page or a journal header cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The page is empty of bytes.
    #[error("the page has no bytes")]
    Empty,
    /// Written by another version of the program.
    #[error("the page has version {found}, this program reads up to {readable}; use a newer program")]
    Version {
        /// Its version byte.
        found: u8,
        /// What we read.
        readable: u8,
    },
    /// Not a page.
    #[error("the page is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// A journal record names an account no page and no event knows.
    #[error("the journal names account `{account}`, which no page and no event knows")]
    UnknownAccount {
        /// Which.
        account: String,
    },
}

#[derive(Deserialize)]
pub(super) struct StoredAccount {
    pub id: Box<str>,
    pub facts: Facts,
    pub decisions: Decisions,
}

/// Encodes accounts that are sorted by id, each given as [`encode_account`] writes it.
pub(super) fn encode<'a>(accounts: impl ExactSizeIterator<Item = Cow<'a, [u8]>>) -> Vec<u8> {
    let mut bytes = vec![PAGE_VERSION];
    append(&mut bytes, &accounts.len());
    accounts.for_each(|account| bytes.extend_from_slice(&account));
    bytes
}

/// Appends an account as pages have it, which is as [`StoredAccount`] reads it; how long the parts of its
/// facts are.
pub(super) fn encode_account(bytes: &mut Vec<u8>, id: &str, facts: &Facts, decisions: &Decisions) -> Lengths {
    append(bytes, &id);
    let lengths = facts.append_to(bytes);
    append(bytes, decisions);
    lengths
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<StoredAccount>, PageError> {
    let (&found, body) = bytes.split_first().ok_or(PageError::Empty)?;
    if found != PAGE_VERSION {
        return Err(PageError::Version { found, readable: PAGE_VERSION });
    }
    let damaged = |detail: String| PageError::Damaged { detail };
    let (accounts, rest) =
        postcard::take_from_bytes::<Vec<StoredAccount>>(body).map_err(|error| damaged(error.to_string()))?;
    if !rest.is_empty() {
        return Err(damaged(format!("{} bytes follow the last account", rest.len())));
    }
    if !accounts.is_sorted_by(|a, b| a.id < b.id) {
        return Err(damaged("accounts out of order".to_owned()));
    }
    match accounts.iter().find(|a| !a.facts.is_sound() || !a.decisions.is_sound()) {
        Some(account) => Err(damaged(format!("account `{}` is not well-formed", account.id))),
        None => Ok(accounts),
    }
}
