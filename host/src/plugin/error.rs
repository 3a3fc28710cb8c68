//! What can go wrong with a component, when it is loaded and when it is called.

use std::error::Error;
use std::time::Duration;

use wasmtime::WasmBacktrace;

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
    /// An instance could not be made.
    #[error("a new instance could not be started")]
    Birth(#[source] Box<Refusal>),
}

impl Failure {
    /// Which of [`FAILURES`] it counts as; `None` for [`Self::Busy`], which is counted apart.
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
            Self::Contract(_) | Self::Busy | Self::Parked => false,
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
    pub(super) fn brief(&self) -> String {
        let words = match self {
            Self::Trapped(error) => format!("trapped: {}", error.root_cause()),
            Self::Birth(refusal) => format!("{self}: {refusal}"),
            _ => self.to_string(),
        };
        let line = words.lines().next().unwrap_or_default();
        line.get(..line.floor_char_boundary(BRIEF_BYTES)).unwrap_or_default().to_owned()
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
            Self::Birth(_) => "birth",
        }
    }
}

/// The causes of failures as metric labels.
pub const FAILURES: [&str; 6] = ["trap", "deadline", "memory", "contract", "parked", "birth"];

/// Why a component is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such component.
    #[error("no component of that name: {0}")]
    Missing(String),
    /// The bytes are no WebAssembly component.
    #[error("not a WebAssembly component: {0}")]
    NotComponent(String),
    /// It does not fit the contract, or wants what it was not granted.
    #[error("{0}")]
    Unfit(String),
    /// The compiler failed, or was stopped.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// Instantiation or `configure` broke off.
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
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[from] std::io::Error),
}
