//! How many sites were patched and refused.
use super::Outcome;
use crate::raw::sites;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use serix_patch::{Plan, Refusal, Rule};

static BEFORE: AtomicU64 = AtomicU64::new(0);
static PADDING: AtomicU64 = AtomicU64::new(0);
static TAKEN_BACK: AtomicU64 = AtomicU64::new(0);
static NOT_TEXT: AtomicU64 = AtomicU64::new(0);
static REFUSED: [AtomicU64; Refusal::ALL.len()] = [const { AtomicU64::new(0) }; Refusal::ALL.len()];

pub(super) fn patched(plan: &Plan) {
    let counter = match plan.rule {
        Rule::Before => &BEFORE,
        Rule::Padding(_) => &PADDING,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn taken_back(sites: usize) {
    TAKEN_BACK.fetch_add(sites as u64, Ordering::Relaxed);
}

pub(super) fn refused(outcome: Outcome) {
    let counter = match outcome {
        Outcome::Refused(refusal) => &REFUSED[refusal as usize],
        Outcome::NotText => &NOT_TEXT,
        Outcome::Patched | Outcome::Later => return,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn all() -> impl Iterator<Item = (&'static str, u64)> {
    let own = [
        ("before", &BEFORE),
        ("padding", &PADDING),
        ("taken-back", &TAKEN_BACK),
        ("not-text", &NOT_TEXT),
    ];
    let refused = Refusal::ALL.iter().map(|why| (why.name(), &REFUSED[*why as usize]));
    own.into_iter().chain(refused).map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
}

/// `/proc/serix/call-sites`: a line for each counter of the session.
pub fn describe() -> String {
    let mut text = String::new();
    for (name, count) in all().chain([("trapped-calls", sites::reflected())]) {
        let _ = writeln!(text, "{name} {count}");
    }
    text
}

/// The same for the log, in one line.
#[must_use]
pub fn summary() -> String {
    let mut text = format!(
        "call sites patched: {} over the instruction before, {} by padding",
        BEFORE.load(Ordering::Relaxed),
        PADDING.load(Ordering::Relaxed)
    );
    for (name, count) in all().skip(2).filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {count} {name}");
    }
    let _ = write!(text, "; calls that trapped: {}", sites::reflected());
    text
}
