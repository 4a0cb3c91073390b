//! `limine.conf`: the part of its syntax that this loader obeys.
//!
//! Lines are `key: value`; `#` starts a comment line; `/Name` starts an entry (more slashes: a
//! sub-entry; `+` after them is an expanded menu). The entry booted is the first one with
//! `protocol: limine`, or the one that `default_entry` numbers. Keys which only matter to a menu or
//! to other protocols are skipped, as Limine skips unknown keys.
//!
//! Boot modules of a multiboot loader stand for files; [`split_module_string`] says which.
//!
//! Invariant: a parsed [`Entry`] names a kernel, and its paths are on the boot volume.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::Error;

/// A module line pair of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path on the boot volume, absolute, as in `/serix/init`.
    pub path: String,
    /// `module_string` (or its older name `module_cmdline`), empty when not given.
    pub string: String,
}

/// What one boot entry loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kernel's path on the boot volume.
    pub kernel: String,
    /// `cmdline` (or `kernel_cmdline`), empty when not given.
    pub command_line: String,
    /// Modules in the order of the file.
    pub modules: Vec<Module>,
}

#[derive(Default)]
struct Draft {
    protocol: Option<String>,
    kernel: Option<String>,
    command_line: String,
    modules: Vec<Module>,
}

/// Parses the text of `limine.conf` and gives the entry to boot.
///
/// # Errors
/// [`Error::Config`] with the line number when the text is not UTF-8, a line is neither comment,
/// entry nor assignment, a path is not on the boot volume, or no entry can be booted.
pub fn parse(text: &[u8]) -> Result<Entry, Error> {
    let text = core::str::from_utf8(text).map_err(|e| {
        let line = text[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::Config(line, "not UTF-8")
    })?;
    let mut default_entry = None;
    let mut drafts: Vec<Draft> = Vec::new();
    let mut macros: Vec<(String, String)> = Vec::new();
    let mut last_line = 1;
    for (index, raw) in text.lines().enumerate() {
        last_line = index + 1;
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('/') {
            drafts.push(Draft::default());
            continue;
        }
        if let Some((name, value)) = macro_definition(line) {
            macros.push((name.to_string(), value.to_string()));
            continue;
        }
        let line = expand(line, &macros);
        let (key, value) =
            line.split_once(':').ok_or(Error::Config(last_line, "expected `key: value`"))?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match drafts.last_mut() {
            None if key == "default_entry" => default_entry = Some(number(value, last_line)?),
            None => {}
            Some(draft) => draft.assign(&key, value, last_line)?,
        }
    }
    choose(drafts, default_entry, last_line)
}

fn number(value: &str, line: usize) -> Result<usize, Error> {
    match value.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(Error::Config(line, "default_entry counts from 1")),
    }
}

fn macro_definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("${")?.split_once("}=")?;
    Some((name, value.trim()))
}

/// Replaces `${NAME}`; an unknown name stays as it is.
fn expand(line: &str, macros: &[(String, String)]) -> String {
    let mut line = line.replace("${ARCH}", "x86-64");
    for (name, value) in macros {
        line = line.replace(&alloc::format!("${{{name}}}"), value);
    }
    line
}

fn choose(drafts: Vec<Draft>, default: Option<usize>, line: usize) -> Result<Entry, Error> {
    let draft = match default {
        Some(number) => drafts.into_iter().nth(number - 1),
        None => drafts.into_iter().find(|d| d.protocol.as_deref() == Some("limine")),
    };
    let draft = draft.ok_or(Error::Config(line, "no entry with `protocol: limine`"))?;
    if draft.protocol.as_deref() != Some("limine") {
        return Err(Error::Config(line, "the default entry is not `protocol: limine`"));
    }
    let kernel = draft.kernel.ok_or(Error::Config(line, "the entry has no `path:`"))?;
    Ok(Entry { kernel, command_line: draft.command_line, modules: draft.modules })
}

impl Draft {
    fn assign(&mut self, key: &str, value: &str, line: usize) -> Result<(), Error> {
        match key {
            "protocol" => self.protocol = Some(value.to_ascii_lowercase()),
            "path" | "kernel_path" => self.kernel = Some(boot_path(value, line)?),
            "cmdline" | "kernel_cmdline" => self.command_line = value.to_string(),
            "module_path" => {
                let path = boot_path(value, line)?;
                self.modules.push(Module { path, string: String::new() });
            }
            "module_string" | "module_cmdline" => {
                let module = self.modules.last_mut();
                let module = module.ok_or(Error::Config(line, "no module_path before it"))?;
                module.string = value.to_string();
            }
            _ => {}
        }
        Ok(())
    }
}

