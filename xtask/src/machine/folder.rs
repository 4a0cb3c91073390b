//! A folder for each run, unique and gone at its end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::build::Lock;
use crate::places::Places;

/// The folder of a run. It is removed when this is dropped; what a killed run left, the next removes.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    _lock: Lock,
}

impl RunFolder {
    /// Makes one that no other run has.
    pub(crate) fn create(places: &Places) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let all = places.serix_folder("runs")?;
        // No folder comes or goes between the look at it and the lock in it.
        let _turn = Lock::wait(&all.join("lock"))?;
        remove_stale(&all);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = all.join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let lock = Lock::wait(&path.join("lock"))?;
        Ok(Self { path, _lock: lock })
    }

    /// The path of `name` in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What stays is removed by a later run.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders whose runs are gone: their locks are free.
fn remove_stale(all: &Path) {
    let Ok(entries) = all.read_dir() else { return };
    for folder in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        if let Ok(Some(_lock)) = Lock::take(&folder.join("lock")) {
            // Another user's folder cannot be removed, and need not be.
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_folders_go_and_live_ones_stay() {
        let target = std::env::temp_dir().join(format!("serix-runs-{}", std::process::id()));
        let places = Places { source: target.clone(), target: target.clone() };
        let live = RunFolder::create(&places).unwrap();
        let stale = target.join("serix/runs/1-1");
        std::fs::create_dir(&stale).unwrap();
        let other = RunFolder::create(&places).unwrap();
        assert!(!stale.exists() && live.path().exists() && other.path() != live.path());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
        std::fs::remove_dir_all(&target).unwrap();
    }
}
