//! User and group ids of a process. Pure.
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Real, effective, saved and file system ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Saved user.
    pub suid: u32,
    /// User for file access.
    pub fsuid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Saved group.
    pub sgid: u32,
    /// Group for file access.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: Arc<Vec<u32>>,
}

/// "Leave this one" in `setreuid` and `setresuid`.
pub const UNCHANGED: u32 = u32::MAX;

impl Credentials {
    /// Whether the effective user is the superuser.
    #[must_use]
    pub const fn is_privileged(&self) -> bool {
        self.euid == 0
    }

    /// What file access is checked with.
    #[must_use]
    pub fn for_files(&self) -> serix_chroma::Credentials {
        serix_chroma::Credentials {
            uid: self.fsuid,
            gid: self.fsgid,
            groups: self.groups.clone(),
            privileged: self.fsuid == 0,
        }
    }

    /// `setuid`
    ///
    /// # Errors
    /// `EPERM`.
    pub fn set_uid(&mut self, uid: u32) -> Result<()> {
        if self.is_privileged() {
            (self.uid, self.suid) = (uid, uid);
        } else if uid != self.uid && uid != self.suid {
            return Err(Errno::EPERM);
        }
        (self.euid, self.fsuid) = (uid, uid);
        Ok(())
    }

    /// `setgid`
    ///
    /// # Errors
    /// `EPERM`.
    pub fn set_gid(&mut self, gid: u32) -> Result<()> {
        if self.is_privileged() {
            (self.gid, self.sgid) = (gid, gid);
        } else if gid != self.gid && gid != self.sgid {
            return Err(Errno::EPERM);
        }
        (self.egid, self.fsgid) = (gid, gid);
        Ok(())
    }

    /// `setresuid`
    ///
    /// # Errors
    /// `EPERM`.
    pub fn set_user_ids(&mut self, real: u32, effective: u32, saved: u32) -> Result<()> {
        let now = [self.uid, self.euid, self.suid];
        self.check_ids(&[real, effective, saved], &now)?;
        replace(&mut self.uid, real);
        replace(&mut self.euid, effective);
        replace(&mut self.suid, saved);
        self.fsuid = self.euid;
        Ok(())
    }

    /// `setresgid`
    ///
    /// # Errors
    /// `EPERM`.
    pub fn set_group_ids(&mut self, real: u32, effective: u32, saved: u32) -> Result<()> {
        let now = [self.gid, self.egid, self.sgid];
        self.check_ids(&[real, effective, saved], &now)?;
        replace(&mut self.gid, real);
        replace(&mut self.egid, effective);
        replace(&mut self.sgid, saved);
        self.fsgid = self.egid;
        Ok(())
    }

    fn check_ids(&self, wanted: &[u32], now: &[u32]) -> Result<()> {
        let allowed = |id: &u32| *id == UNCHANGED || now.contains(id);
        if self.is_privileged() || wanted.iter().all(allowed) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Takes over the ids that a set-user-id or set-group-id program gives.
    pub fn execute(&mut self, user: Option<u32>, group: Option<u32>) {
        self.euid = user.unwrap_or(self.euid);
        self.egid = group.unwrap_or(self.egid);
        (self.suid, self.fsuid) = (self.euid, self.euid);
        (self.sgid, self.fsgid) = (self.egid, self.egid);
    }
}

fn replace(id: &mut u32, wanted: u32) {
    if wanted != UNCHANGED {
        *id = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superuser_becomes_anyone_and_cannot_return() {
        let mut credentials = Credentials::default();
        credentials.set_uid(1000).unwrap();
        assert_eq!((credentials.uid, credentials.euid, credentials.suid), (1000, 1000, 1000));
        assert_eq!(credentials.set_uid(0), Err(Errno::EPERM));
        assert!(!credentials.for_files().privileged);
    }

    #[test]
    fn effective_id_moves_between_real_and_saved() {
        let mut credentials = Credentials { uid: 5, ..Credentials::default() };
        credentials.set_user_ids(UNCHANGED, 5, UNCHANGED).unwrap();
        assert_eq!((credentials.euid, credentials.fsuid, credentials.suid), (5, 5, 0));
        credentials.set_user_ids(UNCHANGED, 0, UNCHANGED).unwrap();
        assert!(credentials.is_privileged());
        credentials.set_user_ids(7, 7, 7).unwrap();
        assert_eq!(credentials.set_user_ids(UNCHANGED, 5, UNCHANGED), Err(Errno::EPERM));
    }
}
