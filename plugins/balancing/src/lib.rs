//! What the balancers have in common, so that each is a file that says how it chooses.
//!
//! A balancer implements [`Balancer`] and names itself to [`balancer!`]. What it is asked is a
//! [`Turn`]: the [members] of its cluster, those of them that compete for this attempt,
//! and what the [host] tells. Who competes is the same for all balancers, and settled before
//! they are asked:
//!
//! - Whoever is usable, not draining, and has not been tried for this request.
//! - Of the sets that the attribute `lbset` makes, the lowest in which anybody competes.
//! - Endpoints with `status = "spare"` stand in, one for each other of their set that cannot
//!   compete; those with `status = "standby"` only where nobody else of their set can.
//!
//! All of it runs natively in tests; [`testing`] has a host that answers as it is told, and plays
//! the vectors that the compiled components have to follow too.

pub mod hash;
pub mod host;
pub mod key;
pub mod load;
pub mod members;
pub mod smooth;
pub mod tried;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

mod instance;

/// The same for balancers that hand their state over.
pub mod handing_over {
    #![expect(missing_docs, reason = "generated; the contract has its documentation in `wit/`")]

    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package linkspan:balancing;
            world handing-over {
                export linkspan:plugin/handover@0.1.0;
            }
        ",
        world: "linkspan:balancing/handing-over",
        pub_export_macro: true,
        export_macro_name: "export_handover",
        default_bindings_module: "linkspan_plugin_balancing::handing_over",
    });
}

/// The Rust side of the contract, generated once for all balancers.
pub mod bindings {
    #![expect(missing_docs, reason = "generated; the contract has its documentation in `wit/`")]

    wit_bindgen::generate!({
        path: "../../wit",
        world: "balancer-plugin",
        pub_export_macro: true,
        default_bindings_module: "linkspan_plugin_balancing::bindings",
    });
}

pub use host::Host;
pub use instance::Instance;
pub use members::{Competitors, Member, Members};
pub use tried::Tried;

/// How a balancer chooses.
pub trait Balancer: Sized {
    /// Takes the configuration, as JSON text. An error names the key.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the operator.
    fn configure(config: &str) -> Result<Self, String>;

    /// Takes the members, whenever the list or a state has changed: the time to prepare what would
    /// cost too much at a pick.
    fn update(&mut self, _members: &Members) {}

    /// Chooses for an attempt.
    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice;
}

/// A balancer whose successor goes on where it is.
pub trait HandsOver: Balancer {
    /// What the successor has to know, in a form that later versions understand.
    fn save(&mut self) -> Vec<u8>;

    /// Takes what a predecessor has saved, once the members are known.
    ///
    /// # Errors
    ///
    /// Why it is not understood, for the operator.
    fn restore(&mut self, state: &[u8], members: &Members) -> Result<(), String>;
}

/// An attempt that an endpoint is sought for.
#[derive(Debug)]
pub struct Turn<'a, H> {
    /// The list.
    pub members: &'a Members,
    /// Who of it may be chosen.
    pub competitors: &'a Competitors,
    /// How many there were for the request, by all balancers of the cluster together.
    pub attempt: u32,
    /// Where the choice before, which failed, stands on the list; none at a first attempt, after
    /// the choice of another balancer, or if it is no longer there.
    pub previous: Option<usize>,
    /// Who was tried before, by whichever of the cluster's balancers; none at a first attempt.
    pub tried: Option<Tried>,
    /// What else there is to know.
    pub host: &'a H,
}

impl<H> Turn<'_, H> {
    /// Whether a member was tried before.
    #[must_use]
    pub fn was_tried(&self, member: &Member) -> bool {
        self.tried.is_some_and(|tried| tried.has(member.number, self.members.distinct().len()))
    }
}

/// What a balancer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The member at this place of the list.
    At(usize),
    /// The next balancer is to be asked.
    Next,
    /// Nobody.
    None,
}

impl From<Option<usize>> for Choice {
    fn from(place: Option<usize>) -> Self {
        place.map_or(Self::None, Self::At)
    }
}

/// Has the component that [`balancer!`] makes hand its state over.
#[macro_export]
macro_rules! hands_over {
    () => {
        impl $crate::handing_over::exports::linkspan::plugin::handover::Guest for Plugin {
            fn save() -> Vec<u8> {
                INSTANCE.with_borrow_mut(|instance| instance.save())
            }

            fn restore(state: Vec<u8>) -> Result<(), String> {
                INSTANCE.with_borrow_mut(|instance| instance.restore(&state))
            }
        }

        #[cfg(target_family = "wasm")]
        mod export_handover {
            #![expect(unsafe_code, reason = "the exported symbols of a component")]

            use super::Plugin;

            $crate::handing_over::export_handover!(Plugin with_types_in $crate::handing_over);
        }
    };
}

/// Makes the component of a balancer.
#[macro_export]
macro_rules! balancer {
    ($balancer:ty) => {
        struct Plugin;

        ::std::thread_local! {
            static INSTANCE: ::std::cell::RefCell<$crate::Instance<$balancer>> =
                const { ::std::cell::RefCell::new($crate::Instance::new()) };
        }

        impl $crate::bindings::exports::linkspan::plugin::lifecycle::Guest for Plugin {
            fn configure(config: String) -> Result<(), String> {
                INSTANCE.with_borrow_mut(|instance| instance.configure(&config))
            }
        }

        impl $crate::bindings::exports::linkspan::plugin::balancer::Guest for Plugin {
            fn update(
                _cluster: u32,
                endpoints: Vec<$crate::bindings::exports::linkspan::plugin::balancer::Endpoint>,
            ) {
                INSTANCE
                    .with_borrow_mut(|instance| instance.update(endpoints, &$crate::host::Live));
            }

            fn changed(
                _cluster: u32,
                states: Vec<(
                    u32,
                    $crate::bindings::exports::linkspan::plugin::balancer::EndpointState,
                )>,
            ) {
                INSTANCE.with_borrow_mut(|instance| instance.change(states));
            }

            fn pick(
                _cluster: u32,
                attempt: u32,
                previous: Option<$crate::bindings::linkspan::plugin::types::Picked>,
            ) -> $crate::bindings::exports::linkspan::plugin::balancer::Choice {
                INSTANCE.with_borrow_mut(|instance| {
                    instance.pick(attempt, previous, &$crate::host::Live)
                })
            }
        }

        #[cfg(target_family = "wasm")]
        mod export {
            #![expect(unsafe_code, reason = "the exported symbols of a component")]

            use super::Plugin;

            $crate::bindings::export!(Plugin with_types_in $crate::bindings);
        }
    };
}
