//! Process groups that nobody outside them could continue.
use super::{Phase, Process, find_group};
use crate::signal::set::{SIGCONT, SIGHUP};
use crate::signal::{SignalInfo, send_to_group};
use alloc::sync::Arc;

/// Whether no member of a group but `ignoring` has a parent in another group of the same session (POSIX).
#[must_use]
pub fn is_orphaned(group: u32, session: u32, ignoring: Option<u32>) -> bool {
    !find_group(group).iter().any(|member| {
        let (parent, is_zombie) = {
            let state = member.state.lock();
            (state.parent.upgrade(), matches!(state.phase, Phase::Zombie(_)))
        };
        let counts = !is_zombie && ignoring != Some(member.pid);
        parent.filter(|_| counts).is_some_and(|parent| {
            let state = parent.state.lock();
            state.session == session && state.group != group
        })
    })
}

fn has_stopped(group: u32) -> bool {
    find_group(group).iter().any(|member| member.state.lock().phase == Phase::Stopped)
}

/// Group and session.
fn place(process: &Process) -> (u32, u32) {
    let state = process.state.lock();
    (state.group, state.session)
}

/// A process that ends was a link between its parent and its group; stopped members of a group that is orphaned
/// by this get SIGHUP and SIGCONT.
pub(super) fn member_ends(process: &Arc<Process>) {
    let parent = process.state.lock().parent.upgrade();
    if let Some(parent) = parent {
        link_ends(process, &parent, Some(process.pid));
    }
}

/// The same for the group of a child whose parent ends. The child has another parent already.
pub(super) fn parent_ends(child: &Arc<Process>, parent: &Process) {
    link_ends(child, parent, None);
}

fn link_ends(member: &Process, parent: &Process, ignoring: Option<u32>) {
    let ((group, session), (parent_group, parent_session)) = (place(member), place(parent));
    let was_link = parent_group != group && parent_session == session;
    if was_link && is_orphaned(group, session, ignoring) && has_stopped(group) {
        for signal in [SIGHUP, SIGCONT] {
            send_to_group(group, SignalInfo::kernel(signal));
        }
    }
}
