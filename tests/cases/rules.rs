//! What Linkspan does in each case: one answer, where the case leaves a choice. One file per group,
//! in the order of the cases.

mod chunks;
mod connections;
mod fields;
mod framing;
mod hosts;
mod lines;
mod paths;
mod responses;
mod targets;

use super::upstream::Then;

/// What becomes of what a client sends.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    /// What becomes of each request.
    pub(super) steps: Vec<Step>,
    /// Whether the client's connection ends after the last answer.
    pub(super) closes: bool,
    /// Whether the client half-closes after the case's bytes.
    pub(super) half_closes: bool,
    /// The target that the upstream answers late.
    pub(super) slow: Option<&'static str>,
    /// What its refusal counts by, where the status does not say it.
    pub(super) reason: Option<&'static str>,
    /// What stands in the case's bytes for something of Linkspan's, and that.
    pub(super) stands_for: (&'static str, &'static str),
    pub(super) setting: Setting,
}

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// It reaches the upstream, as this.
    Forwarded(Seen),
    /// It is answered with this status, and not a byte of it reaches the upstream.
    Refused(u16),
    /// The same, but its beginning may have reached the upstream. Its end has not.
    Cut(u16),
    /// It is answered with this status and no reproach, and the connection stays.
    Answered(u16),
}

/// A request as the upstream gets it: its head line by line, but for the lines that Linkspan adds.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: &'static str,
    pub(super) adds: Adds,
}

/// The lines that Linkspan adds to a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Adds {
    /// X-Forwarded-For, -Proto, -Host with the Host that stands in the head, and Via.
    Usual,
    /// The same of a client that speaks HTTP/1.0, and perhaps named no Host.
    Of10 { host: bool },
    /// Whatever: the head says the first line only.
    Unsaid,
}

/// A configuration other than the plain one. Only where the case needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    /// The only router. There is no default cluster then.
    pub(super) router: Option<&'static str>,
    /// Lines of the listener.
    pub(super) listener: &'static str,
    /// Lines of the cluster.
    pub(super) cluster: &'static str,
    /// Further tables.
    pub(super) tables: String,
    /// Test guests.
    pub(super) guests: &'static [&'static str],
}

/// What becomes of what an upstream sends.
#[derive(Debug, Clone)]
pub(super) struct Relayed {
    pub(super) id: &'static str,
    /// What the client asks.
    pub(super) request: &'static str,
    /// What the upstream does after its bytes.
    pub(super) then: Then,
    pub(super) gets: Gets,
    /// Whether its connection is used again.
    pub(super) reused: bool,
    /// Whether the client's connection ends.
    pub(super) closes: bool,
    /// What an error counts by, where the status does not say it.
    pub(super) reason: Option<&'static str>,
    pub(super) setting: Setting,
}

/// What the client gets.
#[derive(Debug, Clone)]
pub(super) enum Gets {
    /// The response, with this body and these lines in its head, in this order among those of a name.
    /// `!name` says that there is no such field.
    Whole(u16, &'static str, Vec<&'static str>),
    /// Its head, and then no end.
    Truncated(u16),
    /// An answer of Linkspan's own.
    Error(u16),
}

/// All that a client sends.
pub(super) fn of_requests() -> Vec<Rule> {
    let groups = [
        lines::rules(),
        targets::rules(),
        hosts::rules(),
        fields::rules(),
        framing::rules(),
        chunks::rules(),
        connections::rules(),
        paths::rules(),
    ];
    groups.concat()
}

/// All that an upstream sends.
pub(super) fn of_responses() -> Vec<Relayed> {
    responses::rules()
}

/// Nothing of it reaches the upstream, and the connection ends.
fn refused(id: &'static str, status: u16) -> Rule {
    rule(id, vec![Step::Refused(status)], true)
}

/// The same, where its beginning may have reached the upstream before the fault came.
fn cut(id: &'static str, status: u16) -> Rule {
    rule(id, vec![Step::Cut(status)], true)
}

/// The upstream gets this, and the connection stays.
fn forwarded(id: &'static str, head: &str) -> Rule {
    rule(id, vec![Step::Forwarded(seen(head))], false)
}

