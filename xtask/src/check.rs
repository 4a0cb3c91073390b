//! `cargo xtask check`: everything that can be said about the sources without running them.

mod direction;
mod layers;
mod lexer;
mod places;
mod sizes;
mod sources;
mod tools;

use std::time::Instant;

use anyhow::Result;

use crate::build::Cargo;
use crate::places::Places;
use crate::report::Progress;
use crate::setup::{Policy, RustPart, ensure_rust};
use sources::Sources;

/// Checks formatting, lints, documentation and the rules of the architecture
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only the checks whose name holds this
    filter: Option<String>,
    /// Install nothing; say what is missing
    #[arg(long)]
    no_install: bool,
}

/// What a check looks at.
struct Context<'a> {
    cargo: Cargo<'a>,
    sources: Sources,
}

/// A check gives its complaints, one a line; none means that it passed.
type Check = fn(&Context<'_>) -> Result<Vec<String>>;

const CHECKS: [(&str, Check); 13] = [
    ("layers", layers::check),
    ("kernel-imports", direction::check),
    ("file-sizes", sizes::check),
    ("unsafe-places", places::unsafe_code),
    ("system-calls", places::system_calls),
    ("paths", places::machine_paths),
    ("fmt", tools::fmt),
    ("clippy-host", tools::clippy_host),
    ("clippy-guest", tools::clippy_guest),
    ("clippy-linux", tools::clippy_linux),
    ("kani", tools::kani),
    ("docs", tools::docs),
    ("links", places::documentation_links),
];

/// What `bench --footprint` tells of the sources.
pub(crate) struct Counts {
    /// Lines of kernel, hal and core that are code, without tests.
    pub(crate) kernel_code: usize,
    /// All their lines, without tests.
    pub(crate) kernel_lines: usize,
    /// The word `unsafe` in code, in the whole repository.
    pub(crate) unsafe_words: usize,
}

/// Counts the checkout.
pub(crate) fn count(places: &Places) -> Result<Counts> {
    let sources = Sources::read(&places.source)?;
    let (kernel_code, kernel_lines) = sizes::kernel_lines(&sources);
    Ok(Counts { kernel_code, kernel_lines, unsafe_words: places::unsafe_count(&sources) })
}

/// Carries out the checks; true if all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let places = Places::find()?;
    let policy = if options.no_install { Policy::Refuse } else { Policy::Install };
    let parts = [RustPart::GuestTarget, RustPart::Clippy, RustPart::Rustfmt];
    ensure_rust(&parts, &places.source, policy, &mut Progress::new(1, false))?;
    let context = Context { cargo: Cargo::new(&places), sources: Sources::read(&places.source)? };
    let wanted = |name: &str| options.filter.as_ref().is_none_or(|filter| name.contains(filter));
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| wanted(name)) {
        let start = Instant::now();
        let complaints = check(&context).unwrap_or_else(|error| vec![format!("{error:#}")]);
        let verdict = if complaints.is_empty() { "ok" } else { "FAILED" };
        println!("{verdict:6} {name} ({:.1} s)", start.elapsed().as_secs_f64());
        for complaint in &complaints {
            println!("    {}", complaint.replace('\n', "\n    "));
        }
        if complaints.is_empty() { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    Ok(failed == 0)
}
