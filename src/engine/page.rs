//! Pages: the accounts of one hash bucket as bytes, the unit of checkpointing.
//!
//! Equal content gives equal bytes (accounts by id, counters without their zeros), so a digest
//! of the bytes is a digest of the content. Decoding is total: any bytes give a page or an error.

use super::account::{Decisions, Facts};
use serde::{Deserialize, Serialize};
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

#[derive(Serialize)]
pub(super) struct StoredAccountRef<'a> {
    pub id: &'a str,
    pub facts: &'a Facts,
    pub decisions: &'a Decisions,
}

#[derive(Deserialize)]
pub(super) struct StoredAccount {
    pub id: Box<str>,
    pub facts: Facts,
    pub decisions: Decisions,
}

/// Encodes accounts that are sorted by id, each given as [`encode_account`] writes it.
pub(super) fn encode<'a>(accounts: impl ExactSizeIterator<Item = Cow<'a, [u8]>>) -> Vec<u8> {
    let mut bytes = append(vec![PAGE_VERSION], &accounts.len());
    accounts.for_each(|account| bytes.extend_from_slice(&account));
    bytes
}

/// Appends an account as pages have it.
pub(super) fn encode_account(bytes: Vec<u8>, account: &StoredAccountRef<'_>) -> Vec<u8> {
    append(bytes, account)
}

/// Appends plain data.
pub(super) fn append(bytes: Vec<u8>, value: &impl Serialize) -> Vec<u8> {
    // Serialising plain data into memory cannot fail; no bytes would be refused as damaged.
    postcard::to_extend(value, bytes).unwrap_or_default()
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
