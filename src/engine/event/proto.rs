//! Events from protobuf, by one scan over the bytes that borrows every text; every value goes
//! through the same drafts and checks as JSON, under the same names. As protobuf has it, a
//! repeated field keeps its last value, a repeated body of one kind is merged, of two kinds the
//! last stays, and a field we do not know is skipped (and counted). The schema has no repeated
//! numbers, so nothing is packed. The tests hold all of this to the generated messages.
//!
//! To add a field: the schema, its draft in `draft.rs`, and one row in its table here. To add a
//! kind: a table, and an arm in [`WireBody`].

use super::draft::{
    AccountDraft, BodyDraft, ContactDraft, ContractDraft, Draft, EnvelopeDraft, InvoiceDraft, LoginDraft,
    Source, SurveyDraft, TicketDraft, UsageDraft,
};
use super::slot::{Code, Counted, Flag, Given, Millis, Money, Names, Number, Slot, Text, Texts, Wide};
use super::value::{Raw, unsupported_version};
use super::wire::{self, Damage, FieldKey, Message, Reader, WireType};
use super::{Body, ENVELOPE_VERSION, Event, Kind, PersonKey, Reason, Refusal};

/// Writes a message: one row per field, with its number in the schema, its field in the draft
/// and its type.
macro_rules! message {
    ($name:ident => $draft:ty { $($number:literal $field:ident: $slot:ty;)* }) => {
        #[derive(Default)]
        struct $name<'a> {
            $($field: $slot,)*
        }

        impl<'a> Message<'a> for $name<'a> {
            #[inline]
            fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
                match key.number {
                    $($number => self.$field.read(key, from)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }

        impl<'a> $name<'a> {
            /// Hands the values over to the checks.
            #[inline]
            fn draft(self, key: &PersonKey) -> Result<$draft, Refusal> {
                let mut draft = <$draft>::default();
                $(
                    if let Some(raw) = self.$field.found() {
                        draft.$field(key, raw)?;
                    }
                )*
                Ok(draft)
            }
        }
    };
}

message! { LoginWire => LoginDraft {
    1 user: Text<'a>;
} }

message! { UsageWire => UsageDraft<'a> {
    1 user: Text<'a>;
    2 feature: Text<'a>;
    3 count: Number;
} }

message! { TicketWire => TicketDraft<'a> {
    1 id: Text<'a>;
    2 priority: Code;
    3 status: Code;
    4 opened_at: Millis;
    5 first_response_at: Millis;
    6 first_response_due: Millis;
    7 resolve_due: Millis;
    8 solved_at: Millis;
    9 escalated: Flag;
    10 csat: Number;
} }

message! { InvoiceWire => InvoiceDraft<'a> {
    1 id: Text<'a>;
    2 amount: Money;
    3 currency: Text<'a>;
    4 issued_at: Millis;
    5 due_at: Millis;
    6 paid_at: Millis;
    7 status: Code;
} }

message! { SurveyWire => SurveyDraft<'a> {
    1 id: Text<'a>;
    2 survey: Code;
    3 score: Counted;
    4 respondent: Text<'a>;
} }

message! { ContactWire => ContactDraft<'a> {
    1 id: Text<'a>;
    2 role: Code;
    3 status: Code;
    4 user: Text<'a>;
} }

message! { ContractWire => ContractDraft<'a> {
    1 id: Text<'a>;
    2 start_at: Millis;
    3 end_at: Millis;
    4 recurring: Money;
    5 currency: Text<'a>;
    6 billing: Code;
    7 seats: Counted;
    8 status: Code;
    9 renews: Text<'a>;
} }

message! { AccountWire => AccountDraft<'a> {
    1 name: Given<'a>;
    2 segment: Given<'a>;
    3 industry: Given<'a>;
    4 owner: Given<'a>;
    5 time_zone: Given<'a>;
    6 lifecycle: Given<'a>;
    7 parent: Given<'a>;
    8 entitled_features: Texts<'a>;
    9 expected_weekly_users: Counted;
    10 expected_monthly_users: Counted;
} }

