//! What strangers do, and what is expected to come of it: one row each.

mod answers;
mod calls;
mod files;
mod handover;
mod imports;
mod memory;

use super::forge::{Call, Forged};

pub(super) use files::Dropped;

/// A component that loads, and does its deed when it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stranger {
    /// Of the plugin, its component, its listener and its cluster.
    pub(super) name: &'static str,
    /// What it does, unlike all others.
    pub(super) mechanism: &'static str,
    /// What puts an end to it.
    pub(super) stopped: &'static str,
    pub(super) forged: Forged,
    /// Further keys of the plugin.
    pub(super) keys: &'static str,
    pub(super) seen: Seen,
    /// The metric that rises: its name without `linkspan_plugin_`, and the values of its labels.
    pub(super) rises: (&'static str, &'static str),
    /// Whether it can be called afterwards.
    pub(super) recovers: bool,
}

/// What a client sees of a request that the deed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Status(u16),
    /// A body that breaks off.
    Cut,
    /// Nothing: it leaves before the end of the body, which is what the deed is about.
    Left,
    /// Nothing, on a connection that is closed.
    Closed,
}

/// All of them.
pub(super) fn all() -> Vec<Stranger> {
    [calls::all(), memory::all(), answers::all(), imports::all()].concat()
}

/// All files that are dropped, and refused.
pub(super) fn dropped() -> Vec<Dropped> {
    [files::all(), handover::all()].concat()
}

fn stranger(name: &'static str, at: Call, mechanism: &'static str) -> Stranger {
    let seen = match at {
        Call::Pick | Call::Changed | Call::Update => Seen::Status(200),
        Call::Chosen | Call::Connected | Call::Failed | Call::Finished => Seen::Status(200),
        Call::OnRequest | Call::OnResponse | Call::Begin => Seen::Status(502),
        Call::Transform | Call::Finish => Seen::Cut,
        Call::Abandon => Seen::Left,
        Call::Accepted | Call::Decide | Call::Undone => Seen::Closed,
        Call::Start | Call::Configure | Call::Route | Call::Save | Call::Restore => {
            Seen::Status(503)
        }
    };
    Stranger {
        name,
        mechanism,
        stopped: "",
        forged: Forged { at, ..Forged::TAME },
        keys: "",
        seen,
        rises: ("failures", "trap"),
        recovers: true,
    }
}

fn route(name: &'static str, mechanism: &'static str) -> Stranger {
    stranger(name, Call::Route, mechanism)
}

impl Stranger {
    fn deed(mut self, deed: &'static str) -> Self {
        self.forged.deed = deed;
        self
    }

    fn data(mut self, data: &'static str) -> Self {
        self.forged.data = data;
        self
    }

    fn room(mut self, room: &'static str) -> Self {
        self.forged.room = room;
        self
    }

    fn birth(mut self, birth: &'static str) -> Self {
        self.forged.birth = birth;
        self
    }

    fn more(mut self, more: &'static str) -> Self {
        self.forged.more = more;
        self
    }

    fn keys(mut self, keys: &'static str) -> Self {
        self.keys = keys;
        self
    }

    fn trapped(self, stopped: &'static str) -> Self {
        Self { stopped, rises: ("failures", "trap"), ..self }
    }

    fn timed_out(self) -> Self {
        Self { stopped: "the deadline", rises: ("failures", "deadline"), ..self }
    }

    fn unfit(self, stopped: &'static str) -> Self {
        Self { stopped, rises: ("failures", "contract"), ..self }
    }

    /// A metric of what it was denied rises.
    fn denied(self, what: &'static str) -> Self {
        Self { rises: ("denied", what), ..self }
    }

    fn answered(self, status: u16, stopped: &'static str, rises: &'static str) -> Self {
        Self { stopped, seen: Seen::Status(status), rises: (rises, ""), ..self }
    }
}
