//! Which checkpoint may be used: page completeness, and the fallback to the older round.
//!
//! Pure decisions over numbers and digests. They must not read bytes (`format.rs`) and must not
//! start anything (`restore/`). Steps 8 to 10 of recovery.

use std::collections::BTreeMap;

use super::format::{Listed, Marker};
use crate::engine::PageId;

/// The best readable copy of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The commit that wrote it.
    pub commit: u64,
    /// Digest of its content.
    pub digest: u64,
}

/// Which entry of the marker recovery starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Every listed page is complete.
    This,
    /// A page is older than listed, but every page is complete for the previous round.
    Previous,
    /// A page is too old (or gone) for both rounds.
    Missing {
        /// Which page.
        page: PageId,
        /// The best copy there is.
        have: Option<u64>,
        /// The number that the previous round lists.
        listed: u64,
    },
}

/// Whether the copy holds everything the listing promises: it was written at or after the listed
/// commit, or has the very content that was listed. A page in no list needs nothing.
pub fn is_complete(copy: Option<Candidate>, listed: Option<Listed>) -> bool {
    match (copy, listed) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(copy), Some(listed)) => copy.commit >= listed.commit || copy.digest == listed.digest,
    }
}

/// Judges all pages against the marker. The fallback holds for the whole shard, since positions
/// and journal belong to a round and not to a page.
pub fn judge(marker: &Marker, best: &BTreeMap<PageId, Candidate>) -> Judgement {
    let mut judgement = Judgement::This;
    for listed in &marker.this.pages {
        let page = PageId(listed.page);
        let copy = best.get(&page).copied();
        if is_complete(copy, Some(*listed)) {
            continue;
        }
        let older = marker.previous.listed(page);
        if !is_complete(copy, older) {
            return Judgement::Missing {
                page,
                have: copy.map(|c| c.commit),
                listed: older.map_or(0, |l| l.commit),
            };
        }
        judgement = Judgement::Previous;
    }
    judgement
}

/// The newer of two markers.
pub fn newest_marker<'m>(a: Option<&'m Marker>, b: Option<&'m Marker>) -> Option<&'m Marker> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.round >= b.round { a } else { b }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::MarkerEntry;
    use super::*;

    fn entry(pages: &[(u8, u64, u64)]) -> MarkerEntry {
        let pages = pages.iter().map(|&(page, commit, digest)| Listed { page, commit, digest }).collect();
        MarkerEntry { positions: vec![], journal: 0, pages }
    }

    fn marker(this: &[(u8, u64, u64)], previous: &[(u8, u64, u64)]) -> Marker {
        Marker { partition: 0, round: 7, this: entry(this), previous: entry(previous) }
    }

    fn check(
        this: &[(u8, u64, u64)],
        previous: &[(u8, u64, u64)],
        best: &[(u8, u64, u64)],
        expect: Judgement,
    ) {
        let best =
            best.iter().map(|&(page, commit, digest)| (PageId(page), Candidate { commit, digest })).collect();
        assert_eq!(judge(&marker(this, previous), &best), expect);
    }

    #[test]
    fn a_copy_is_complete_by_number_or_by_content() {
        check(&[(1, 9, 5)], &[], &[(1, 9, 5)], Judgement::This);
        check(&[(1, 9, 5)], &[], &[(1, 12, 6)], Judgement::This);
        check(&[(1, 9, 5)], &[], &[(1, 2, 5)], Judgement::This);
    }

    #[test]
    fn a_page_in_no_list_needs_nothing() {
        check(&[], &[], &[], Judgement::This);
        check(&[], &[], &[(3, 1, 1)], Judgement::This);
    }

    #[test]
    fn an_older_copy_falls_back_for_the_whole_shard() {
        check(&[(1, 9, 5), (2, 8, 4)], &[(1, 3, 2)], &[(1, 3, 2), (2, 8, 4)], Judgement::Previous);
        // Listed for the first time in this round: the previous one does not need it.
        check(&[(1, 9, 5)], &[], &[], Judgement::Previous);
    }

    #[test]
    fn a_page_missing_from_both_rounds_is_named() {
        let expect = Judgement::Missing { page: PageId(1), have: Some(2), listed: 3 };
        check(&[(1, 9, 5)], &[(1, 3, 4)], &[(1, 2, 1)], expect);
        let expect = Judgement::Missing { page: PageId(1), have: None, listed: 3 };
        check(&[(1, 9, 5)], &[(1, 3, 4)], &[], expect);
    }

    #[test]
    fn the_newest_readable_marker_wins() {
        let mut old = marker(&[], &[]);
        old.round = 3;
        let new = marker(&[], &[]);
        assert_eq!(newest_marker(Some(&old), Some(&new)).map(|m| m.round), Some(7));
        assert_eq!(newest_marker(Some(&old), None).map(|m| m.round), Some(3));
        assert!(newest_marker(None, None).is_none());
    }
}
