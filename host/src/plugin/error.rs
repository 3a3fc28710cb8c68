//! What can go wrong with a component, when it is loaded and when it is called.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use wasmtime::WasmBacktrace;

use crate::config;
use crate::plugin::component::Kind;
use crate::plugin::imports::WAITING;

/// The most that a line about a request says of a failure.
const BRIEF_BYTES: usize = 300;

/// Why a call into a plugin gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The guest trapped, or broke a limit other than those below.
    #[error("trapped: {0:#}")]
    Trapped(wasmtime::Error),
    /// The guest used up its deadline.
    #[error("ran past its deadline of {after:?}")]
    TimedOut {
        /// The deadline.
        after: Duration,
        /// Where it was then.
        trace: wasmtime::Error,
    },
    /// The guest asked for more memory than its limit and then trapped.
    #[error("asked for more than its {0} bytes of memory")]
    OutOfMemory(usize),
    /// The guest's answer breaks the contract.
    #[error("answered against the contract: {0}")]
    Contract(String),
    /// No instance became free in time.
    #[error("no instance was free in time")]
    Busy,
    /// The plugin is parked after repeated failures.
    #[error("parked after repeated failures")]
    Parked,
    /// The guest will not go on with a body, which is no fault of its own.
    #[error("gave up the body: {0}")]
    GivenUp(String),
    /// The instance that had begun a body broke off in another call.
    #[error("its instance was lost in a call about another body")]
    Lost,
    /// An instance could not be made.
    #[error("a new instance could not be started")]
    Birth(#[source] Box<Refusal>),
}

impl Failure {
    /// Which of [`FAILURES`] it counts as; `None` for [`Self::Busy`], which is counted apart, and for
    /// what is counted where it arose, or is no failure.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        let label = self.label();
        FAILURES.iter().position(|known| *known == label)
    }

    /// Whether failures like this are reason to leave the plugin alone.
    pub(super) fn parks(&self) -> bool {
        match self {
            Self::Trapped(_) | Self::TimedOut { .. } | Self::OutOfMemory(_) | Self::Birth(_) => {
                true
            }
            Self::Contract(_) | Self::Busy | Self::Parked | Self::GivenUp(_) | Self::Lost => false,
        }
    }

    /// All that is known, for a log: the cause, and the guest's stack where there is one.
    pub(super) fn report(&self) -> String {
        match self {
            // The reason first: the guest's stack, which follows, can be long.
            Self::Trapped(error) => format!("trapped: {}: {error:?}", error.root_cause()),
            Self::TimedOut { trace, .. } => match trace.downcast_ref::<WasmBacktrace>() {
                Some(stack) => format!("{self}\n{stack}"),
                None => self.to_string(),
            },
            Self::Birth(refusal) => {
                let cause = refusal.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("{self}: {refusal}{cause}")
            }
            _ => self.to_string(),
        }
    }

    /// The same in a few words, for a line about a request.
    pub(super) fn words(&self) -> String {
        let words = match self {
            Self::Trapped(error) => format!("trapped: {}", error.root_cause()),
            Self::Birth(refusal) => format!("{self}: {refusal}"),
            _ => self.to_string(),
        };
        let line = words.lines().next().unwrap_or_default();
        line.get(..line.floor_char_boundary(BRIEF_BYTES)).unwrap_or_default().to_owned()
    }

    /// The same in short, and the rest of it: the reason, then the guest's stack if there is one.
    #[must_use]
    pub fn brief(&self) -> (String, String) {
        let (short, trace) = match self {
            Self::Trapped(error) => (format!("trapped: {}", error.root_cause()), error),
            Self::TimedOut { trace, .. } => (self.to_string(), trace),
            _ => return (self.to_string(), String::new()),
        };
        let stack = trace.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
        (short, stack.unwrap_or_default())
    }

    /// Its cause as a metric label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Trapped(_) => "trap",
            Self::TimedOut { .. } => "deadline",
            Self::OutOfMemory(_) => "memory",
            Self::Contract(_) => "contract",
            Self::Busy => "busy",
            Self::Parked => "parked",
            Self::GivenUp(_) => "given-up",
            Self::Lost => "lost",
            Self::Birth(_) => "birth",
        }
    }
}

/// The causes of failures as metric labels.
pub const FAILURES: [&str; 6] = ["trap", "deadline", "memory", "contract", "parked", "birth"];

/// Why a component is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is none of those that may serve.
    #[error("its SHA-256, {0}, is not on the list of `server.require-digest`")]
    Unlisted(String),
    /// There is no such component.
    #[error("there is no component `{name}`{}", near(name, known))]
    Missing {
        /// The name that it would have.
        name: String,
        /// The directory where it was looked for, before the built-in components.
        directory: Option<PathBuf>,
        /// The names of those that there are.
        known: Vec<String>,
    },
    /// The bytes are no WebAssembly component.
    #[error("not a WebAssembly component: {0}")]
    NotComponent(String),
    /// It does not fit the contract.
    #[error("{0}")]
    Unfit(String),
    /// It is not what it is used as, or wants what it was not granted; at least one fault.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Misused(Vec<Misuse>),
    /// The compiler failed, or was stopped.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// Instantiation, `configure` or a first call broke off.
    #[error("{step} failed")]
    Start {
        /// Which of them.
        step: &'static str,
        /// How.
        #[source]
        cause: Failure,
    },
    /// `configure` answered an error.
    #[error("its configuration is refused: {0}")]
    Configuration(String),
    /// `restore` answered an error.
    #[error("it does not take the state of the version before: {0}")]
    Restore(String),
    /// The version before could not say what its state is.
    #[error("the version before does not give its state")]
    Save(#[source] Failure),
    /// Somebody writes to the file of this name, or replaces it.
    #[error("{} is still being written", .0.display())]
    Written(PathBuf),
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn near(name: &str, known: &[String]) -> String {
    let hint = config::did_you_mean(name, known.iter().map(String::as_str));
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

/// How a component does not fit the use that the configuration makes of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// It is of another kind.
    #[error("it is used as a {used}, and is a {}", names(is))]
    Kind {
        /// What it is used as.
        used: Kind,
        /// What it is.
        is: Vec<Kind>,
    },
    /// It opens stores, and was granted none.
    #[error(
        "it imports {WAITING}, which nobody granted: name stores in \
         `grants = {{ stores = [...] }}`"
    )]
    NoStores,
    /// One that waits for stores, or transforms bodies, cannot have a single instance.
    #[error("a plugin that {0} cannot have `instances = \"shared\"`")]
    Shared(&'static str),
    /// Its `on-failure` is for another kind.
    #[error("`on-failure = \"{given}\"` is not for a {kind}")]
    OnFailure {
        /// What was configured.
        given: &'static str,
        /// What it is used as.
        kind: Kind,
    },
}

/// `router and balancer`.
pub(super) fn names(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ")
}