/// What stands in a field that is cleared.
struct Nothing;

impl<'a> Source<'a> for Nothing {
    type Error = Refusal;

    fn value(&mut self) -> Result<Raw<'a>, Refusal> {
        Ok(Raw::Null)
    }

    fn refuse(&mut self, refusal: Refusal) -> Refusal {
        refusal
    }
}

/// Master data and the names of the fields to clear.
#[derive(Default)]
struct AccountPatch<'a> {
    set: AccountWire<'a>,
    clear: Names<'a>,
}

impl<'a> Message<'a> for AccountPatch<'a> {
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        match key.number {
            15 => self.clear.read(key, from).map(|()| true),
            _ => self.set.field(key, from),
        }
    }
}

impl<'a> AccountPatch<'a> {
    fn finish(self, key: &PersonKey) -> Result<(Body<'a>, u32), Refusal> {
        let mut draft = self.set.draft(key)?;
        let mut unknown = 0_u32;
        for name in self.clear.0 {
            // A name given a value above, or cleared twice, is refused as standing twice.
            if !draft.set(name, key, &mut Nothing)? {
                unknown = unknown.saturating_add(1);
            }
        }
        Ok((draft.finish()?, unknown))
    }
}

/// The body found last.
enum WireBody<'a> {
    Login(LoginWire<'a>),
    Usage(UsageWire<'a>),
    Ticket(TicketWire<'a>),
    Invoice(InvoiceWire<'a>),
    Survey(SurveyWire<'a>),
    Contact(ContactWire<'a>),
    Contract(ContractWire<'a>),
    Account(AccountPatch<'a>),
}

impl<'a> WireBody<'a> {
    #[inline]
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Login => WireBody::Login(LoginWire::default()),
            Kind::Usage => WireBody::Usage(UsageWire::default()),
            Kind::Ticket => WireBody::Ticket(TicketWire::default()),
            Kind::Invoice => WireBody::Invoice(InvoiceWire::default()),
            Kind::Survey => WireBody::Survey(SurveyWire::default()),
            Kind::Contact => WireBody::Contact(ContactWire::default()),
            Kind::Contract => WireBody::Contract(ContractWire::default()),
            Kind::Account => WireBody::Account(AccountPatch::default()),
        }
    }

    /// The kind of the field with that number in the envelope.
    #[inline]
    fn kind_of(number: u32) -> Option<Kind> {
        // The schema numbers the bodies in the order of the kinds, from 10 on.
        Kind::ALL.get(number.checked_sub(10)? as usize).copied()
    }

    #[inline]
    fn kind(&self) -> Kind {
        match self {
            WireBody::Login(_) => Kind::Login,
            WireBody::Usage(_) => Kind::Usage,
            WireBody::Ticket(_) => Kind::Ticket,
            WireBody::Invoice(_) => Kind::Invoice,
            WireBody::Survey(_) => Kind::Survey,
            WireBody::Contact(_) => Kind::Contact,
            WireBody::Contract(_) => Kind::Contract,
            WireBody::Account(_) => Kind::Account,
        }
    }

    #[inline]
    fn merge(&mut self, from: Reader<'a>) -> Result<u32, Damage> {
        match self {
            WireBody::Login(m) => wire::merge(m, from),
            WireBody::Usage(m) => wire::merge(m, from),
            WireBody::Ticket(m) => wire::merge(m, from),
            WireBody::Invoice(m) => wire::merge(m, from),
            WireBody::Survey(m) => wire::merge(m, from),
            WireBody::Contact(m) => wire::merge(m, from),
            WireBody::Contract(m) => wire::merge(m, from),
            WireBody::Account(m) => wire::merge(m, from),
        }
    }

    /// Hands the body, and how many of its names to clear are unknown, to `done`. Not returned,
    /// because a body is as large as its largest kind: most are small and written once.
    #[inline]
    fn finish<T>(
        self,
        key: &PersonKey,
        done: impl FnOnce(Body<'a>, u32) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match self {
            WireBody::Login(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Usage(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Ticket(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Invoice(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Survey(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Contact(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Contract(m) => done(m.draft(key)?.finish()?, 0),
            WireBody::Account(m) => {
                let (body, uncleared) = m.finish(key)?;
                done(body, uncleared)
            }
        }
    }
}

message! { EnvelopeWire => EnvelopeDraft<'a> {
    1 v: Number;
    2 id: Text<'a>;
    3 account: Text<'a>;
    4 occurred_at: Millis;
    5 version: Wide;
} }

/// The whole event.
#[derive(Default)]
struct EventWire<'a> {
    envelope: EnvelopeWire<'a>,
    body: Option<WireBody<'a>>,
    /// Unknown fields inside of bodies.
    unknown: u32,
}

impl<'a> Message<'a> for EventWire<'a> {
    #[inline]
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        let Some(kind) = WireBody::kind_of(key.number) else {
            return self.envelope.field(key, from);
        };
        let inner = from.message(key)?;
        let body = match &mut self.body {
            Some(body) if body.kind() == kind => body,
            other => other.insert(WireBody::new(kind)),
        };
        self.unknown = self.unknown.saturating_add(body.merge(inner)?);
        Ok(true)
    }
}

/// Decodes one event from the protobuf message of a record value.
///
/// # Errors
///
/// A [`Refusal`] that says why the bytes are not an event.
pub fn decode_protobuf<'a>(bytes: &'a [u8], key: &PersonKey) -> Result<Event<'a>, Refusal> {
    let mut event = EventWire::default();
    let unknown = match wire::merge(&mut event, Reader::new(bytes)) {
        Ok(unknown) => unknown.saturating_add(event.unknown),
        Err(damage) => return Err(explain(bytes, damage)),
    };
    // The envelope first: another version decides what all the rest means.
    let envelope = event.envelope.draft(key)?;
    match event.body {
        Some(body) => {
            body.finish(key, |body, uncleared| envelope.finish(Some(body), unknown.saturating_add(uncleared)))
        }
        None => envelope.finish(None, unknown),
    }
}

/// Decodes the body of a known kind, a message of its own.
pub(super) fn decode_protobuf_body<'a>(
    kind: Kind,
    bytes: &'a [u8],
    key: &PersonKey,
) -> Result<(Body<'a>, u32), Refusal> {
    let mut body = WireBody::new(kind);
    let unknown = body.merge(Reader::new(bytes)).map_err(|damage| {
        let sentence = format!("the data is not the protobuf message of a {}: {damage}", kind.name());
        Refusal::new(Reason::MalformedProtobuf, sentence)
    })?;
    body.finish(key, |body, uncleared| Ok((body, unknown.saturating_add(uncleared))))
}

/// An event of another envelope version is refused for that: under its own version the rest may
/// be right.
#[cold]
fn explain(bytes: &[u8], damage: Damage) -> Refusal {
    match version_of(bytes) {
        Ok(v) if v != 0 && u64::from(v) != ENVELOPE_VERSION => unsupported_version(),
        _ => Refusal::new(
            Reason::MalformedProtobuf,
            format!("the value is not an accountpulse.v1.Event: {damage}; send one message of that schema"),
        ),
    }
}

/// The version in an envelope whose other fields are skipped.
fn version_of(bytes: &[u8]) -> Result<u32, Damage> {
    let mut from = Reader::new(bytes);
    let mut v = 0;
    while !from.is_done() {
        let key = from.key()?;
        if key.number == 1 && key.wire == WireType::Varint {
            v = from.varint()? as u32;
        } else {
            from.skip(key)?;
        }
    }
    Ok(v)
}
