//! A balancer with its cluster: what an instance of the component holds.

use crate::bindings::exports::linkspan::plugin::balancer;
use crate::bindings::linkspan::plugin::types::Picked;
use crate::{Balancer, Choice, HandsOver, Host, Members, Turn};

/// A balancer with its cluster.
#[derive(Debug)]
pub struct Instance<B> {
    /// None before it is configured.
    balancer: Option<B>,
    members: Members,
}

impl<B: Balancer> Instance<B> {
    /// One that is not configured.
    #[must_use]
    pub const fn new() -> Self {
        Self { balancer: None, members: Members::new() }
    }

    /// Takes the configuration.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn configure(&mut self, config: &str) -> Result<(), String> {
        self.balancer = Some(B::configure(config)?);
        Ok(())
    }

    /// Takes the members. What is wrong with them is told to the operator.
    pub fn update(&mut self, endpoints: Vec<balancer::Endpoint>, host: &impl Host) {
        for fault in self.members.update(endpoints) {
            host.warn(&fault);
        }
        self.prepare();
    }

    /// Takes the states that have changed.
    pub fn change(&mut self, states: Vec<(u32, balancer::EndpointState)>) {
        self.members.change(states);
        self.prepare();
    }

    fn prepare(&mut self) {
        if let Some(balancer) = &mut self.balancer {
            balancer.update(&self.members);
        }
    }

    /// Picks an endpoint for an attempt.
    pub fn pick(
        &mut self,
        attempt: u32,
        previous: Option<Picked>,
        host: &impl Host,
    ) -> balancer::Choice {
        let Some(balancer) = &mut self.balancer else { return balancer::Choice::None };
        let members = &self.members;
        // Whoever is asked first need not ask who was tried.
        let tried = (attempt > 0).then(|| members.tried(&host.tried()));
        let previous = previous.and_then(|picked| members.place(picked.id));
        let rest;
        let competitors = match tried {
            None => members.competitors(),
            Some(_) => {
                rest = members.without(tried);
                &rest
            }
        };
        let choice = balancer.pick(&Turn { members, competitors, attempt, previous, tried, host });
        match choice {
            Choice::At(place) => members.at(place).map_or(balancer::Choice::None, |member| {
                balancer::Choice::Endpoint(Picked { id: member.id, token: 0 })
            }),
            Choice::Next => balancer::Choice::Next,
            Choice::None => balancer::Choice::None,
        }
    }
}

impl<B: HandsOver> Instance<B> {
    /// What a successor has to know.
    pub fn save(&mut self) -> Vec<u8> {
        self.balancer.as_mut().map(B::save).unwrap_or_default()
    }

    /// Takes what a predecessor has saved.
    ///
    /// # Errors
    ///
    /// Why it is not understood.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let members = &self.members;
        self.balancer.as_mut().map_or(Ok(()), |balancer| balancer.restore(state, members))
    }
}

impl<B: Balancer> Default for Instance<B> {
    fn default() -> Self {
        Self::new()
    }
}