fn rule(id: &'static str, steps: Vec<Step>, closes: bool) -> Rule {
    Rule {
        id,
        steps,
        closes,
        half_closes: false,
        slow: None,
        reason: None,
        stands_for: ("", ""),
        setting: Setting::default(),
    }
}

fn seen(head: &str) -> Seen {
    Seen { head: head.to_owned(), body: "", adds: Adds::Usual }
}

impl Rule {
    /// Another request follows, which the upstream gets as this.
    fn then(mut self, head: &str) -> Self {
        self.steps.push(Step::Forwarded(seen(head)));
        self
    }

    /// Another request follows, which is refused.
    fn then_refused(mut self, status: u16) -> Self {
        self.steps.push(Step::Refused(status));
        self.closes = true;
        self
    }

    fn last(&mut self) -> &mut Seen {
        match self.steps.last_mut() {
            Some(Step::Forwarded(seen)) => seen,
            _ => panic!("{}: the upstream does not get it", self.id),
        }
    }

    /// The last request has this body.
    fn body(mut self, body: &'static str) -> Self {
        self.last().body = body;
        self
    }

    /// Linkspan adds other lines than usual to the last request.
    fn adds(mut self, adds: Adds) -> Self {
        self.last().adds = adds;
        self
    }

    /// The connection ends after the last answer.
    fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The client half-closes after its bytes.
    fn half_closes(mut self) -> Self {
        self.half_closes = true;
        self
    }

    /// In the case's bytes, this stands for that.
    fn stands_for(mut self, what: &'static str, own: &'static str) -> Self {
        self.stands_for = (what, own);
        self
    }

    /// The connection stays after the last answer.
    fn stays(mut self) -> Self {
        self.closes = false;
        self
    }

    /// Its refusal counts by this reason.
    fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The upstream answers this target late.
    fn slow(mut self, target: &'static str) -> Self {
        self.slow = Some(target);
        self
    }

    fn listener(mut self, lines: &'static str) -> Self {
        self.setting.listener = lines;
        self
    }

    /// This router decides where requests go.
    fn router(mut self, router: &'static str, tables: &str) -> Self {
        self.setting.router = Some(router);
        self.setting.tables = tables.to_owned();
        self
    }

    fn guests(mut self, guests: &'static [&'static str]) -> Self {
        self.setting.guests = guests;
        self
    }
}

/// The client gets the response, and the upstream's connection is used again.
fn whole(id: &'static str, status: u16, body: &'static str, lines: &[&'static str]) -> Relayed {
    relayed(id, Gets::Whole(status, body, lines.to_vec()))
}

/// The client gets this error in its place, and the upstream's connection is not used again.
pub(super) fn error(id: &'static str, status: u16) -> Relayed {
    relayed(id, Gets::Error(status)).dropped()
}

/// The client gets the beginning, and sees that it is not all.
fn truncated(id: &'static str, status: u16) -> Relayed {
    relayed(id, Gets::Truncated(status)).dropped().closes()
}

fn relayed(id: &'static str, gets: Gets) -> Relayed {
    Relayed {
        id,
        request: "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        then: Then::Stays,
        gets,
        reused: true,
        closes: false,
        reason: None,
        setting: Setting::default(),
    }
}

impl Relayed {
    /// Its error counts by this reason.
    pub(super) fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// What the client asks.
    fn to(mut self, request: &'static str) -> Self {
        self.request = request;
        self
    }

    /// The upstream ends its connection like that.
    pub(super) fn upstream(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// The upstream's connection is not used again.
    fn dropped(mut self) -> Self {
        self.reused = false;
        self
    }

    /// The client's connection ends.
    fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    fn cluster(mut self, lines: &'static str) -> Self {
        self.setting.cluster = lines;
        self
    }

    /// Its body or head passes this rewriter.
    fn rewriter(mut self, listener: &'static str, tables: &str) -> Self {
        self.setting.listener = listener;
        self.setting.tables = tables.to_owned();
        self
    }
}
