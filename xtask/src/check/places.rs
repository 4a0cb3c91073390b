//! What may stand only in certain places: unsafe code, system call instructions, paths of machines;
//! and links of the documentation, which must lead somewhere.

use anyhow::Result;

use super::Context;
use super::sources::{Source, Sources};

/// Where unsafe code may stand, besides modules named `raw` of user-space crates.
const UNSAFE: [&str; 3] = ["exokernel/hal/", "exokernel/boot/", "exokernel/sys/"];
/// Where user space is; a module named `raw` counts there only.
const USER_SPACE: [&str; 4] = ["exokernel/tests/", "libos-native/", "libos-posix/", "user-apps/"];
/// Crates of user space with system call instructions: the stubs, and the programs that attack the
/// kernel with what the stubs do not let through.
const SYSTEM_CALLS: [&str; 2] = ["exokernel/sys/", "exokernel/tests/"];

/// Complains about unsafe code elsewhere.
pub(super) fn unsafe_code(context: &Context<'_>) -> Result<Vec<String>> {
    let files = context.sources.rust().filter(|(source, _)| !may_be_unsafe(&source.path));
    let lines = files.flat_map(|(source, parts)| {
        parts.lines_with("unsafe").into_iter().map(|line| format!("{}:{line}: unsafe", source.path))
    });
    Ok(lines.collect())
}

/// Blocks, functions and implementations that are unsafe, of the whole repository, tests included.
pub(super) fn unsafe_count(sources: &Sources) -> usize {
    let words = |code: &str| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        code.split(|c| !is_part(c)).filter(|word| *word == "unsafe").count()
    };
    sources.rust().map(|(_, parts)| words(&parts.code)).sum()
}

fn may_be_unsafe(path: &str) -> bool {
    let is_raw = path.split('/').any(|part| part == "raw" || part == "raw.rs");
    is_in(path, &UNSAFE) || (is_raw && is_in(path, &USER_SPACE))
}

fn is_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Complains about system call instructions of user space outside `sys`.
pub(super) fn system_calls(context: &Context<'_>) -> Result<Vec<String>> {
    const INSTRUCTIONS: [&str; 3] = ["syscall", "sysenter", "int 0x80"];
    let mut complaints = Vec::new();
    for (source, parts) in context.sources.rust() {
        let is_assembly = ["asm", "global_asm", "naked_asm"];
        let has_assembly = is_assembly.iter().any(|name| !parts.lines_with(name).is_empty());
        if !is_in(&source.path, &USER_SPACE) || !has_assembly || is_in(&source.path, &SYSTEM_CALLS)
        {
            continue;
        }
        for (line, text) in &parts.strings {
            let mut instructions = text.lines().flat_map(|line| line.split(';')).map(str::trim);
            if instructions.any(|one| INSTRUCTIONS.contains(&one)) {
                complaints.push(format!("{}:{line}: a system call instruction", source.path));
            }
        }
    }
    Ok(complaints)
}

/// Complains about absolute paths of the machines that people develop on.
pub(super) fn machine_paths(context: &Context<'_>) -> Result<Vec<String>> {
    // In halves, so that this file does not name them.
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut complaints = Vec::new();
    for source in &context.sources.0 {
        for (index, line) in source.text.lines().enumerate() {
            if homes.iter().any(|home| names_a_home(line, home)) {
                complaints.push(format!("{}:{}: a path of a machine", source.path, index + 1));
            }
        }
    }
    Ok(complaints)
}

/// Whether a folder of some person's follows. The guest's own are `user` and placeholders.
fn names_a_home(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let name: String =
            line[at + home.len()..].chars().take_while(|c| c.is_alphanumeric()).collect();
        !matches!(name.as_str(), "" | "user" | "USER" | "x" | "me" | "you")
    })
}

/// Complains about relative links of Markdown files that lead nowhere.
pub(super) fn documentation_links(context: &Context<'_>) -> Result<Vec<String>> {
    let files = context.sources.0.iter().filter(|source| source.path.ends_with(".md"));
    Ok(files.flat_map(|file| broken_links(file, &context.sources.0)).collect())
}

fn broken_links(file: &Source, all: &[Source]) -> Vec<String> {
    let exists = |path: &str| {
        let path = path.trim_end_matches('/');
        let below = format!("{path}/");
        path.is_empty() || all.iter().any(|one| one.path == path || one.path.starts_with(&below))
    };
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    let paths = relative.map(|target| target.split('#').next().unwrap_or_default());
    let broken = paths.filter(|path| !exists(&resolve(folder, path)) && !is_licence(path));
    broken.map(|path| format!("{}: a link to {path}, which is not there", file.path)).collect()
}

/// Licences have no extension and are not read.
fn is_licence(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("LICENSE-"))
}

fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_has_its_places() {
        for path in ["exokernel/hal/src/x.rs", "libos-posix/src/raw/x.rs", "user-apps/a/src/raw.rs"]
        {
            assert!(may_be_unsafe(path), "{path}");
        }
        for path in ["exokernel/kernel/src/raw.rs", "libos-posix/src/rawer.rs", "xtask/src/raw.rs"]
        {
            assert!(!may_be_unsafe(path), "{path}");
        }
    }

    #[test]
    fn homes_of_people_are_found() {
        let home = ["/home", "/"].concat();
        assert!(names_a_home(&["cd /home", "/anna/src"].concat(), &home));
        assert!(!names_a_home(&["cd /home", "/user/src"].concat(), &home));
        assert!(!names_a_home("/home", &home));
    }

    #[test]
    fn links_are_followed() {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
            parts: None,
        };
        let text =
            "[a](b.md#x) [c](../README.md) [d](https://x/y) [e](gone.md) [f](../docs/) [g](#h)";
        let all = [source("docs/a.md", text), source("docs/b.md", ""), source("README.md", "")];
        assert_eq!(
            broken_links(&all[0], &all),
            ["docs/a.md: a link to gone.md, which is not there"]
        );
    }
}
