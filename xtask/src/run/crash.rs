//! Reports of fatal faults: in the kernel log their addresses get names.
//!
//! The guest writes registers and return addresses; names take the symbols, which are on the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::System;
use crate::machine::session_text;
use crate::places::Places;
use crate::symbols::{KERNEL, LIBOS, Table};

/// Lines of the log that begin a report of the libOS about itself, and about a program (docs/getting-started.md).
const LIBOS_REPORTS: [&str; 2] = ["libos: exception ", "libos: panicked at "];
const PROGRAM_REPORT: &str = "libos: process ";
const KERNEL_REPORT: &str = "kernel: fault ";
/// What stands before an address of code.
const MARKS: [&str; 2] = ["  at 0x", "  called from 0x"];

/// The symbols of a run, read when they are asked for.
struct Symbols<'a> {
    options: &'a System,
    folder: PathBuf,
    libos: String,
    tables: BTreeMap<PathBuf, Table>,
}

/// Names the addresses of all reports in a log. The lines of a report that concerns the whole run: of the libOS, or of the
/// first process.
pub(super) fn name_addresses(
    log: &Path,
    libos: &str,
    options: &System,
    places: &Places,
) -> Result<Vec<String>> {
    let bytes = std::fs::read(log).with_context(|| format!("no {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let folder = options.binaries.clone().unwrap_or_else(|| places.guest_binaries());
    let mut symbols = Symbols { options, folder, libos: libos.to_owned(), tables: BTreeMap::new() };
    let (mut lines, mut shown) = (Vec::new(), Vec::new());
    let (mut program, mut is_shown, mut is_changed) = (None, false, false);
    for line in text.lines() {
        let own = session_text(line);
        let is_head = is_head(own, line);
        if is_head {
            program = own.and_then(program_of);
            is_shown = program.as_ref().is_none_or(|(pid, _)| *pid == 1);
        }
        let name = address_in(line).and_then(|address| {
            symbols.name(address, program.as_ref().map(|(_, path)| path.as_path()))
        });
        is_changed |= name.is_some();
        let line = name.map_or_else(|| line.to_owned(), |name| format!("{line} {name}"));
        if is_shown && (is_head || is_part(&line)) {
            shown.push(line.clone());
        }
        lines.push(line);
    }
    if is_changed {
        std::fs::write(log, lines.join("\n") + "\n").with_context(|| log.display().to_string())?;
    }
    Ok(shown)
}

/// The line with which a libOS says that it is broken.
pub(super) fn broken_libos(log: &Path) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(session_text).find(|line| is_broken(line)).map(str::to_owned)
}

fn is_broken(text: &str) -> bool {
    LIBOS_REPORTS.iter().any(|head| text.starts_with(head))
}

/// Whether a report begins: with what a session says, or with a line of the kernel's own.
fn is_head(own: Option<&str>, line: &str) -> bool {
    match own {
        Some(text) => is_broken(text) || program_of(text).is_some(),
        None => line.starts_with(KERNEL_REPORT),
    }
}

fn is_part(line: &str) -> bool {
    session_text(line).map_or(line.starts_with("kernel:   "), |text| text.starts_with("libos:   "))
}

/// Number and file of the process that a report is about: `libos: process 1 (/bin/true) ended by …`.
fn program_of(line: &str) -> Option<(u32, PathBuf)> {
    let (pid, rest) = line.strip_prefix(PROGRAM_REPORT)?.split_once(" (")?;
    let (path, _) = rest.split_once(") ended by ")?;
    Some((pid.parse().ok()?, path.into()))
}

fn address_in(line: &str) -> Option<u64> {
    let (mark, rest) = MARKS.iter().find_map(|mark| Some((mark, line.split_once(mark)?.1)))?;
    let address = u64::from_str_radix(rest, 16).ok().filter(|_| is_part(line))?;
    // A call that never returns may be its function's last instruction.
    Some(if *mark == MARKS[1] { address - 1 } else { address })
}

impl Symbols<'_> {
    fn name(&mut self, address: u64, program: Option<&Path>) -> Option<String> {
        let file = if address >= KERNEL {
            self.folder.join("serix-kernel")
        } else if LIBOS.contains(&address) || program.is_none() {
            let own = self.folder.join(format!("serix-{}", self.libos));
            if own.exists() { own } else { self.folder.join(&self.libos) }
        } else {
            program_file(self.options, program?)?
        };
        if !self.tables.contains_key(&file) {
            // Without symbols the addresses stay as they are.
            self.tables.insert(file.clone(), Table::read(&file).unwrap_or_default());
        }
        let (name, offset) = self.tables.get(&file)?.find(address)?;
        Some(format!("{name}+{offset:#x}"))
    }
}

/// The file on the host that is a path of the guest.
fn program_file(options: &System, path: &Path) -> Option<PathBuf> {
    let added = options.add.iter().find_map(|addition| {
        let rest = path.strip_prefix(&addition.guest).ok()?;
        Some(if rest.as_os_str().is_empty() {
            addition.host.clone()
        } else {
            addition.host.join(rest)
        })
    });
    let folder = options.rootfs.as_ref().filter(|root| root.is_dir());
    added.or_else(|| Some(folder?.join(path.strip_prefix("/").ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_recognised() {
        let head = "libos: process 12 (/bin/a b) ended by SIGSEGV: address 0x0";
        assert_eq!(program_of(head), Some((12, "/bin/a b".into())));
        assert_eq!(program_of("libos: process x"), None);
        assert!(is_head(Some(head), "") && is_head(Some("libos: panicked at src/a.rs:1:2:"), ""));
        assert!(is_head(None, "kernel: fault 14 that") && !is_head(None, "init: x"));
        assert!(!is_head(Some("kernel: fault 14 that"), "1| kernel: fault 14 that"), "forged");
        assert_eq!(address_in("1| libos:   at 0x401136"), Some(0x40_1136));
        assert_eq!(address_in("2| libos:   called from 0x7f00000000ff"), Some(0x7F00_0000_00FE));
        assert_eq!(address_in("kernel:   at 0x401136"), Some(0x40_1136));
        assert_eq!(address_in("1| libos:   rip 0x401136"), None);
        assert_eq!(address_in("a program's  at 0x40"), None);
    }
}
