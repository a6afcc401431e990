//! Records as protobuf, field by field in the order of `proto/accountpulse/v1/`.
//!
//! To add a field: one line at the end of its message, with the next free number.

use super::wire::{int64, message, sint32, sint64_given, text, text_given, unsigned, unsigned_given};
use super::{Change, Contribution, Money, Previous, RiskSummary, RiskTransition, ScoreRecord, pb};
use crate::engine::account::{Band, Phase};
use crate::engine::risk::Transition;
use crate::engine::rule::{Evidence, Severity};
use crate::engine::score::CoverageClass;

/// Room for a usual record, so that the buffer need not grow.
const USUAL_BYTES: usize = 1024;

impl ScoreRecord<'_> {
    /// The bytes of an `accountpulse.v1.ScoreRecord`.
    pub fn protobuf(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        self.write_protobuf(&mut bytes);
        bytes
    }

    /// The same, appended to a buffer.
    pub fn write_protobuf(&self, out: &mut Vec<u8>) {
        unsigned(out, 1, self.v.into());
        text(out, 2, &self.account_id);
        text_given(out, 3, self.account_name.as_deref());
        unsigned_given(out, 4, self.score.map(u64::from));
        unsigned_given(out, 5, self.score_hundredths.map(hundredths));
        unsigned(out, 6, band(self.band));
        unsigned(out, 7, self.coverage_basis_points.into());
        unsigned(out, 8, coverage(self.coverage));
        text(out, 9, &self.scorecard);
        for line in &self.contributions {
            message(out, 10, |out| contribution(out, line));
        }
        for name in &self.absent {
            text_given(out, 11, Some(name));
        }
        if let Some(before) = &self.previous {
            message(out, 12, |out| previous(out, before));
        }
        for line in &self.changes {
            message(out, 13, |out| change(out, line));
        }
        for cause in &self.causes {
            text_given(out, 14, Some(cause));
        }
        for risk in &self.risks {
            message(out, 15, |out| summary(out, risk));
        }
        int64(out, 16, self.as_of);
        text(out, 17, &self.config_version);
    }
}

impl RiskTransition {
    /// The bytes of an `accountpulse.v1.RiskTransition`.
    pub fn protobuf(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        self.write_protobuf(&mut bytes);
        bytes
    }

    /// The same, appended to a buffer.
    pub fn write_protobuf(&self, out: &mut Vec<u8>) {
        unsigned(out, 1, self.v.into());
        text(out, 2, &self.id);
        text(out, 3, &self.account_id);
        text_given(out, 4, self.account_name.as_deref());
        text(out, 5, &self.rule);
        text(out, 6, &self.title);
        unsigned(out, 7, transition(self.transition));
        unsigned(out, 8, self.transition_seq.into());
        unsigned(out, 9, severity(self.severity));
        int64(out, 10, self.began_at_ms);
        int64(out, 11, self.fired_at_ms);
        int64(out, 12, self.at_ms);
        unsigned(out, 13, self.backfill.into());
        text(out, 14, &self.what);
        message(out, 15, |out| evidence(out, &self.evidence));
        text_given(out, 16, self.caused_by.as_deref());
        unsigned_given(out, 17, self.score_hundredths.map(hundredths));
        unsigned(out, 18, band(self.band));
        unsigned(out, 19, self.coverage_basis_points.into());
        if let Some(at_stake) = &self.money_at_stake {
            message(out, 20, |out| money(out, at_stake));
        }
        text_given(out, 21, self.owner.as_deref());
        text(out, 22, &self.play);
        text(out, 23, &self.config_version);
    }
}

fn contribution(out: &mut Vec<u8>, line: &Contribution<'_>) {
    let (words, unit) = line.words.protobuf();
    out.extend_from_slice(words);
    sint64_given(out, 3, line.value);
    out.extend_from_slice(unit);
    unsigned_given(out, 5, line.points_hundredths.map(hundredths));
    unsigned(out, 6, line.weight_ppm.into());
    sint32(out, 7, line.contribution_hundredths.into());
}

fn previous(out: &mut Vec<u8>, before: &Previous) {
    unsigned_given(out, 1, before.score_hundredths.map(hundredths));
    unsigned(out, 2, band(before.band));
}

fn change(out: &mut Vec<u8>, line: &Change<'_>) {
    text(out, 1, &line.line);
    sint32(out, 2, line.delta_hundredths.into());
}

fn summary(out: &mut Vec<u8>, risk: &RiskSummary) {
    text(out, 1, &risk.id);
    text(out, 2, &risk.rule);
    unsigned(out, 3, phase(risk.phase));
    unsigned(out, 4, severity(risk.severity));
    int64(out, 5, risk.began_at);
}

fn evidence(out: &mut Vec<u8>, evidence: &Evidence) {
    for number in &evidence.numbers {
        message(out, 1, |out| {
            text(out, 1, &number.name);
            text(out, 2, &number.unit);
            sint64_given(out, 3, number.now);
            sint64_given(out, 4, number.before);
        });
    }
    for item in &evidence.items {
        message(out, 2, |out| {
            text(out, 1, &item.kind);
            text(out, 2, &item.id);
            text(out, 3, &item.event_id);
            text(out, 4, &item.detail);
        });
    }
}

fn money(out: &mut Vec<u8>, money: &Money) {
    int64(out, 1, money.annual_minor);
    text(out, 2, &money.currency);
}

/// Points and scores are never negative.
fn hundredths(value: i16) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn band(band: Option<Band>) -> u64 {
    let band = match band {
        None => pb::Band::Unspecified,
        Some(Band::AtRisk) => pb::Band::AtRisk,
        Some(Band::Watch) => pb::Band::Watch,
        Some(Band::Healthy) => pb::Band::Healthy,
    };
    band as u64
}

fn coverage(class: CoverageClass) -> u64 {
    let class = match class {
        CoverageClass::Unknown => pb::Coverage::Unknown,
        CoverageClass::Partial => pb::Coverage::Partial,
        CoverageClass::Full => pb::Coverage::Full,
    };
    class as u64
}

fn phase(phase: Phase) -> u64 {
    let phase = match phase {
        Phase::Pending => pb::RiskPhase::Pending,
        Phase::Firing => pb::RiskPhase::Firing,
        // Not in a record: a summary names what is not over.
        Phase::Resolved => pb::RiskPhase::Unspecified,
    };
    phase as u64
}

fn severity(severity: Severity) -> u64 {
    let severity = match severity {
        Severity::Low => pb::Severity::Low,
        Severity::Medium => pb::Severity::Medium,
        Severity::High => pb::Severity::High,
        Severity::Critical => pb::Severity::Critical,
    };
    severity as u64
}

fn transition(transition: Transition) -> u64 {
    let transition = match transition {
        Transition::Started => pb::Transition::Started,
        Transition::SeverityRaised => pb::Transition::SeverityRaised,
        Transition::Amended => pb::Transition::Amended,
        Transition::Renotified => pb::Transition::Renotified,
        Transition::Resolved => pb::Transition::Resolved,
        Transition::Retracted => pb::Transition::Retracted,
    };
    transition as u64
}
