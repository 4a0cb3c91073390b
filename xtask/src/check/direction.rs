//! The direction of imports inside the kernel: one table, low to high.
//!
//! All state is one struct with its parts in the modules, and calls are methods of that struct which
//! the modules add. So the modules of the state are outside the table: they name any, and any names
//! them. Between the others the direction holds.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Context;
use super::lexer::Parts;

const ROOT: &str = "exokernel/kernel/src/";
/// A module may use those before it. `main` names them all and is none.
const MODULES: [&str; 10] = [
    "debug",
    "object",
    "capability",
    "memory",
    "cpu",
    "ipc",
    "disk",
    "interrupt",
    "syscall",
    "boot",
];
/// The state.
const STATE: [&str; 2] = ["kernel", "domain"];

/// Complains about each import from a higher module.
pub(super) fn check(context: &Context<'_>) -> Result<Vec<String>> {
    let files = context.sources.rust();
    let files = files.filter_map(|(source, parts)| Some((source.path.strip_prefix(ROOT)?, parts)));
    Ok(complaints(files))
}

fn complaints<'a>(files: impl Iterator<Item = (&'a str, &'a Parts)>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, parts) in files {
        let module = path.split(['/', '.']).next().unwrap_or_default();
        if module == "main" || STATE.contains(&module) {
            continue;
        }
        let Some(height) = MODULES.iter().position(|one| *one == module) else {
            complaints.push(format!("{ROOT}{path}: module `{module}` is not in the table"));
            continue;
        };
        for (used, line) in uses(parts) {
            match MODULES.iter().position(|one| *one == used) {
                Some(other) if other > height => {
                    complaints
                        .push(format!("{ROOT}{path}:{line}: `{module}` uses `{used}` above it"));
                }
                _ => {}
            }
        }
    }
    complaints
}

/// The modules of the crate that a file names, with the first line of each.
fn uses(parts: &Parts) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let mut rest = parts.code.as_str();
    let mut line = 1;
    while let Some(at) = rest.find("crate::") {
        line += rest[..at].matches('\n').count();
        let is_path = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c));
        rest = &rest[at + "crate::".len()..];
        if !is_path {
            continue;
        }
        for name in names(rest) {
            all.entry(name).or_insert(line);
        }
    }
    all
}

/// The first names after `crate::`: one, or those of a list in braces.
fn names(path: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = path.trim_start().strip_prefix('{') else { return vec![identifier(path)] };
    let (mut depth, mut all, mut start) = (0_usize, vec![identifier(list)], 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = at + 1,
            _ => continue,
        }
        if c == ',' && depth == 0 {
            all.push(identifier(&list[start..]));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::lexer::parts;
    use super::*;

    #[test]
    fn imports_from_above_are_found() {
        let low = parts(
            "use crate::{debug, memory::{self, access}};\n// crate::boot\nfn f() {\n    \
             crate::syscall::enter(); $crate::boot!();\n}",
        );
        let high = parts("use crate::memory::access;\nuse crate::kernel::Kernel;");
        let files = [("capability/bind.rs", &low), ("syscall/mod.rs", &high), ("new.rs", &high)];
        let expected = [
            "exokernel/kernel/src/capability/bind.rs:1: `capability` uses `memory` above it",
            "exokernel/kernel/src/capability/bind.rs:4: `capability` uses `syscall` above it",
            "exokernel/kernel/src/new.rs: module `new` is not in the table",
        ];
        assert_eq!(complaints(files.into_iter()), expected);
    }
}
