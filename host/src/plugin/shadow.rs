//! What is called beside a plugin: with copies of what that was asked about, and deciding nothing.
//!
//! It is asked in tasks of its own, after the plugin has answered, so that no request waits for it; it
//! computes on the same worker all the same, within the limits that every plugin has. Where it falls
//! behind, calls are left out, and counted: copies do not pile up.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;

use crate::plugin::ask::Answered;
use crate::plugin::comparison::{Comparison, Outcome};
use crate::plugin::convert::{Decision, Edit};
use crate::plugin::definition::Definition;
use crate::plugin::error::Failure;
use crate::plugin::exchange::Exchange;
use crate::plugin::{Pick, Plugin, time};

/// The most copies at a time that the shadow of a plugin is asked about on a worker.
const COPIES: usize = 64;

/// The most characters that are logged of an answer, and the most of its parts that are named.
const TOLD: usize = 300;
/// See [`TOLD`].
const NAMED: usize = 50;

/// What is called beside a plugin.
pub(super) struct Shadow {
    pub(super) plugin: Plugin,
    comparison: Arc<Comparison>,
}

/// What a plugin answers, to be compared.
pub(super) trait Answer: Clone + PartialEq + 'static {
    /// It in a few words, without values that can be secrets.
    fn told(&self, by: &Definition) -> String;
}

impl Plugin {
    /// The same, with another that is called beside it.
    #[must_use]
    pub fn with_shadow(self, plugin: Self, comparison: Arc<Comparison>) -> Self {
        Self { shadow: Some(Rc::new(Shadow { plugin, comparison })), ..self }
    }

    /// Has the shadow asked what this has been asked, if there is one, some time soon. The exchange is
    /// as it was then: nothing has come of the answer yet.
    pub(super) fn shadowed<T: Answer, F: Future<Output = Answered<T>> + 'static>(
        &self,
        call: &'static str,
        exchange: &Exchange,
        answer: &Result<T, Failure>,
        ask: impl FnOnce(Self, Box<Exchange>) -> F + 'static,
    ) {
        let Some(shadow) = &self.shadow else { return };
        let copies = &shadow.plugin.pool.copies;
        let answer = match answer {
            Err(_failure) => return shadow.comparison.count(Outcome::Unanswered),
            // One that hold all copies of is the pool's.
            Ok(_) if Rc::strong_count(copies) > COPIES => {
                return shadow.comparison.count(Outcome::Missed);
            }
            Ok(answer) => answer.clone(),
        };
        let (shadow, place) = (Rc::clone(shadow), Rc::clone(copies));
        let mut copy = exchange.copy();
        copy.trail.measured = true;
        let time = exchange.trail.cost.time;
        spawn_local(async move {
            let (copy, shadows) = ask(shadow.plugin.clone(), copy).await;
            shadow.compare(call, &copy, (&answer, time), shadows);
            drop(place);
        });
    }
}

impl Shadow {
    /// Counts what it has answered, beside the answer of the plugin that decides and its time.
    fn compare<T: Answer>(
        &self,
        call: &'static str,
        exchange: &Exchange,
        (answer, time): (&T, Duration),
        shadows: Result<T, Failure>,
    ) {
        let outcome = match shadows {
            Ok(shadows) if shadows == *answer => Outcome::Agreed,
            Ok(shadows) => {
                self.tell(call, exchange, answer, &shadows);
                Outcome::Differed
            }
            Err(Failure::Busy | Failure::Parked) => {
                return self.comparison.count(Outcome::Missed);
            }
            Err(_failure) => Outcome::Failed,
        };
        self.comparison.compared(outcome, time, exchange.trail.cost.time);
    }

    /// Logs a difference, at most once a second.
    fn tell<T: Answer>(&self, call: &'static str, exchange: &Exchange, answer: &T, shadows: &T) {
        let comparison = &*self.comparison;
        if !tracing::enabled!(tracing::Level::DEBUG)
            || !comparison.gate.pass(time::since_start(), 1)
        {
            return;
        }
        let definition = self.plugin.definition();
        let [answer, shadows] = [answer, shadows].map(|it| shortened(&it.told(definition)));
        let (plugin, version) = (&*comparison.plugin, comparison.version.as_str());
        let (id, shadow_version) = (&exchange.trail.id, definition.version());
        let listener = &*exchange.connection.listener;
        let text = match answer == shadows {
            true => "its shadow decides otherwise, by values that are not told",
            false => "its shadow decides otherwise",
        };
        tracing::debug!(
            plugin,
            version,
            shadow_version,
            call,
            %id,
            listener,
            answer,
            shadow_answer = shadows,
            "{text}"
        );
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(TOLD).collect()
}

impl Answer for Decision {
    fn told(&self, _by: &Definition) -> String {
        match self {
            Self::Next => "next".to_owned(),
            Self::Forward { upstream, host, path } => {
                let mut told = format!("forward to {upstream}");
                if let Some(host) = host {
                    told += &format!(", host {host:?}");
                }
                if let Some(path) = path {
                    told += &format!(", path {path}");
                }
                told
            }
            Self::Respond(response) => {
                let fields = response.headers().keys().take(NAMED);
                let fields: Vec<_> = fields.map(|name| format!(" {name},")).collect();
                let (status, bytes) = (response.status().as_u16(), response.body().len());
                format!("respond {status},{} {bytes} bytes", fields.concat())
            }
        }
    }
}

impl Answer for Pick {
    fn told(&self, by: &Definition) -> String {
        match self {
            Self::Endpoint(picked) => {
                let (_, endpoints) =
                    by.members.as_deref().map(|m| m.endpoints()).unwrap_or_default();
                let mut endpoints = endpoints.into_iter();
                let endpoint = endpoints.find(|endpoint| endpoint.id == picked.id);
                let address = endpoint.map(|endpoint| endpoint.address).unwrap_or_default();
                format!("endpoint {address}, token {}", picked.token)
            }
            Self::Next => "next".to_owned(),
            Self::None => "none".to_owned(),
            Self::Fallback => "fallback".to_owned(),
        }
    }
}

impl Answer for Vec<Edit> {
    fn told(&self, _by: &Definition) -> String {
        match self.is_empty() {
            true => "no edits".to_owned(),
            false => self.iter().take(NAMED).map(Edit::about).collect::<Vec<_>>().join(", "),
        }
    }
}
