//! The files of the repository that are text.

use std::path::Path;

use anyhow::{Context, Result};

use super::lexer::{Parts, parts};

/// Folders that hold no sources.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];
/// What is read.
const TEXT: [&str; 10] = ["rs", "md", "toml", "conf", "ld", "yml", "yaml", "sh", "c", "txt"];

/// A file.
pub(super) struct Source {
    /// Relative to the checkout, with `/`.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
    /// For Rust: code, comments and strings apart.
    pub(super) parts: Option<Parts>,
}

/// All files, sorted by path.
pub(super) struct Sources(pub(super) Vec<Source>);

impl Sources {
    /// Reads the checkout.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|a: &Source, b: &Source| a.path.cmp(&b.path));
        Ok(Self(files))
    }

    /// The Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&Source, &Parts)> {
        self.0.iter().filter_map(|source| Some((source, source.parts.as_ref()?)))
    }
}

fn walk(folder: &Path, name: &str, files: &mut Vec<Source>) -> Result<()> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let Ok(last) = entry.file_name().into_string() else { continue };
        let path = if name.is_empty() { last.clone() } else { format!("{name}/{last}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.contains(&last.as_str()) {
            walk(&entry.path(), &path, files)?;
        } else if kind.is_file() && is_text(&path) {
            // A file may go while others work here.
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            let parts = path.ends_with(".rs").then(|| parts(&text));
            files.push(Source { path, text, parts });
        }
    }
    Ok(())
}

fn is_text(path: &str) -> bool {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
    extension.is_some_and(|(_, extension)| TEXT.contains(&extension)) || path.starts_with(".ci/")
}
