//! Names of numbers: flags, choices, errors.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::{general as linux, ioctl, prctl};

/// Names of values, in the order in which they are looked for: what has several bits before what has one of them.
pub(super) type Names = &'static [(u64, &'static str)];

macro_rules! names {
    ($($table:ident from $module:ident: $($name:ident)+;)+) => {
        $( pub(super) static $table: Names = &[$(($module::$name as u64, stringify!($name))),+]; )+
    };
}

names! {
    OPEN from linux: O_TMPFILE O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_DIRECT O_LARGEFILE
        O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH O_DIRECTORY;
    AT from linux: AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH AT_STATX_FORCE_SYNC
        AT_STATX_DONT_SYNC;
    UNLINK from linux: AT_REMOVEDIR;
    ACCESS from linux: R_OK W_OK X_OK;
    FACCESS from linux: AT_EACCESS AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH;
    PROTECTION from linux: PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP;
    MAP from linux: MAP_SHARED_VALIDATE MAP_SHARED MAP_PRIVATE MAP_FIXED_NOREPLACE MAP_FIXED MAP_ANONYMOUS
        MAP_GROWSDOWN MAP_DENYWRITE MAP_LOCKED MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB;
    REMAP from linux: MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP;
    ADVICE from linux: MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE
        MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_WIPEONFORK;
    FADVICE from linux: POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED
        POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE;
    MSYNC from linux: MS_ASYNC MS_INVALIDATE MS_SYNC;
    LOCK_ALL from linux: MCL_CURRENT MCL_FUTURE MCL_ONFAULT;
    MLOCK from linux: MLOCK_ONFAULT;
    CLONE from linux: CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT
        CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED
        CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_IO;
    WAIT from linux: WNOHANG WSTOPPED WEXITED WCONTINUED WNOWAIT __WCLONE __WALL;
    WAIT_KIND from linux: P_ALL P_PID P_PGID P_PIDFD;
    FCNTL from linux: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_OFD_GETLK
        F_OFD_SETLK F_OFD_SETLKW F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS;
    DESCRIPTOR from linux: FD_CLOEXEC;
    LOCK_TYPE from linux: F_RDLCK F_WRLCK F_UNLCK;
    FLOCK from linux: LOCK_SH LOCK_EX LOCK_NB LOCK_UN;
    WHENCE from linux: SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE;
    FALLOCATE from linux: FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_ZERO_RANGE
        FALLOC_FL_INSERT_RANGE FALLOC_FL_UNSHARE_RANGE;
    RENAME from linux: RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT;
    SPLICE from linux: SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT;
    READ_WRITE from linux: RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_NOWAIT RWF_APPEND;
    PIPE from linux: O_NONBLOCK O_CLOEXEC O_DIRECT;
    EVENT from linux: EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK;
    MEMORY_FILE from linux: MFD_CLOEXEC MFD_ALLOW_SEALING;
    XATTR from linux: XATTR_CREATE XATTR_REPLACE;
    MOUNT from linux: MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_SYNCHRONOUS MS_REMOUNT MS_NOATIME MS_BIND MS_MOVE
        MS_REC MS_SILENT MS_PRIVATE MS_SHARED MS_RELATIME;
    UNMOUNT from linux: MNT_FORCE MNT_DETACH MNT_EXPIRE UMOUNT_NOFOLLOW;
    EPOLL from linux: EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD;
    EPOLL_CREATE from linux: EPOLL_CLOEXEC;
    POLL from linux: POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDBAND POLLWRNORM POLLWRBAND
        POLLRDHUP;
    ACTION from linux: SA_RESTORER SA_ONSTACK SA_RESTART SA_NODEFER SA_RESETHAND SA_SIGINFO SA_NOCLDSTOP
        SA_NOCLDWAIT;
    MASK from linux: SIG_BLOCK SIG_UNBLOCK SIG_SETMASK;
    STACK from linux: SS_ONSTACK SS_DISABLE SS_AUTODISARM;
    RANDOM from linux: GRND_NONBLOCK GRND_RANDOM GRND_INSECURE;
    LIMIT from linux: RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC
        RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE
        RLIMIT_RTPRIO RLIMIT_RTTIME;
    USAGE from linux: RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD;
    PRIORITY from linux: PRIO_PROCESS PRIO_PGRP PRIO_USER;
    CLOCK from linux: CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID
        CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME;
    TIMER from linux: TIMER_ABSTIME;
    INTERVAL_TIMER from linux: ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF;
    FUTEX from linux: FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI
        FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET;
    FUTEX_FLAGS from linux: FUTEX_PRIVATE_FLAG FUTEX_CLOCK_REALTIME;
    KIND from linux: S_IFSOCK S_IFLNK S_IFREG S_IFBLK S_IFDIR S_IFCHR S_IFIFO;
    PRCTL from prctl: PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_SET_NAME PR_GET_NAME
        PR_SET_SECCOMP PR_CAPBSET_READ PR_SET_TIMERSLACK PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER
        PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_SET_VMA;
    IOCTL from ioctl: TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY TIOCGPGRP
        TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ FIONREAD TIOCNOTTY TIOCGSID TIOCGPTN TIOCSPTLCK
        TIOCGPTPEER FIONCLEX FIOCLEX FIONBIO BLKGETSIZE64 BLKSSZGET;
}

