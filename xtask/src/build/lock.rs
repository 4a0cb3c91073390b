//! Lock files: one process at a time at what the file stands for.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;

/// Held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock at `path`.
    pub(crate) fn wait(path: &Path) -> Result<Self> {
        let file = open(path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock at `path` unless another process has it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>> {
        Self::attempt(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Like [`Lock::take`], together with others who share it.
    pub(crate) fn share(path: &Path) -> Result<Option<Self>> {
        Self::attempt(path, FlockOperation::NonBlockingLockShared)
    }

    fn attempt(path: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        let file = open(path)?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let options = File::options().read(true).append(true).create(true).open(path);
    options.with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_shared_often() {
        let path = std::env::temp_dir().join(format!("serix-lock-{}", std::process::id()));
        let shared = [Lock::share(&path).unwrap().unwrap(), Lock::share(&path).unwrap().unwrap()];
        assert!(Lock::take(&path).unwrap().is_none());
        drop(shared);
        let taken = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::share(&path).unwrap().is_none());
        drop(taken);
        std::fs::remove_file(&path).unwrap();
    }
}
