//! Facts as bytes, and back without reading the lists of entities: most of what an account consists of,
//! and most events need none of them.

use super::{Facts, KindFilter};
use crate::engine::account::index::Derived;
use crate::engine::account::list::{List, Stored};
use crate::engine::plain;
use crate::engine::window::{Recent, RecentDays};
use std::sync::Arc;

/// How long the parts are: what comes before the lists, and each list.
pub(in crate::engine) type Lengths = [u32; 7];

impl Facts {
    /// Appends what pages have of them.
    pub(in crate::engine) fn append_to(&self, bytes: &mut Vec<u8>) -> Lengths {
        let Facts { people, logins, usage, usage_cut, .. } = self;
        let Facts { tickets, invoices, surveys, contacts, contracts, master, .. } = self;
        let Facts { filters, newest_ms, first_active, .. } = self;
        // The rest is derived.
        let Facts { recent: _, ticket_index: _, invoice_index: _, .. } = self;
        let mut begin = bytes.len();
        let mut length = |bytes: &Vec<u8>| {
            let length = (bytes.len() - begin) as u32;
            begin = bytes.len();
            length
        };
        plain::append(bytes, &(people, logins, usage, usage_cut));
        let mut lengths = [length(bytes); 7];
        let lists: [&dyn Stored; 6] = [tickets, invoices, surveys, contacts, contracts, master];
        for (list, its) in lists.into_iter().zip(&mut lengths[1..]) {
            list.append_to(bytes);
            *its = length(bytes);
        }
        plain::append(bytes, &(filters, newest_ms, first_active));
        lengths
    }

    /// What [`Facts::append_to`] wrote, and what follows it; `None` when it is not that. The lists are
    /// read when they are asked for.
    pub(in crate::engine) fn from_parts<'a>(bytes: &'a [u8], lengths: &Lengths) -> Option<(Facts, &'a [u8])> {
        let [head, lists @ ..] = lengths.map(|length| length as usize);
        let (head, rest) = bytes.split_at_checked(head)?;
        let (people, logins, usage, usage_cut) = postcard::from_bytes(head).ok()?;
        let (stored, rest) = rest.split_at_checked(lists.iter().sum())?;
        let (stored, mut end) = (&Arc::<[u8]>::from(stored), 0);
        let [tickets, invoices, surveys, contacts, contracts, master] = lists.map(|length| {
            end += length;
            end - length..end
        });
        let (rest_of_them, rest) = postcard::take_from_bytes(rest).ok()?;
        let (filters, newest_ms, first_active): (Vec<KindFilter>, _, _) = rest_of_them;
        let facts = Facts {
            people,
            logins,
            usage,
            usage_cut,
            tickets: List::stored(stored, tickets),
            invoices: List::stored(stored, invoices),
            surveys: List::stored(stored, surveys),
            contacts: List::stored(stored, contacts),
            contracts: List::stored(stored, contracts),
            master: List::stored(stored, master),
            filters,
            newest_ms,
            first_active,
            recent: Recent::default(),
            ticket_index: Derived::default(),
            invoice_index: Derived::default(),
        };
        Some((facts, rest))
    }

    /// Bytes of memory that the stored forms of lists take, however few of them are still needed.
    pub(super) fn stored_bytes(&self) -> usize {
        let Facts { tickets, invoices, surveys, contacts, contracts, master, .. } = self;
        let of_lists = [tickets.stored_bytes(), invoices.stored_bytes(), surveys.stored_bytes()];
        let of_others = [contacts.stored_bytes(), contracts.stored_bytes(), master.stored_bytes()];
        of_lists.into_iter().chain(of_others).max().unwrap_or(0)
    }

    /// Reads a little of each series.
    pub(in crate::engine) fn glance_at_series(&self) -> u64 {
        let series = self.usage.iter().map(|entry| &entry.uses).chain([&self.logins]);
        series.fold(0, |seen, series| seen ^ u64::from(series.on(series.newest().unwrap_or_default())))
    }

    /// The newest days of all activity, if they are known.
    pub(in crate::engine) fn known_recent(&self) -> Option<RecentDays> {
        self.recent.known()
    }

    /// The same facts, knowing them.
    pub(in crate::engine) fn with_recent(self, known: Option<RecentDays>) -> Facts {
        Facts { recent: Recent::new(known), ..self }
    }
}