/// Flags of `close_range`, codes of `arch_prctl`, scheduling policies: `linux_raw_sys` lacks them.
pub(super) static CLOSE_RANGE: Names = &[(2, "CLOSE_RANGE_UNSHARE"), (4, "CLOSE_RANGE_CLOEXEC")];
pub(super) static CODE: Names = &[
    (0x1001, "ARCH_SET_GS"),
    (0x1002, "ARCH_SET_FS"),
    (0x1003, "ARCH_GET_FS"),
    (0x1004, "ARCH_GET_GS"),
];
pub(super) static POLICY: Names = &[
    (0, "SCHED_OTHER"),
    (1, "SCHED_FIFO"),
    (2, "SCHED_RR"),
    (3, "SCHED_BATCH"),
    (5, "SCHED_IDLE"),
];

/// Why a child's signal came, and why one that was sent.
pub(super) static CHILD: Names = &[
    (1, "CLD_EXITED"),
    (2, "CLD_KILLED"),
    (3, "CLD_DUMPED"),
    (4, "CLD_TRAPPED"),
    (5, "CLD_STOPPED"),
    (6, "CLD_CONTINUED"),
];
pub(super) static SENT: Names = &[
    (0, "SI_USER"),
    (0x80, "SI_KERNEL"),
    (u64::MAX, "SI_QUEUE"),
    (u64::MAX - 1, "SI_TIMER"),
    (u64::MAX - 5, "SI_TKILL"),
];

/// Commands of `fcntl` without an argument.
pub(super) static LONELY: [u32; 5] =
    [linux::F_GETFD, linux::F_GETFL, linux::F_GETOWN, linux::F_GETPIPE_SZ, linux::F_GET_SEALS];

static SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The name of a signal.
pub(super) fn signal(number: u64) -> String {
    match number {
        1..=31 => SIGNALS[number as usize - 1].into(),
        32 => "SIGRTMIN".into(),
        33..=64 => format!("SIGRT_{}", number - 32),
        _ => format!("{number}"),
    }
}

/// A set of signals, without `SIG`; what holds most signals by those that it lacks.
pub(super) fn signal_set(set: u64) -> String {
    let is_most = set.count_ones() > 32;
    let shown = if is_most { !set } else { set };
    let names = (1..=64).filter(|number| shown & (1 << (number - 1)) != 0).map(signal);
    let names: Vec<String> = names.map(|name| name[3..].into()).collect();
    format!("{}[{}]", if is_most { "~" } else { "" }, names.join(" "))
}

/// The name of one value, or the number.
pub(super) fn choice(names: Names, value: u64) -> String {
    match names.iter().find(|(number, _)| *number == value) {
        Some((_, name)) => (*name).into(),
        None => format!("{value:#x}"),
    }
}

