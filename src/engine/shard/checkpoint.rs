//! A shard out to pages and back: what checkpoints write and recovery reads.

use super::{Account, Covered, Shard};
use crate::engine::account::apply_header;
use crate::engine::feature::Touch;
use crate::engine::page::{self, PageError, StoredAccount};
use crate::engine::partition::{PAGES, PageId, bucket_of};
use crate::engine::time::{DAY_TURN_SPREAD_MS, Day};

impl Shard {
    /// The page of an account.
    pub fn page_of(account: &str, partitions: u32) -> PageId {
        bucket_of(account.as_bytes(), partitions)
    }

    /// Pages changed since this was last asked, ascending.
    pub fn take_dirty(&mut self) -> Vec<PageId> {
        let pages = (0..=u8::MAX).filter(|&page| self.dirty[usize::from(page)]).map(PageId).collect();
        self.dirty = [false; PAGES as usize];
        pages
    }

    /// A page as bytes; equal content gives equal bytes.
    pub fn encode_page(&self, page: PageId) -> Vec<u8> {
        let mut slots = self.pages[usize::from(page.0)].clone();
        slots.sort_by(|&a, &b| self.accounts.slot(a).id().cmp(self.accounts.slot(b).id()));
        page::encode(slots.into_iter().map(|slot| self.accounts.stored(slot)))
    }

    /// Loads a page into a shard that has none of its accounts.
    ///
    /// # Errors
    /// When the bytes are not a page of this number; the shard is unchanged then.
    pub fn load_page(&mut self, page: PageId, bytes: &[u8]) -> Result<(), PageError> {
        let accounts = page::decode(bytes)?;
        for stored in &accounts {
            let misplaced = Self::page_of(&stored.id, self.id.partitions) != page;
            if misplaced || self.accounts.find(&stored.id).is_some() {
                let detail = format!("account `{}` does not belong here", stored.id);
                return Err(PageError::Damaged { detail });
            }
        }
        for StoredAccount { id, facts, decisions } in accounts {
            self.insert(Account { facts, decisions, ..Account::new(id) });
        }
        Ok(())
    }

    /// Up to which day a page encoded now covers every history in it.
    pub fn covered_now(&self) -> Option<Covered> {
        let day = self.evaluator.calendar.day_of(self.clock_ms?.saturating_sub(DAY_TURN_SPREAD_MS));
        Some(Covered(day.minus(1).0))
    }

    /// Tells the shard up to which day *both* copies of a page cover its histories: journal
    /// headers then carry only later days. `None` = they carry everything.
    pub fn page_covered(&mut self, page: PageId, covered: Option<Covered>) {
        self.covered[usize::from(page.0)] = covered.map(|covered| Day(covered.0));
    }

    /// Replaces the decisions of an account by a journal record (`None` = tombstone: they are
    /// cleared). Returns whether anything changed; its page is dirty then.
    ///
    /// # Errors
    /// When the header cannot be read, or nothing is known of the account.
    pub fn apply_journal(&mut self, account: &str, decisions: Option<&[u8]>) -> Result<bool, PageError> {
        let Some(slot) = self.accounts.find(account) else {
            return match decisions {
                Some(_) => Err(PageError::UnknownAccount { account: account.to_owned() }),
                None => Ok(false),
            };
        };
        let target = &mut self.accounts.open(slot).decisions;
        let before = target.clone();
        match decisions {
            Some(bytes) => apply_header(target, bytes).map_err(|detail| PageError::Damaged { detail })?,
            None => *target = Default::default(),
        }
        let changed = *target != before;
        if changed {
            self.mark_dirty(slot);
            self.recount(slot);
        }
        Ok(changed)
    }

    /// Ends a recovery: sets the clock, recomputes what is derived, arms every account and notes
    /// every score that differs from the last published one.
    pub fn finish_restore(&mut self, clock_ms: Option<i64>) {
        self.clock_ms = clock_ms;
        let Some(clock_ms) = clock_ms else { return };
        for slot in self.accounts.by_id() {
            let account = self.accounts.open(slot);
            let today = account.today(self.evaluator.calendar, clock_ms);
            account.decisions.history.settle(today);
            self.evaluator.refresh(account, clock_ms, Touch::ALL);
            if self.evaluator.is_due(account) {
                self.list(slot);
            }
            self.arm_evaluated(slot, clock_ms);
        }
    }
}
