//! Which handler a number has: the one table, with the names of calls and arguments for traces.
use super::{invoke, memory, misc, process, resources, sched, signal, time, user};
use crate::file::calls as file;
use crate::raw::entry::{Entry, TrapFrame, sigreturn_entry};
use crate::whole_frame_entry;
use linux_raw_sys::general::*;

/// Numbers that the table covers.
pub const TABLE_SIZE: usize = 512;

/// Name and argument names of a call.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// As in the manual.
    pub name: &'static str,
    /// In register order.
    pub arguments: &'static [&'static str],
    /// Whether the handler takes the whole trap frame and so cannot be called with registers.
    pub whole_frame: bool,
}

macro_rules! calls {
    (
        plain { $( $number:ident $name:ident ( $($argument:ident),* ) = $handler:path; )* }
        whole_frame { $( $frame_number:ident $frame_name:ident ( $($frame_argument:ident),* ) = $frame_handler:path; )* }
        new_frame { $( $new_number:ident $new_name:ident = $new_entry:path, $new_handler:path; )* }
    ) => {
        static TABLE: [Entry; TABLE_SIZE] = {
            let mut table = [Entry::unknown(); TABLE_SIZE];
            $(
                table[$number as usize] = {
                    extern "sysv64" fn entry(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> i64 {
                        invoke($handler, [a, b, c, d, e, f])
                    }
                    Entry::plain(entry)
                };
            )*
            $(
                table[$frame_number as usize] = {
                    whole_frame_entry!(entry, $frame_handler);
                    Entry::whole_frame(entry)
                };
            )*
            $( table[$new_number as usize] = Entry::whole_frame($new_entry); )*
            table
        };

        /// While calls are traced: those with the whole frame.
        static TRACED_FRAMES: [Option<Entry>; TABLE_SIZE] = {
            let mut table = [None; TABLE_SIZE];
            $(
                table[$frame_number as usize] = {
                    extern "sysv64" fn traced(frame: &mut TrapFrame) {
                        super::trace::frame_call($frame_number as u64, frame, $frame_handler);
                    }
                    whole_frame_entry!(entry, traced);
                    Some(Entry::whole_frame(entry))
                };
            )*
            $(
                table[$new_number as usize] = {
                    extern "sysv64" fn traced(frame: &mut TrapFrame) {
                        super::trace::frame_call($new_number as u64, frame, $new_handler);
                    }
                    whole_frame_entry!(entry, traced);
                    Some(Entry::whole_frame(entry))
                };
            )*
            table
        };

        static DESCRIPTIONS: [Option<Description>; TABLE_SIZE] = {
            let mut table = [None; TABLE_SIZE];
            $(
                table[$number as usize] = Some(Description {
                    name: stringify!($name), arguments: &[$(stringify!($argument)),*], whole_frame: false });
            )*
            $(
                table[$frame_number as usize] = Some(Description {
                    name: stringify!($frame_name), arguments: &[$(stringify!($frame_argument)),*], whole_frame: true });
            )*
            $(
                table[$new_number as usize] =
                    Some(Description { name: stringify!($new_name), arguments: &[], whole_frame: true });
            )*
            table
        };
    };
}

calls! {
    plain {
        // Files, paths, descriptors.
        __NR_read read(descriptor, buffer, length) = file::read;
        __NR_write write(descriptor, buffer, length) = file::write;
        __NR_readv readv(descriptor, vector, count) = file::readv;
        __NR_writev writev(descriptor, vector, count) = file::writev;
        __NR_pread64 pread64(descriptor, buffer, length, offset) = file::pread64;
        __NR_pwrite64 pwrite64(descriptor, buffer, length, offset) = file::pwrite64;
        __NR_preadv preadv(descriptor, vector, count, offset) = file::preadv;
        __NR_pwritev pwritev(descriptor, vector, count, offset) = file::pwritev;
        __NR_preadv2 preadv2(descriptor, vector, count, offset, high, flags) = file::preadv2;
        __NR_pwritev2 pwritev2(descriptor, vector, count, offset, high, flags) = file::pwritev2;
        __NR_lseek lseek(descriptor, offset, whence) = file::lseek;
        __NR_open open(path, flags, mode) = file::open;
        __NR_openat openat(directory, path, flags, mode) = file::openat;
        __NR_openat2 openat2(directory, path, how, size) = file::openat2;
        __NR_creat creat(path, mode) = file::creat;
        __NR_close close(descriptor) = file::close;
        __NR_close_range close_range(first, last, flags) = file::close_range;
        __NR_dup dup(descriptor) = file::dup;
        __NR_dup2 dup2(from, to) = file::dup2;
        __NR_dup3 dup3(from, to, flags) = file::dup3;
        __NR_fcntl fcntl(descriptor, command, argument) = file::fcntl;
        __NR_ioctl ioctl(descriptor, request, argument) = file::ioctl;
        __NR_flock flock(descriptor, operation) = file::flock;
        __NR_fsync fsync(descriptor) = file::fsync;
        __NR_fdatasync fdatasync(descriptor) = file::fdatasync;
        __NR_sync sync() = file::sync;
        __NR_syncfs syncfs(descriptor) = file::syncfs;
        __NR_sync_file_range sync_file_range(descriptor, offset, length, flags) = file::sync_file_range;
        __NR_sendfile sendfile(to, from, offset, count) = file::sendfile;
        __NR_copy_file_range copy_file_range(from, from_offset, to, to_offset, length, flags) = file::copy_file_range;
        __NR_splice splice(from, from_offset, to, to_offset, length, flags) = file::splice;
        __NR_ftruncate ftruncate(descriptor, size) = file::ftruncate;
        __NR_truncate truncate(path, size) = file::truncate;
        __NR_fallocate fallocate(descriptor, mode, offset, length) = file::fallocate;
        __NR_readahead readahead(descriptor, offset, length) = file::readahead;
        __NR_fadvise64 fadvise64(descriptor, offset, length, advice) = file::fadvise64;
        __NR_stat stat(path, status) = file::stat;
        __NR_lstat lstat(path, status) = file::lstat;
        __NR_fstat fstat(descriptor, status) = file::fstat;
        __NR_newfstatat newfstatat(directory, path, status, flags) = file::newfstatat;
        __NR_statx statx(directory, path, flags, mask, status) = file::statx;
        __NR_statfs statfs(path, status) = file::statfs;
        __NR_fstatfs fstatfs(descriptor, status) = file::fstatfs;
        __NR_getdents64 getdents64(descriptor, buffer, length) = file::getdents64;
        __NR_access access(path, mode) = file::access;
        __NR_faccessat faccessat(directory, path, mode) = file::faccessat;
        __NR_faccessat2 faccessat2(directory, path, mode, flags) = file::faccessat2;
        __NR_chmod chmod(path, mode) = file::chmod;
        __NR_fchmod fchmod(descriptor, mode) = file::fchmod;
        __NR_fchmodat fchmodat(directory, path, mode) = file::fchmodat;
        __NR_fchmodat2 fchmodat2(directory, path, mode, flags) = file::fchmodat2;
        __NR_chown chown(path, uid, gid) = file::chown;
        __NR_lchown lchown(path, uid, gid) = file::lchown;
        __NR_fchown fchown(descriptor, uid, gid) = file::fchown;
        __NR_fchownat fchownat(directory, path, uid, gid, flags) = file::fchownat;
        __NR_utime utime(path, times) = file::utime;
        __NR_utimes utimes(path, times) = file::utimes;
        __NR_futimesat futimesat(directory, path, times) = file::futimesat;
        __NR_utimensat utimensat(directory, path, times, flags) = file::utimensat;
        __NR_mkdir mkdir(path, mode) = file::mkdir;
        __NR_mkdirat mkdirat(directory, path, mode) = file::mkdirat;
        __NR_mknod mknod(path, mode, device) = file::mknod;
        __NR_mknodat mknodat(directory, path, mode, device) = file::mknodat;
        __NR_rmdir rmdir(path) = file::rmdir;
        __NR_unlink unlink(path) = file::unlink;
        __NR_unlinkat unlinkat(directory, path, flags) = file::unlinkat;
        __NR_link link(from, to) = file::link;
        __NR_linkat linkat(from_directory, from, to_directory, to, flags) = file::linkat;
        __NR_symlink symlink(target, path) = file::symlink;
        __NR_symlinkat symlinkat(target, directory, path) = file::symlinkat;
        __NR_readlink readlink(path, buffer, length) = file::readlink;
        __NR_readlinkat readlinkat(directory, path, buffer, length) = file::readlinkat;
        __NR_rename rename(from, to) = file::rename;
        __NR_renameat renameat(from_directory, from, to_directory, to) = file::renameat;
        __NR_renameat2 renameat2(from_directory, from, to_directory, to, flags) = file::renameat2;
        __NR_umask umask(mask) = file::umask;
        __NR_getcwd getcwd(buffer, length) = file::getcwd;
        __NR_chdir chdir(path) = file::chdir;
        __NR_fchdir fchdir(descriptor) = file::fchdir;
        __NR_chroot chroot(path) = file::chroot;
        __NR_mount mount(source, target, kind, flags, data) = file::mount;
        __NR_umount2 umount2(target, flags) = file::umount2;
        __NR_pipe pipe(descriptors) = file::pipe;
        __NR_pipe2 pipe2(descriptors, flags) = file::pipe2;
        __NR_eventfd eventfd(initial) = file::eventfd;
        __NR_eventfd2 eventfd2(initial, flags) = file::eventfd2;
        __NR_memfd_create memfd_create(name, flags) = file::memfd_create;
        __NR_poll poll(descriptors, count, timeout) = file::poll;
        __NR_ppoll ppoll(descriptors, count, timeout, mask, mask_size) = file::ppoll;
        __NR_select select(count, read, write, except, timeout) = file::select;
        __NR_pselect6 pselect6(count, read, write, except, timeout, mask) = file::pselect6;
        __NR_epoll_create epoll_create(size) = file::epoll_create;
        __NR_epoll_create1 epoll_create1(flags) = file::epoll_create1;
        __NR_epoll_ctl epoll_ctl(epoll, operation, descriptor, event) = file::epoll_ctl;
        __NR_epoll_wait epoll_wait(epoll, events, count, timeout) = file::epoll_wait;
        __NR_epoll_pwait epoll_pwait(epoll, events, count, timeout, mask, mask_size) = file::epoll_pwait;
        __NR_epoll_pwait2 epoll_pwait2(epoll, events, count, timeout, mask, mask_size) = file::epoll_pwait2;
        __NR_setxattr setxattr(path, name, value, size, flags) = file::setxattr;
        __NR_lsetxattr lsetxattr(path, name, value, size, flags) = file::lsetxattr;
        __NR_fsetxattr fsetxattr(descriptor, name, value, size, flags) = file::fsetxattr;
        __NR_getxattr getxattr(path, name, value, size) = file::getxattr;
        __NR_lgetxattr lgetxattr(path, name, value, size) = file::lgetxattr;
        __NR_fgetxattr fgetxattr(descriptor, name, value, size) = file::fgetxattr;
        __NR_listxattr listxattr(path, list, size) = file::listxattr;
        __NR_llistxattr llistxattr(path, list, size) = file::llistxattr;
        __NR_flistxattr flistxattr(descriptor, list, size) = file::flistxattr;
        __NR_removexattr removexattr(path, name) = file::removexattr;
        __NR_lremovexattr lremovexattr(path, name) = file::lremovexattr;
        __NR_fremovexattr fremovexattr(descriptor, name) = file::fremovexattr;

        // Memory.
        __NR_mmap mmap(address, length, protection, flags, descriptor, offset) = memory::mmap;
        __NR_munmap munmap(address, length) = memory::munmap;
        __NR_mprotect mprotect(address, length, protection) = memory::mprotect;
        __NR_brk brk(address) = memory::brk;
        __NR_mremap mremap(address, old_length, new_length, flags, new_address) = memory::mremap;
        __NR_madvise madvise(address, length, advice) = memory::madvise;
        __NR_msync msync(address, length, flags) = memory::msync;
        __NR_mincore mincore(address, length, vector) = memory::mincore;
        __NR_mlock mlock(address, length) = memory::lock;
        __NR_mlock2 mlock2(address, length, flags) = memory::lock_with_flags;
        __NR_munlock munlock(address, length) = memory::lock;
        __NR_mlockall mlockall(flags) = memory::lock_all;
        __NR_munlockall munlockall() = memory::unlock_all;

        // Processes and threads.
        __NR_getpid getpid() = process::getpid;
        __NR_getppid getppid() = process::getppid;
        __NR_gettid gettid() = process::gettid;
        __NR_exit exit(status) = process::exit;
        __NR_exit_group exit_group(status) = process::exit_group;
        __NR_wait4 wait4(pid, status, options, usage) = process::wait4;
        __NR_waitid waitid(kind, id, info, options, usage) = process::waitid;
        __NR_setpgid setpgid(pid, group) = process::setpgid;
        __NR_getpgid getpgid(pid) = process::getpgid;
        __NR_getpgrp getpgrp() = process::getpgrp;
        __NR_setsid setsid() = process::setsid;
        __NR_getsid getsid(pid) = process::getsid;
        __NR_prctl prctl(option, a, b, c, d) = process::prctl;
        __NR_arch_prctl arch_prctl(code, address) = process::arch_prctl;
        __NR_set_tid_address set_tid_address(address) = process::set_tid_address;
        __NR_set_robust_list set_robust_list(head, length) = process::set_robust_list;
        __NR_personality personality(persona) = process::personality;

        // Users and groups.
        __NR_getuid getuid() = user::getuid;
        __NR_geteuid geteuid() = user::geteuid;
        __NR_getgid getgid() = user::getgid;
        __NR_getegid getegid() = user::getegid;
        __NR_setuid setuid(uid) = user::setuid;
        __NR_setgid setgid(gid) = user::setgid;
        __NR_setreuid setreuid(real, effective) = user::setreuid;
        __NR_setregid setregid(real, effective) = user::setregid;
        __NR_setresuid setresuid(real, effective, saved) = user::setresuid;
        __NR_setresgid setresgid(real, effective, saved) = user::setresgid;
        __NR_getresuid getresuid(real, effective, saved) = user::getresuid;
        __NR_getresgid getresgid(real, effective, saved) = user::getresgid;
        __NR_setfsuid setfsuid(uid) = user::setfsuid;
        __NR_setfsgid setfsgid(gid) = user::setfsgid;
        __NR_getgroups getgroups(count, list) = user::getgroups;
        __NR_setgroups setgroups(count, list) = user::setgroups;
        __NR_capget capget(header, data) = user::capget;
        __NR_capset capset(header, data) = user::capset;

        // Resources.
        __NR_getrlimit getrlimit(resource, limit) = resources::getrlimit;
        __NR_setrlimit setrlimit(resource, limit) = resources::setrlimit;
        __NR_prlimit64 prlimit64(pid, resource, new, old) = resources::prlimit64;
        __NR_getrusage getrusage(who, usage) = resources::getrusage;
        __NR_times times(buffer) = resources::times;
        __NR_sysinfo sysinfo(info) = resources::sysinfo;
        __NR_getpriority getpriority(which, who) = resources::getpriority;
        __NR_setpriority setpriority(which, who, nice) = resources::setpriority;

        // Signals.
        __NR_rt_sigaction rt_sigaction(signal, action, old, size) = signal::rt_sigaction;
        __NR_rt_sigprocmask rt_sigprocmask(how, set, old, size) = signal::rt_sigprocmask;
        __NR_rt_sigpending rt_sigpending(set, size) = signal::rt_sigpending;
        __NR_rt_sigsuspend rt_sigsuspend(mask, size) = signal::rt_sigsuspend;
        __NR_rt_sigtimedwait rt_sigtimedwait(set, info, timeout, size) = signal::rt_sigtimedwait;
        __NR_rt_sigqueueinfo rt_sigqueueinfo(pid, signal, info) = signal::rt_sigqueueinfo;
        __NR_rt_tgsigqueueinfo rt_tgsigqueueinfo(pid, tid, signal, info) = signal::rt_tgsigqueueinfo;
        __NR_sigaltstack sigaltstack(new, old) = signal::sigaltstack;
        __NR_kill kill(pid, signal) = signal::kill;
        __NR_tkill tkill(tid, signal) = signal::tkill;
        __NR_tgkill tgkill(pid, tid, signal) = signal::tgkill;
        __NR_pause pause() = signal::pause;

        // Time.
        __NR_nanosleep nanosleep(wanted, rest) = time::nanosleep;
        __NR_clock_nanosleep clock_nanosleep(clock, flags, wanted, rest) = time::clock_nanosleep;
        __NR_clock_gettime clock_gettime(clock, time) = time::clock_gettime;
        __NR_clock_getres clock_getres(clock, resolution) = time::clock_getres;
        __NR_clock_settime clock_settime(clock, time) = time::clock_settime;
        __NR_gettimeofday gettimeofday(time, zone) = time::gettimeofday;
        __NR_settimeofday settimeofday(time, zone) = time::settimeofday;
        __NR_time time(address) = time::time;
        __NR_alarm alarm(seconds) = time::alarm;
        __NR_setitimer setitimer(which, new, old) = time::setitimer;
        __NR_getitimer getitimer(which, value) = time::getitimer;

        // Scheduling.
        __NR_sched_yield sched_yield() = sched::sched_yield;
        __NR_sched_getaffinity sched_getaffinity(pid, size, mask) = sched::sched_getaffinity;
        __NR_sched_setaffinity sched_setaffinity(pid, size, mask) = sched::sched_setaffinity;
        __NR_sched_getparam sched_getparam(pid, parameters) = sched::sched_getparam;
        __NR_sched_setparam sched_setparam(pid, parameters) = sched::sched_setparam;
        __NR_sched_getscheduler sched_getscheduler(pid) = sched::sched_getscheduler;
        __NR_sched_setscheduler sched_setscheduler(pid, policy, parameters) = sched::sched_setscheduler;
        __NR_sched_get_priority_max sched_get_priority_max(policy) = sched::sched_get_priority_max;
        __NR_sched_get_priority_min sched_get_priority_min(policy) = sched::sched_get_priority_min;
        __NR_getcpu getcpu(cpu, node, cache) = sched::getcpu;
        __NR_futex futex(address, operation, value, timeout, address2, value3) = sched::futex;

        // The rest.
        __NR_uname uname(name) = misc::uname;
        __NR_getrandom getrandom(buffer, length, flags) = misc::getrandom;
        __NR_rseq rseq(area, length, flags, signature) = misc::rseq;
        __NR_membarrier membarrier(command, flags) = misc::membarrier;
        __NR_syslog syslog(kind, buffer, length) = misc::syslog;
        __NR_sethostname sethostname(name, length) = misc::sethostname;
    }
    whole_frame {
        __NR_fork fork() = process::fork;
        __NR_vfork vfork() = process::vfork;
        __NR_clone clone(flags, stack, parent_tid, child_tid, tls) = process::clone;
        __NR_clone3 clone3(arguments, size) = process::clone3;
        __NR_execve execve(path, arguments, environment) = process::execve;
        __NR_execveat execveat(directory, path, arguments, environment, flags) = process::execveat;
    }
    new_frame {
        __NR_rt_sigreturn rt_sigreturn = sigreturn_entry, signal::rt_sigreturn;
    }
}

/// While calls are traced: every slot leads to the trace.
static TRACED: [Entry; TABLE_SIZE] = {
    let mut table = [Entry::unknown(); TABLE_SIZE];
    let mut number = 0;
    while number < TABLE_SIZE {
        if let Some(entry) = TRACED_FRAMES[number] {
            table[number] = entry;
        }
        number += 1;
    }
    table
};

/// Address of the table, for dispatcher pages.
pub(super) fn address() -> u64 {
    let table = if super::trace::is_on() { &TRACED } else { &TABLE };
    table.as_ptr() as u64
}

/// The plain handler of a number.
pub(super) fn handler(number: u64) -> Option<Entry> {
    let description = description(number)?;
    (!description.whole_frame).then(|| TABLE[number as usize])
}

/// Name and arguments of a number with a handler.
#[must_use]
pub fn description(number: u64) -> Option<&'static Description> {
    DESCRIPTIONS.get(usize::try_from(number).ok()?)?.as_ref()
}