/// Names of the bits of a value; bits without a name are a number at the end.
pub(super) fn flags(names: Names, value: u64) -> String {
    let mut rest = value;
    let mut words: Vec<String> = Vec::new();
    for (bits, name) in names {
        if *bits != 0 && rest & bits == *bits {
            words.push((*name).into());
            rest &= !bits;
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(if rest == 0 { "0".into() } else { format!("{rest:#x}") });
    }
    words.join("|")
}

/// What `open` is asked for: the mode of access, then flags.
pub(super) fn open_flags(value: u64) -> String {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][value as usize & 3];
    let rest = value & !3;
    if rest == 0 { access.into() } else { format!("{access}|{}", flags(OPEN, rest)) }
}

/// What an error means, in the words of strerror(3).
pub(super) fn meaning(error: &str) -> Option<&'static str> {
    let meanings = [
        ("EPERM", "Operation not permitted"),
        ("ENOENT", "No such file or directory"),
        ("ESRCH", "No such process"),
        ("EINTR", "Interrupted system call"),
        ("EIO", "Input/output error"),
        ("ENXIO", "No such device or address"),
        ("E2BIG", "Argument list too long"),
        ("ENOEXEC", "Exec format error"),
        ("EBADF", "Bad file descriptor"),
        ("ECHILD", "No child processes"),
        ("EAGAIN", "Resource temporarily unavailable"),
        ("ENOMEM", "Cannot allocate memory"),
        ("EACCES", "Permission denied"),
        ("EFAULT", "Bad address"),
        ("EBUSY", "Device or resource busy"),
        ("EEXIST", "File exists"),
        ("EXDEV", "Invalid cross-device link"),
        ("ENODEV", "No such device"),
        ("ENOTDIR", "Not a directory"),
        ("EISDIR", "Is a directory"),
        ("EINVAL", "Invalid argument"),
        ("ENFILE", "Too many open files in system"),
        ("EMFILE", "Too many open files"),
        ("ENOTTY", "Inappropriate ioctl for device"),
        ("ETXTBSY", "Text file busy"),
        ("EFBIG", "File too large"),
        ("ENOSPC", "No space left on device"),
        ("ESPIPE", "Illegal seek"),
        ("EROFS", "Read-only file system"),
        ("EMLINK", "Too many links"),
        ("EPIPE", "Broken pipe"),
        ("ERANGE", "Numerical result out of range"),
        ("ENAMETOOLONG", "File name too long"),
        ("ENOSYS", "Function not implemented"),
        ("ENOTEMPTY", "Directory not empty"),
        ("ELOOP", "Too many levels of symbolic links"),
        ("ENODATA", "No data available"),
        ("EOVERFLOW", "Value too large for defined data type"),
        ("ENOTSOCK", "Socket operation on non-socket"),
        ("EOPNOTSUPP", "Operation not supported"),
        ("ETIMEDOUT", "Connection timed out"),
        ("EUCLEAN", "Structure needs cleaning"),
        ("ERESTARTSYS", "To be restarted if SA_RESTART is set"),
        ("ERESTARTNOHAND", "To be restarted if no handler"),
    ];
    meanings.iter().find(|(name, _)| *name == error).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_names_and_leave_no_bit_out() {
        assert_eq!(open_flags(0), "O_RDONLY");
        assert_eq!(open_flags(0o2_000_101), "O_WRONLY|O_CREAT|O_CLOEXEC");
        assert_eq!(flags(PROTECTION, 3), "PROT_READ|PROT_WRITE");
        assert_eq!(flags(PROTECTION, 1 << 40 | 4), "PROT_EXEC|0x10000000000");
        assert_eq!(flags(MAP, 0x22), "MAP_PRIVATE|MAP_ANONYMOUS");
        assert_eq!(flags(WAIT, 0), "0");
        assert_eq!(choice(WHENCE, 2), "SEEK_END");
        assert_eq!(choice(WHENCE, 77), "0x4d");
    }

    #[test]
    fn sets_name_what_is_fewer() {
        assert_eq!(signal_set(0), "[]");
        assert_eq!(signal_set(1 << 1 | 1 << 16), "[INT CHLD]");
        assert_eq!(signal_set(!(1 << 31)), "~[RTMIN]");
        assert_eq!(
            (signal(9).as_str(), signal(34).as_str(), signal(0).as_str()),
            ("SIGKILL", "SIGRT_2", "0")
        );
    }
}
