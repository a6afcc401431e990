//! The consumer group: eager range assignment of partition numbers, static members.
//!
//! A rebalance completes when every member holds nothing: those that held partitions are told
//! `Revoked` and acknowledge with `unassign`. A member that never polls blocks the rebalance until
//! its session expires, as on Kafka. The generation moves only when the rebalance completes, so a
//! last commit during it is accepted.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::GroupMetadata;

/// What a member holds and has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Holds nothing; waits for the rebalance to complete.
    Ready,
    /// Has an assignment it was not told yet.
    Assigned,
    /// Was told its assignment.
    Holding,
    /// Was told to give it up.
    Revoking,
}

#[derive(Debug)]
struct Member {
    id: String,
    stage: Stage,
    partitions: Vec<u32>,
}

/// What a poll learns about the group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Nothing,
    Assigned {
        partitions: Vec<u32>,
        unusable: Vec<u32>,
        group: GroupMetadata,
    },
    Revoked,
    /// Another instance joined under the same name.
    Replaced,
    /// The session expired.
    Gone,
}

/// The one group of the broker.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: i64,
    joins: u64,
    rebalancing: bool,
    partitions: u32,
    /// Numbers that some input topic lacks at present.
    pub(super) incomplete: BTreeSet<u32>,
    pub(super) overlapping: u64,
    pub(super) incomplete_assignments: u64,
    members: BTreeMap<String, Member>,
}

impl Group {
    pub(super) fn new(partitions: u32) -> Self {
        Self { partitions, ..Self::default() }
    }

    /// Joins under a stable name. An older instance of that name is replaced on the spot and its
    /// assignment handed over without a new generation, as static membership does.
    pub(super) fn join(&mut self, name: &str) -> String {
        self.joins += 1;
        let id = format!("{name}-{}", self.joins);
        if let Some(member) = self.members.get_mut(name) {
            member.id.clone_from(&id);
            let keeps = matches!(member.stage, Stage::Assigned | Stage::Holding) && !self.rebalancing;
            member.stage = if keeps { Stage::Assigned } else { Stage::Ready };
            self.complete();
        } else {
            let member = Member { id: id.clone(), stage: Stage::Ready, partitions: Vec::new() };
            self.members.insert(name.to_owned(), member);
            self.rebalance();
        }
        id
    }

    /// Takes a member out; the others share its partitions.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let known = self.members.remove(name).is_some();
        if known {
            self.rebalance();
        }
        known
    }

    /// Leaves in good order, unless a newer instance took the name.
    pub(super) fn leave(&mut self, name: &str, id: &str) {
        if self.members.get(name).is_some_and(|member| member.id == id) {
            self.remove(name);
        }
    }

    /// Starts a rebalance.
    pub(super) fn rebalance(&mut self) {
        self.overlapping += u64::from(self.rebalancing);
        self.rebalancing = !self.members.is_empty();
        for member in self.members.values_mut() {
            if member.stage == Stage::Assigned {
                member.stage = Stage::Ready;
            }
        }
        self.complete();
    }

    fn complete(&mut self) {
        let ready = self.members.values().all(|member| member.stage == Stage::Ready);
        if !self.rebalancing || !ready {
            return;
        }
        self.rebalancing = false;
        self.generation += 1;
        let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX).max(1);
        let (each, extra) = (self.partitions / count, self.partitions % count);
        let mut next = 0;
        for (index, member) in (0u32..).zip(self.members.values_mut()) {
            let width = each + u32::from(index < extra);
            member.partitions = (next..next + width).collect();
            member.stage = Stage::Assigned;
            next += width;
        }
    }

    pub(super) fn notice(&mut self, name: &str, id: &str) -> Notice {
        let (generation, rebalancing) = (self.generation, self.rebalancing);
        let Some(member) = self.members.get_mut(name) else { return Notice::Gone };
        if member.id != id {
            return Notice::Replaced;
        }
        match member.stage {
            Stage::Assigned => {
                member.stage = Stage::Holding;
                let group = GroupMetadata { generation, member: member.id.clone() };
                let (unusable, partitions): (Vec<u32>, Vec<u32>) =
                    member.partitions.iter().partition(|number| self.incomplete.contains(number));
                self.incomplete_assignments += u64::from(!unusable.is_empty());
                Notice::Assigned { partitions, unusable, group }
            }
            Stage::Holding if rebalancing => {
                member.stage = Stage::Revoking;
                Notice::Revoked
            }
            _ => Notice::Nothing,
        }
    }

    /// Acknowledges a revocation; `false` (and nothing changes) when none was told.
    pub(super) fn acknowledge(&mut self, name: &str, id: &str) -> bool {
        let told =
            self.members.get_mut(name).filter(|member| member.id == id && member.stage == Stage::Revoking);
        let Some(member) = told else { return false };
        member.stage = Stage::Ready;
        self.complete();
        true
    }

    /// The membership the client of that name has now, if it is still in the group.
    pub(super) fn membership(&self, name: &str, id: Option<&str>) -> Option<GroupMetadata> {
        let member = self.members.get(name).filter(|member| id == Some(member.id.as_str()))?;
        Some(GroupMetadata { generation: self.generation, member: member.id.clone() })
    }

    /// Whether positions may be committed under this membership. Ownership of the partitions is
    /// not checked, as the broker does not.
    pub(super) fn check(&self, group: &GroupMetadata) -> Result<(), &'static str> {
        if !self.members.values().any(|member| member.id == group.member) {
            Err("UnknownMemberId")
        } else if group.generation != self.generation {
            Err("IllegalGeneration")
        } else {
            Ok(())
        }
    }
}
