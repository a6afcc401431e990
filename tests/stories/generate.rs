//! Writes the stories: each is the life of one small customer, told as events. The files beside
//! this one are what is read; they are committed so that a person can read them too, and a test
//! holds them equal to what is written here. To change a story, change it here, run
//! `UPDATE_STORIES=1 cargo test --test stories committed`, and read the difference.
//!
//! What a story must lead to stands in `NAME.expected.yaml`, written by hand from the definitions
//! of the rules, never from what the program answered.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};

/// A story: its name and its lines, in the order in which they are read.
pub struct Story {
    pub name: &'static str,
    pub lines: Vec<String>,
}

/// All stories.
pub fn all() -> Vec<Story> {
    let mut stories = falling();
    stories.extend(paying());
    stories.extend(speaking());
    stories.extend(supporting());
    stories.extend(renewing());
    stories.extend(repeated());
    stories
}

/// A story being written. Times are texts of one shape, so their order is that of time.
#[derive(Clone)]
struct Tale {
    account: &'static str,
    events: Vec<(String, String)>,
}

impl Tale {
    /// A customer of five seats, with a champion and a contract that ends long after every story.
    fn of(account: &'static str, name: &str) -> Tale {
        let mut tale = Tale::without_contract(account, name);
        tale.contract("2026-01-01T08:05:00Z", "k1", "2026-01-01", "2027-01-01", "");
        tale
    }

    fn without_contract(account: &'static str, name: &str) -> Tale {
        let mut tale = Tale { account, events: Vec::new() };
        let master = format!(
            r#""name":"{name}","segment":"mid","industry":"logistics","owner":"ana.silva","time_zone":"Europe/Berlin","lifecycle":"established""#
        );
        tale.tell("2026-01-01T08:00:00Z", "account", &master);
        tale.contact("2026-01-01T08:10:00Z", "c1", "champion", "active");
        tale
    }