/// `boot():/path` to `/path`. A hash after `#` is cut off and not checked.
fn boot_path(value: &str, line: usize) -> Result<String, Error> {
    let path =
        value.strip_prefix("boot():").ok_or(Error::Config(line, "expected `boot():/...`"))?;
    let path = path.split('#').next().unwrap_or_default();
    if path.trim_matches('/').is_empty() {
        return Err(Error::Config(line, "expected a path after `boot():`"));
    }
    let mut absolute = String::from("/");
    absolute.push_str(path.trim_start_matches('/'));
    Ok(absolute)
}

/// The last component of a path.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Splits a boot module's string, "FILE NAME rest", as QEMU's `-initrd` gives it: its name (NAME,
/// or FILE's last component) and the rest.
#[must_use]
pub fn split_module_string(text: &str) -> (String, String) {
    let text = text.trim();
    let (file, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    let name = if name.is_empty() { file } else { name };
    (String::from(base_name(name)), String::from(rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "timeout: 0\n# comment\n\n/Linux\n  protocol: linux\n  path: boot():/vmlinuz\n\
        /Serix\n    protocol: limine\n    path: boot():/serix/kernel.elf\n    cmdline: a=b c:d\n\
        \n    module_path: boot():/serix/init\n    MODULE_PATH: boot():/serix/manifest\n    \
        module_string: one two\n    resolution: 800x600\n";

    #[test]
    fn first_limine_entry_is_taken() {
        let entry = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(entry.kernel, "/serix/kernel.elf");
        assert_eq!(entry.command_line, "a=b c:d");
        let modules: Vec<_> =
            entry.modules.iter().map(|m| (m.path.as_str(), m.string.as_str())).collect();
        assert_eq!(modules, [("/serix/init", ""), ("/serix/manifest", "one two")]);
    }

    #[test]
    fn default_entry_counts_from_one() {
        let text = "default_entry: 2\n/A\nprotocol: limine\npath: boot():/a\n/B\nprotocol: limine\n\
            path: boot():/b\n";
        assert_eq!(parse(text.as_bytes()).unwrap().kernel, "/b");
        let text = text.replace("entry: 2", "entry: 0");
        assert_eq!(parse(text.as_bytes()), Err(Error::Config(1, "default_entry counts from 1")));
    }

    #[test]
    fn macros_are_replaced() {
        let text = "${DIR}=serix\n/A\nprotocol: limine\npath: boot():/${DIR}/${ARCH}/k\n";
        assert_eq!(parse(text.as_bytes()).unwrap().kernel, "/serix/x86-64/k");
    }

    #[test]
    fn errors_name_the_line() {
        let at = |text: &str| match parse(text.as_bytes()) {
            Err(Error::Config(line, _)) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(at("timeout: 0\nnonsense\n"), 2);
        assert_eq!(at("/A\nprotocol: limine\npath: hdd(1:1):/k\n"), 3);
        assert_eq!(at("/A\nprotocol: limine\npath: boot():/\n"), 3);
        assert_eq!(at("/A\nmodule_string: x\n"), 2);
        assert_eq!(at("/A\nprotocol: limine\n"), 2);
        assert_eq!(at("/A\nprotocol: linux\n"), 2);
        assert_eq!(at(""), 1);
        assert!(matches!(parse(b"timeout: 0\n\xff"), Err(Error::Config(2, "not UTF-8"))));
    }

    #[test]
    fn hash_after_a_path_is_cut() {
        let text = "/A\nprotocol: limine\npath: boot():/k#0123\n";
        assert_eq!(parse(text.as_bytes()).unwrap().kernel, "/k");
    }

    #[test]
    fn base_names() {
        assert_eq!(base_name("/serix/init"), "init");
        assert_eq!(base_name("init"), "init");
    }

    #[test]
    fn module_strings() {
        let split = |text| split_module_string(text);
        let pair = |a: &str, b: &str| (String::from(a), String::from(b));
        assert_eq!(split("/a/b/serix-kernel"), pair("serix-kernel", ""));
        assert_eq!(split("/a/serix-kernel kernel.elf"), pair("kernel.elf", ""));
        assert_eq!(split("/a/x /serix/init one  two "), pair("init", "one  two"));
        assert_eq!(split(""), pair("", ""));
    }
}
