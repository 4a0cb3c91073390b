//! Waiting for sessions to end, and starting again those that should.

use alloc::vec::Vec;
use serix_abi::FOREVER;
use serix_sys::{Error, call};

use crate::error::Failure;
use crate::machine::{Machine, bits};
use crate::plan::SessionPlan;
use crate::policy::{End, GOOD_RUN_NS, MAIN, STATUS_FAILED, overall, restart_delay_ns, restarts};
use crate::raw::now_ns;
use crate::report::log;
use crate::start::{Domain, OPTION_AUDIT, start};

enum State {
    Running { domain: Domain, since_ns: u64, failures: u32 },
    Delayed { until_ns: u64, failures: u32 },
    Ended,
}

/// How the machine's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Status for the host.
    pub status: i32,
    /// Number of the session whose end it was.
    pub session: usize,
    /// How that session ended.
    pub end: End,
}

/// Sessions and where they are in their lives.
pub struct Supervisor<'m, 'p> {
    machine: &'m mut Machine,
    plans: &'p [SessionPlan<'p>],
    states: Vec<State>,
    status: i32,
}

impl<'m, 'p> Supervisor<'m, 'p> {
    /// Starts all sessions, in the manifest's order.
    ///
    /// # Errors
    /// The first that could not be started; those before it are ended again.
    pub fn start(machine: &'m mut Machine, plans: &'p [SessionPlan<'p>]) -> Result<Self, Failure> {
        let mut supervisor = Self { machine, plans, states: Vec::new(), status: 0 };
        for index in 0..plans.len() {
            match supervisor.start_one(index, 0) {
                Ok(state) => supervisor.states.push(state),
                Err(failure) => {
                    supervisor.end_all();
                    return Err(failure);
                }
            }
        }
        Ok(supervisor)
    }

    fn start_one(&mut self, index: usize, failures: u32) -> Result<State, Failure> {
        let plan = &self.plans[index];
        let name = || plan.session.name.clone();
        let domain =
            start(self.machine, plan, index).map_err(|reason| Failure::Session(name(), reason))?;
        let (session, now) = (&plan.session, serix_sys::time::ticks());
        let (name, libos) = (&session.name, &session.libos);
        log(format_args!("session {name}: started `{libos}` after {now} instructions or cycles"));
        Ok(State::Running { domain, since_ns: now_ns(), failures })
    }

    fn end_all(&mut self) {
        for state in core::mem::take(&mut self.states) {
            if let State::Running { domain, .. } = state {
                self.machine.take_back(domain);
            }
        }
    }

    /// Waits until the session `main` has ended for good, or all have.
    ///
    /// # Errors
    /// A session that could not be started again.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        loop {
            self.start_delayed()?;
            let waited =
                call::event_wait(self.machine.event, bits::ANY_ENDED, self.next_start_ns());
            match waited {
                Ok(ended) => {
                    if let Some(outcome) = self.look_at(ended) {
                        return Ok(outcome);
                    }
                }
                Err(Error::TimedOut) => {}
                Err(error) => return Err(Failure::Prepare("wait for sessions", error)),
            }
        }
    }

    fn next_start_ns(&self) -> u64 {
        let due = |state: &State| match state {
            State::Delayed { until_ns, .. } => Some(*until_ns),
            _ => None,
        };
        self.states.iter().filter_map(due).min().unwrap_or(FOREVER)
    }

    fn start_delayed(&mut self) -> Result<(), Failure> {
        for index in 0..self.states.len() {
            if let State::Delayed { until_ns, failures } = self.states[index]
                && until_ns <= now_ns()
            {
                self.states[index] = self.start_one(index, failures)?;
            }
        }
        Ok(())
    }

    /// Takes the ends that the event told of; the outcome if nothing is left to wait for.
    fn look_at(&mut self, ended: u64) -> Option<Outcome> {
        let mut outcome = None;
        for index in 0..self.states.len() {
            if ended & bits::ended(index) != 0 && outcome.is_none() {
                outcome = self.ended(index);
            }
        }
        outcome
    }

    fn ended(&mut self, index: usize) -> Option<Outcome> {
        let State::Running { domain, since_ns, failures } = &self.states[index] else {
            return None;
        };
        let end = End::decode(call::domain_status(domain.slot).unwrap_or(0))?;
        let ran_well = now_ns().saturating_sub(*since_ns) >= GOOD_RUN_NS;
        let failures = if ran_well { 0 } else { *failures };
        let session = &self.plans[index].session;
        log(format_args!("session {}: {end}", session.name));
        let next = if restarts(session.restart, end) {
            let until_ns = now_ns().saturating_add(restart_delay_ns(failures));
            State::Delayed { until_ns, failures: failures.saturating_add(1) }
        } else {
            State::Ended
        };
        self.clean_up(index, next);
        self.outcome(index, end)
    }

    fn clean_up(&mut self, index: usize, next: State) {
        if let State::Running { domain, .. } = core::mem::replace(&mut self.states[index], next) {
            self.machine.take_back(domain);
        }
        let options = &self.plans[index].session.options;
        if options.iter().any(|option| option == OPTION_AUDIT) && self.machine.audit() != Some(0) {
            self.status = STATUS_FAILED;
        }
    }

    fn outcome(&mut self, session: usize, end: End) -> Option<Outcome> {
        if !matches!(self.states[session], State::Ended) {
            return None;
        }
        self.status = overall(self.status, end);
        let is_main = self.plans[session].session.name == MAIN;
        let all_ended = self.states.iter().all(|state| matches!(state, State::Ended));
        // Where there is a `main`, its own status counts.
        let status =
            if is_main && self.status != STATUS_FAILED { end.exit_status() } else { self.status };
        (is_main || all_ended).then_some(Outcome { status, session, end })
    }
}