    fn tell(&mut self, at: &str, kind: &str, body: &str) {
        let id = format!("e{}", self.events.len() + 1);
        let account = self.account;
        let line =
            format!(r#"{{"id":"{id}","account_id":"{account}","occurred_at":"{at}","{kind}":{{{body}}}}}"#);
        self.events.push((at.to_owned(), line));
    }

    fn contract(&mut self, at: &str, id: &str, start: &str, end: &str, more: &str) {
        let body = format!(
            r#""id":"{id}","start_at":"{start}T00:00:00Z","end_at":"{end}T00:00:00Z","recurring_minor":2400000,"currency":"EUR","billing":"annual","seats":5{more}"#
        );
        self.tell(at, "contract", &body);
    }

    fn contact(&mut self, at: &str, id: &str, role: &str, status: &str) {
        let body = format!(r#""id":"{id}","role":"{role}","status":"{status}""#);
        self.tell(at, "contact", &body);
    }

    fn login(&mut self, day: Date, user: &str) {
        self.tell(&format!("{day}T09:00:00Z"), "login", &format!(r#""user_id":"{user}""#));
    }

    fn usage(&mut self, day: Date, user: &str, count: u32) {
        let body = format!(r#""user_id":"{user}","feature":"reports","count":{count}"#);
        self.tell(&format!("{day}T10:00:00Z"), "usage", &body);
    }

    /// One sign-in on each Monday, Wednesday and Friday: alive, but too little to measure a drop.
    fn sparse_logins(&mut self, from: Date, until: Date) {
        for day in days(from, until) {
            match day.weekday() {
                Weekday::Monday => self.login(day, "u1"),
                Weekday::Wednesday => self.login(day, "u2"),
                Weekday::Friday => self.login(day, "u3"),
                _ => {}
            }
        }
    }

    /// A sign-in and some use on every working day: `counts` from Monday to Friday, a little more
    /// or less from week to week.
    fn office_use(&mut self, from: Date, until: Date, counts: [u32; 5]) {
        for day in days(from, until) {
            let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap();
            let Some(count) = counts.get(weekday) else { continue };
            let user = ["u1", "u2", "u3", "u4", "u5"][weekday];
            let wiggle = u32::from(weekday == 1 && day.day() % 2 == 0);
            self.login(day, user);
            self.usage(day, user, count + wiggle);
        }
    }

    fn invoice(&mut self, at: &str, id: &str, issued: &str, due: &str, paid: Option<&str>) {
        let rest = match paid {
            Some(paid_at) => format!(r#""paid_at":"{paid_at}","status":"paid""#),
            None => r#""status":"open""#.to_owned(),
        };
        let body = format!(
            r#""id":"{id}","amount_minor":200000,"currency":"EUR","issued_at":"{issued}T00:00:00Z","due_at":"{due}T00:00:00Z",{rest}"#
        );
        self.tell(at, "invoice", &body);
    }

    /// An invoice that is issued and, at `paid`, paid.
    fn invoice_story(&mut self, id: &str, issued: &str, due: &str, paid: Option<&str>) {
        self.invoice(&format!("{issued}T06:00:00Z"), id, issued, due, None);
        if let Some(paid_at) = paid {
            self.invoice(paid_at, id, issued, due, Some(paid_at));
        }
    }

    fn nps(&mut self, at: &str, id: &str, score: u32, respondent: &str) {
        let body = format!(r#""id":"{id}","type":"nps","score":{score},"respondent":"{respondent}""#);
        self.tell(at, "survey", &body);
    }

    fn ticket(&mut self, at: &str, id: &str, priority: &str, opened: &str, more: &str) {
        let body = format!(r#""id":"{id}","priority":"{priority}","opened_at":"{opened}",{more}"#);
        self.tell(at, "ticket", &body);
    }

    fn ticket_opened(&mut self, at: &str, id: &str, priority: &str) {
        self.ticket(at, id, priority, at, r#""status":"open""#);
    }

    fn ticket_solved(&mut self, at: &str, id: &str, priority: &str, opened: &str) {
        let more = format!(r#""status":"solved","first_response_at":"{opened}","solved_at":"{at}""#);
        self.ticket(at, id, priority, opened, &more);
    }

    /// The story in time order.
    fn named(mut self, name: &'static str) -> Story {
        self.events.sort_by(|one, other| one.0.cmp(&other.0));
        Story { name, lines: self.events.into_iter().map(|(_, line)| line).collect() }
    }
}

fn days(from: Date, until: Date) -> impl Iterator<Item = Date> {
    from.series(1.day()).take_while(move |day| *day < until)
}

/// Use: it falls, it stops, it only looks like falling.
fn falling() -> Vec<Story> {
    let mut falls = Tale::of("brightline", "Brightline Freight");
    falls.office_use(date(2026, 1, 5), date(2026, 3, 30), [12, 13, 13, 12, 10]);
    falls.office_use(date(2026, 3, 30), date(2026, 5, 11), [4, 5, 4, 4, 4]);

    let mut silent = Tale::of("quietriver", "Quiet River Books");
    silent.sparse_logins(date(2026, 1, 5), date(2026, 3, 14));
    silent.login(date(2026, 4, 14), "u1");
    silent.sparse_logins(date(2026, 4, 15), date(2026, 4, 20));

    let mut noisy = Tale::of("pebble", "Pebble Design");
    let weeks = [14u32, 8, 17, 11, 9, 15, 12, 10, 16, 7, 13, 3, 12, 14, 9, 13];
    for (week, total) in weeks.into_iter().enumerate() {
        let monday = date(2026, 1, 5) + i64::try_from(week).unwrap().weeks();
        let counts = [total / 3, total / 3, (total - 2 * (total / 3)).saturating_sub(2)];
        for (step, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            noisy.usage(monday + i64::try_from(2 * step).unwrap().days(), "u1", count);
        }
        noisy.login(monday, "u1");
        noisy.login(monday + 2.days(), "u2");
    }

    let mut weekend = Tale::of("harborside", "Harborside Clinics");
    weekend.office_use(date(2026, 1, 5), date(2026, 4, 2), [24, 27, 26, 25, 20]);
    // Thursday to Monday off, over Easter.
    weekend.office_use(date(2026, 4, 7), date(2026, 5, 2), [24, 27, 26, 25, 20]);

    vec![
        falls.named("usage_falls"),
        silent.named("inactivity"),
        noisy.named("calm_noisy_week"),
        weekend.named("calm_weekends"),
    ]
}

/// Money: late, in time, corrected.
fn paying() -> Vec<Story> {
    let mut corrected_early = Tale::of("lanternfoods", "Lantern Foods");
    corrected_early.sparse_logins(date(2026, 1, 5), date(2026, 4, 20));
    corrected_early.invoice("2026-02-19T06:00:00Z", "i1", "2026-02-19", "2026-03-01", None);
    corrected_early.invoice("2026-03-08T11:00:00Z", "i1", "2026-02-19", "2026-03-31", None);
    let paid = Some("2026-03-27T10:00:00Z");
    corrected_early.invoice("2026-03-27T10:00:00Z", "i1", "2026-02-19", "2026-03-31", paid);

    let mut corrected_late = Tale::of("cobaltgames", "Cobalt Games");
    corrected_late.sparse_logins(date(2026, 1, 5), date(2026, 4, 20));
    corrected_late.invoice("2026-02-19T06:00:00Z", "i1", "2026-02-19", "2026-03-01", None);
    corrected_late.invoice("2026-03-13T11:00:00Z", "i1", "2026-02-19", "2026-04-10", None);
    let paid = Some("2026-04-02T10:00:00Z");
    corrected_late.invoice("2026-04-02T10:00:00Z", "i1", "2026-02-19", "2026-04-10", paid);

    let mut in_grace = Tale::of("maplehotels", "Maple Hotels");
    in_grace.sparse_logins(date(2026, 1, 5), date(2026, 5, 4));
    in_grace.invoice_story("i1", "2026-01-30", "2026-03-01", Some("2026-03-06T10:00:00Z"));
    in_grace.invoice_story("i2", "2026-03-01", "2026-03-31", Some("2026-04-09T16:00:00Z"));

    vec![
        slipping().named("payments_slip"),
        corrected_early.named("calm_invoice_corrected_in_time"),
        corrected_late.named("invoice_corrected_after_alarm"),
        in_grace.named("calm_invoice_paid_in_grace"),
    ]
}

fn slipping() -> Tale {
    let mut slip = Tale::of("ironworks", "Ironworks Coatings");
    slip.sparse_logins(date(2026, 1, 5), date(2026, 7, 5));
    slip.invoice_story("i1", "2026-01-01", "2026-01-31", Some("2026-01-29T10:00:00Z"));
    slip.invoice_story("i2", "2026-02-01", "2026-03-03", Some("2026-03-09T10:00:00Z"));
    slip.invoice_story("i3", "2026-03-01", "2026-03-31", Some("2026-04-14T10:00:00Z"));
    slip.invoice_story("i4", "2026-04-01", "2026-05-01", Some("2026-06-03T10:00:00Z"));
    slip.invoice_story("i5", "2026-05-01", "2026-05-31", None);
    slip
}

/// People: champions and what customers say.
fn speaking() -> Vec<Story> {
    let mut leaves = Tale::of("summitlabs", "Summit Labs");
    leaves.sparse_logins(date(2026, 1, 5), date(2026, 4, 20));
    leaves.contact("2026-03-17T10:00:00Z", "c1", "champion", "left");
    leaves.contact("2026-04-08T09:00:00Z", "c2", "champion", "active");

    let mut moves = Tale::of("fernhealth", "Fern Health");
    moves.sparse_logins(date(2026, 1, 5), date(2026, 4, 20));
    moves.contact("2026-01-01T08:11:00Z", "c2", "sponsor", "active");
    moves.contact("2026-01-01T08:12:00Z", "c3", "admin", "active");
    moves.contact("2026-03-17T10:00:00Z", "c1", "champion", "moved");

    let mut succeeded = Tale::of("birchlegal", "Birch Legal");
    succeeded.sparse_logins(date(2026, 1, 5), date(2026, 4, 20));
    succeeded.contact("2026-03-10T10:00:00Z", "c2", "champion", "active");
    succeeded.contact("2026-03-17T10:00:00Z", "c1", "champion", "left");

    let mut detractor = Tale::of("coralapparel", "Coral Apparel");
    detractor.sparse_logins(date(2026, 1, 5), date(2026, 4, 30));
    detractor.nps("2026-01-15T15:00:00Z", "r1", 9, "u1");
    detractor.nps("2026-03-10T15:00:00Z", "r2", 3, "u1");
    detractor.nps("2026-04-21T15:00:00Z", "r3", 8, "u1");

    let mut low = Tale::of("onyxschools", "Onyx Schools");
    low.sparse_logins(date(2026, 1, 5), date(2026, 4, 30));
    low.nps("2026-01-15T15:00:00Z", "r1", 9, "u1");
    low.nps("2026-01-29T15:00:00Z", "r2", 7, "u2");
    low.nps("2026-02-12T15:00:00Z", "r3", 5, "u3");
    low.nps("2026-02-26T15:00:00Z", "r4", 4, "u4");
    low.nps("2026-03-12T15:00:00Z", "r5", 6, "u5");

    let mut promoter = Tale::of("willowcare", "Willow Care");
    promoter.sparse_logins(date(2026, 1, 5), date(2026, 4, 13));
    promoter.nps("2026-03-10T15:00:00Z", "r1", 10, "u1");

    vec![
        leaves.named("champion_leaves"),
        moves.named("champion_moves"),
        succeeded.named("calm_champion_succeeded"),
        detractor.named("detractor"),
        low.named("low_nps"),
        promoter.named("calm_promoter"),
    ]
}

/// Tickets: unresolved, late, in time.
fn supporting() -> Vec<Story> {
    let mut pile = Tale::of("deltafilms", "Delta Films");
    pile.sparse_logins(date(2026, 1, 5), date(2026, 5, 25));
    pile.ticket_opened("2026-03-02T10:00:00Z", "t1", "normal");
    pile.ticket_solved("2026-03-03T10:00:00Z", "t1", "normal", "2026-03-02T10:00:00Z");
    pile.ticket_opened("2026-03-05T10:00:00Z", "t2", "normal");
    pile.ticket_opened("2026-03-09T10:00:00Z", "t3", "normal");
    pile.ticket_opened("2026-03-12T10:00:00Z", "t4", "low");
    pile.ticket_opened("2026-03-16T10:00:00Z", "t5", "normal");
    pile.ticket_solved("2026-03-24T10:00:00Z", "t2", "normal", "2026-03-05T10:00:00Z");
    pile.ticket_solved("2026-03-24T11:00:00Z", "t3", "normal", "2026-03-09T10:00:00Z");
    pile.ticket_solved("2026-03-25T10:00:00Z", "t4", "low", "2026-03-12T10:00:00Z");
    pile.ticket_solved("2026-03-25T11:00:00Z", "t5", "normal", "2026-03-16T10:00:00Z");
    pile.ticket_opened("2026-05-04T10:00:00Z", "t6", "high");
    pile.ticket_opened("2026-05-06T10:00:00Z", "t7", "urgent");
    pile.ticket_opened("2026-05-08T10:00:00Z", "t8", "high");
    pile.ticket_solved("2026-05-12T10:00:00Z", "t6", "high", "2026-05-04T10:00:00Z");
    pile.ticket_solved("2026-05-12T11:00:00Z", "t7", "urgent", "2026-05-06T10:00:00Z");

    let due = |respond: &str, resolve: &str| {
        format!(r#","first_response_due_at":"{respond}","resolve_due_at":"{resolve}""#)
    };
    let mut breach = Tale::of("ravenmotors", "Raven Motors");
    breach.sparse_logins(date(2026, 1, 5), date(2026, 3, 30));
    let (opened, dues) = ("2026-03-03T09:00:00Z", due("2026-03-03T13:00:00Z", "2026-03-06T09:00:00Z"));
    breach.ticket(opened, "t1", "high", opened, &format!(r#""status":"open"{dues}"#));
    let responded = format!(r#""status":"open","first_response_at":"2026-03-03T10:30:00Z"{dues}"#);
    breach.ticket("2026-03-03T10:30:00Z", "t1", "high", opened, &responded);
    let solved = format!(
        r#""status":"solved","first_response_at":"2026-03-03T10:30:00Z","solved_at":"2026-03-08T15:20:00Z"{dues}"#
    );
    breach.ticket("2026-03-08T15:20:00Z", "t1", "high", opened, &solved);
    let (opened, dues) = ("2026-03-18T10:00:00Z", due("2026-03-18T11:00:00Z", "2026-03-19T10:00:00Z"));
    breach.ticket(opened, "t2", "urgent", opened, &format!(r#""status":"open"{dues}"#));
    let solved = format!(
        r#""status":"solved","first_response_at":"2026-03-18T12:40:00Z","solved_at":"2026-03-18T12:40:00Z"{dues}"#
    );
    breach.ticket("2026-03-18T12:40:00Z", "t2", "urgent", opened, &solved);

    let mut in_time = Tale::of("oakoptics", "Oak Optics");
    in_time.sparse_logins(date(2026, 1, 5), date(2026, 3, 30));
    let (opened, dues) = ("2026-03-03T09:00:00Z", due("2026-03-03T10:00:00Z", "2026-03-04T09:00:00Z"));
    in_time.ticket(opened, "t1", "urgent", opened, &format!(r#""status":"open"{dues}"#));
    let responded = format!(r#""status":"open","first_response_at":"2026-03-03T09:40:00Z"{dues}"#);
    in_time.ticket("2026-03-03T09:40:00Z", "t1", "urgent", opened, &responded);
    let solved = format!(
        r#""status":"solved","first_response_at":"2026-03-03T09:40:00Z","solved_at":"2026-03-04T08:30:00Z","csat":5{dues}"#
    );
    in_time.ticket("2026-03-04T08:30:00Z", "t1", "urgent", opened, &solved);

    vec![
        pile.named("tickets_unresolved"),
        breach.named("sla_breach"),
        in_time.named("calm_ticket_solved_in_time"),
    ]
}

/// Contracts and quarters.
fn renewing() -> Vec<Story> {
    let mut at_risk = Tale::without_contract("meridian", "Meridian Textiles");
    at_risk.sparse_logins(date(2026, 1, 5), date(2026, 5, 31));
    at_risk.contract("2026-01-01T08:05:00Z", "k1", "2025-07-01", "2026-07-01", "");
    at_risk.nps("2026-03-20T15:00:00Z", "r1", 4, "u1");
    let renews = r#","renews":"k1""#;
    at_risk.contract("2026-05-12T14:00:00Z", "k2", "2026-07-01", "2027-07-01", renews);

    let mut calm = Tale::without_contract("atlasmarine", "Atlas Marine");
    calm.office_use(date(2026, 1, 5), date(2026, 6, 1), [12, 13, 13, 12, 10]);
    calm.contract("2026-01-01T08:05:00Z", "k1", "2025-07-01", "2026-07-01", "");
    calm.nps("2026-03-20T15:00:00Z", "r1", 9, "u1");
    calm.contract("2026-05-12T14:00:00Z", "k2", "2026-07-01", "2027-07-01", renews);

    let mut quarter = Tale::of("crescent", "Crescent Robotics");
    quarter.office_use(date(2026, 1, 5), date(2026, 4, 13), [12, 13, 13, 12, 10]);
    quarter.office_use(date(2026, 4, 13), date(2026, 6, 20), [2, 3, 2, 2, 2]);
    quarter.nps("2026-02-10T15:00:00Z", "r1", 9, "u1");
    quarter.nps("2026-04-14T15:00:00Z", "r2", 2, "u1");
    quarter.ticket_opened("2026-02-16T10:00:00Z", "t1", "normal");
    quarter.ticket_solved("2026-02-17T10:00:00Z", "t1", "normal", "2026-02-16T10:00:00Z");
    for (id, day) in [("t2", 20), ("t3", 21), ("t4", 22), ("t5", 23), ("t6", 24)] {
        quarter.ticket_opened(&format!("2026-04-{day}T10:00:00Z"), id, "high");
    }
    quarter.contact("2026-04-22T10:00:00Z", "c1", "champion", "left");
    quarter.invoice_story("i1", "2026-01-01", "2026-01-31", Some("2026-01-28T10:00:00Z"));
    quarter.invoice_story("i2", "2026-02-01", "2026-03-03", Some("2026-02-26T10:00:00Z"));
    quarter.invoice_story("i3", "2026-03-01", "2026-03-31", Some("2026-03-27T10:00:00Z"));
    quarter.invoice_story("i4", "2026-04-01", "2026-05-01", None);

    vec![at_risk.named("renewal_at_risk"), calm.named("calm_renewal"), quarter.named("quarter_turns_bad")]
}

/// The same lines told otherwise.
fn repeated() -> Vec<Story> {
    let slip = slipping().named("same_event_twice");
    let twice = slip.lines.iter().flat_map(|line| [line.clone(), line.clone()]).collect();

    let mut calm = Tale::of("beaconglass", "Beacon Glass");
    calm.office_use(date(2026, 1, 5), date(2026, 3, 14), [12, 13, 13, 12, 10]);
    calm.nps("2026-02-10T15:00:00Z", "r1", 9, "u1");
    calm.invoice_story("i1", "2026-01-15", "2026-02-14", Some("2026-02-11T10:00:00Z"));
    calm.ticket_opened("2026-02-16T10:00:00Z", "t1", "normal");
    calm.ticket_solved("2026-02-17T10:00:00Z", "t1", "normal", "2026-02-16T10:00:00Z");
    let mut reversed = calm.named("calm_reversed");
    reversed.lines.reverse();

    vec![Story { name: "same_event_twice", lines: twice }, reversed]
}
