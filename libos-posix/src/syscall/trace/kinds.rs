//! What the arguments of each call mean, by the names that the table of calls gives them.
use super::names::{self, Names};

/// How an argument is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A signed number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// An unsigned number.
    Size,
    /// A number in base 16, zero as 0.
    Hex,
    /// Permissions, in base 8.
    Mode,
    /// As [`Self::Mode`], shown only if the flags before it make a file.
    CreationMode,
    /// An address.
    Pointer,
    /// A descriptor of a directory, or `AT_FDCWD`.
    Directory,
    /// A string that ends with NUL, whole.
    Path,
    /// As [`Self::Path`], cut.
    Text,
    /// Strings up to a null pointer.
    Strings,
    /// As [`Self::Strings`], only how many.
    Environment,
    /// Bytes, as many as another argument says.
    Bytes(u8),
    /// `iovec`s, as many as another argument says.
    Vector(u8),
    /// Bits with names.
    Flags(Names),
    /// A value with a name.
    Choice(Names),
    /// What `open` is asked for.
    Open,
    /// Flags of `clone`, with the signal in the lowest byte.
    Clone,
    /// An operation of `futex`.
    Futex,
    /// The argument of `fcntl`, by its command.
    Fcntl,
    /// The first argument of an option of `prctl`.
    Prctl,
    /// `R_OK` and so on, or `F_OK`.
    Access,
    /// A signal.
    Signal,
    /// A set of signals.
    Signals,
    /// `struct sigaction` of the kernel.
    Action,
    /// `struct timespec`; the second form has two of them.
    Time,
    Times,
    /// `struct timeval`.
    Microtime,
    /// `struct rlimit64`.
    Limit,
    /// `struct itimerval`.
    Interval,
    /// `struct pollfd`s, as many as another argument says.
    Polls(u8),
    /// A set of descriptors of `select`.
    Descriptors,
    /// `struct open_how`.
    How,
    /// `struct clone_args`.
    CloneArguments,
    /// `stack_t`.
    Stack,
    /// `struct epoll_event`.
    EpollEvent,
    /// A number of 64 bits behind a pointer.
    Offset,
    /// Known after the call: what is of the kind, if the call succeeded.
    Out(&'static Self),
    /// Bytes, as many as the result says.
    Result,
    /// `iovec`s that hold as many bytes as the result says.
    ResultVector(u8),
    /// `struct stat`.
    Stat,
    /// `struct statx`.
    Statx,
    /// Two descriptors.
    Pair,
    /// A status of `wait`.
    Status,
    /// `struct pollfd`s that have events.
    Ready,
    /// `struct utsname`.
    System,
    /// Words of 32 bits, as many as another argument says, but no more than the result.
    Int32,
}

impl Kind {
    /// Whether it is known only after the call.
    pub(super) const fn is_out(self) -> bool {
        matches!(
            self,
            Self::Out(_)
                | Self::Result
                | Self::ResultVector(_)
                | Self::Stat
                | Self::Statx
                | Self::Pair
                | Self::Status
                | Self::System
        )
    }
}

/// How an argument of a call is shown.
pub(super) fn of(call: &str, argument: &str) -> Kind {
    special(call, argument).unwrap_or_else(|| general(argument))
}

/// What a name means in most calls.
fn general(argument: &str) -> Kind {
    match argument {
        "descriptor" | "pid" | "tid" | "group" | "who" | "status" | "uid" | "gid" | "real"
        | "effective" | "saved" | "from" | "to" | "epoll" | "first" | "last" | "timeout"
        | "initial" | "id" | "nice" | "persona" => Kind::Int,
        "length" | "count" | "size" | "old_length" | "new_length" | "mask_size" | "seconds" => {
            Kind::Size
        }
        "offset" | "high" => Kind::Long,
        "mode" | "mask" => Kind::Mode,
        "directory" | "from_directory" | "to_directory" => Kind::Directory,
        "path" | "target" | "source" | "kind" => Kind::Path,
        "protection" => Kind::Flags(names::PROTECTION),
        "signal" => Kind::Signal,
        "clock" => Kind::Choice(names::CLOCK),
        "resource" => Kind::Choice(names::LIMIT),
        "policy" => Kind::Choice(names::POLICY),
        _ => Kind::Pointer,
    }
}

/// What a name means in some calls.
#[rustfmt::skip]
fn special(call: &str, argument: &str) -> Option<Kind> {
    use Kind::*;
    const TIME: Kind = Time;
    const MICROTIME: Kind = Microtime;
    const LIMIT: Kind = Limit;
    const INTERVAL: Kind = Interval;
    const SIGNALS: Kind = Signals;
    const ACTION: Kind = Action;
    const STACK: Kind = Stack;
    const READY: Kind = Ready;
    const OFFSET: Kind = Offset;
    const WORD: Kind = Int32;
    Some(match (call, argument) {
        ("read" | "pread64" | "getrandom" | "readlink" | "readlinkat", "buffer") => Result,
        ("getcwd", "buffer") => Out(&Path),
        ("write" | "pwrite64", "buffer") => Bytes(2),
        ("sethostname", "name") => Bytes(1),
        ("setxattr" | "lsetxattr" | "fsetxattr", "value") => Bytes(3),
        ("getxattr" | "lgetxattr" | "fgetxattr", "value") => Result,
        ("listxattr" | "llistxattr" | "flistxattr", "list") => Result,
        (_, "name") if call.contains("xattr") || call == "memfd_create" => Text,
        (_, "flags") if call.contains("xattr") => Flags(names::XATTR),
        ("readv" | "preadv" | "preadv2", "vector") => ResultVector(2),
        ("writev" | "pwritev" | "pwritev2", "vector") => Vector(2),
        ("preadv2" | "pwritev2", "flags") => Flags(names::READ_WRITE),
        ("lseek", "whence") => Choice(names::WHENCE),
        ("open" | "openat", "flags") => Open,
        ("open" | "openat", "mode") => CreationMode,
        ("openat2", "how") => How,
        ("close_range", "flags") => Flags(names::CLOSE_RANGE),
        ("close_range", _) => Size,
        ("dup3" | "pipe2", "flags") => Flags(names::PIPE),
        ("fcntl", "command") => Choice(names::FCNTL),
        ("fcntl", "argument") => Fcntl,
        ("ioctl", "request") => Choice(names::IOCTL),
        ("flock", "operation") => Flags(names::FLOCK),
        ("sendfile", "offset") | ("copy_file_range" | "splice", "from_offset" | "to_offset") => OFFSET,
        ("splice", "flags") => Flags(names::SPLICE),
        ("copy_file_range", "flags") => Hex,
        ("sync_file_range", "flags") => Hex,
        ("ftruncate" | "truncate", "size") => Long,
        ("fallocate", "mode") => Flags(names::FALLOCATE),
        ("fadvise64", "advice") => Choice(names::FADVICE),
        ("fallocate" | "sync_file_range", "length") => Long,
        ("stat" | "lstat" | "fstat" | "newfstatat", "status") => Stat,
        ("statx", "status") => Statx,
        ("statx", "mask") => Hex,
        ("statfs" | "fstatfs", "status") => Pointer,
        ("newfstatat" | "statx" | "utimensat" | "fchownat" | "fchmodat2" | "linkat" | "execveat", "flags") => Flags(names::AT),
        ("access" | "faccessat" | "faccessat2", "mode") => Access,
        ("faccessat2", "flags") => Flags(names::FACCESS),
        ("unlinkat", "flags") => Flags(names::UNLINK),
        ("mknod" | "mknodat", "device") => Hex,
        ("link" | "linkat" | "rename" | "renameat" | "renameat2", "from" | "to") => Path,
        ("renameat2", "flags") => Flags(names::RENAME),
        ("utimensat", "times") => Times,
        ("mount", "flags") => Flags(names::MOUNT),
        ("mount", "data") => Text,
        ("umount2", "flags") => Flags(names::UNMOUNT),
        ("pipe" | "pipe2", "descriptors") => Pair,
        ("eventfd2", "flags") => Flags(names::EVENT),
        ("memfd_create", "flags") => Flags(names::MEMORY_FILE),
        ("poll" | "ppoll", "descriptors") => Polls(1),
        ("ppoll" | "pselect6" | "epoll_pwait2", "timeout") => TIME,
        ("select", "timeout") => MICROTIME,
        ("select" | "pselect6", "count") => Int,
        ("select" | "pselect6", "read" | "write" | "except") => Descriptors,
        ("ppoll" | "epoll_pwait" | "epoll_pwait2", "mask") => SIGNALS,
        ("pselect6", "mask") => Pointer,
        ("epoll_create1", "flags") => Flags(names::EPOLL_CREATE),
        ("epoll_ctl", "operation") => Choice(names::EPOLL),
        ("epoll_ctl", "event") => EpollEvent,
        ("epoll_wait" | "epoll_pwait" | "epoll_pwait2", "events") => Out(&READY),
        ("mmap", "flags") => Flags(names::MAP),
        ("mmap", "offset") => Hex,
        ("mremap", "flags") => Flags(names::REMAP),
        ("madvise", "advice") => Choice(names::ADVICE),
        ("msync", "flags") => Flags(names::MSYNC),
        ("mlock2", "flags") => Flags(names::MLOCK),
        ("mlockall", "flags") => Flags(names::LOCK_ALL),
        ("wait4", "status") => Status,
        ("wait4" | "waitid", "options") => Flags(names::WAIT),
        ("waitid", "kind") => Choice(names::WAIT_KIND),
        ("prctl", "option") => Choice(names::PRCTL),
        ("prctl", "a") => Prctl,
        ("prctl", _) => Hex,
        ("arch_prctl", "code") => Choice(names::CODE),
        ("personality", "persona") => Hex,
        ("getresuid" | "getresgid", _) => Out(&WORD),
        ("getgroups" | "setgroups", "count") => Int,
        ("prlimit64", "new") | ("setrlimit", "limit") => LIMIT,
        ("prlimit64", "old") | ("getrlimit", "limit") => Out(&LIMIT),
        ("getrusage", "who") => Choice(names::USAGE),
        ("getpriority" | "setpriority", "which") => Choice(names::PRIORITY),
        ("rt_sigaction", "action") => ACTION,
        ("rt_sigaction", "old") => Out(&ACTION),
        ("rt_sigprocmask", "how") => Choice(names::MASK),
        ("rt_sigprocmask" | "rt_sigtimedwait", "set") | ("rt_sigsuspend", "mask") => SIGNALS,
        ("rt_sigprocmask", "old") | ("rt_sigpending", "set") => Out(&SIGNALS),
        ("rt_sigtimedwait", "timeout") => TIME,
        ("sigaltstack", "new") => STACK,
        ("sigaltstack", "old") => Out(&STACK),
        ("nanosleep" | "clock_nanosleep", "wanted") | ("clock_settime", "time") => TIME,
        ("clock_gettime", "time") | ("clock_getres", "resolution") => Out(&TIME),
        ("nanosleep" | "clock_nanosleep", "rest") => Pointer,
        ("clock_nanosleep", "flags") => Flags(names::TIMER),
        ("gettimeofday", "time") => Out(&MICROTIME),
        ("setitimer", "new") => INTERVAL,
        ("setitimer", "old") | ("getitimer", "value") => Out(&INTERVAL),
        ("setitimer" | "getitimer", "which") => Choice(names::INTERVAL_TIMER),
        ("futex", "operation") => Futex,
        ("futex", "value") => Int,
        ("futex", "timeout") => TIME,
        ("futex", "value3") => Hex,
        ("rseq", "flags") => Hex,
        ("rseq", "signature") => Hex,
        ("rseq" , "length") => Hex,
        ("membarrier", _) => Int,
        ("syslog", "kind") => Int,
        ("uname", "name") => System,
        ("getrandom", "flags") => Flags(names::RANDOM),
        ("clone", "flags") => Clone,
        ("clone3", "arguments") => CloneArguments,
        ("execve" | "execveat", "arguments") => Strings,
        ("execve" | "execveat", "environment") => Environment,
        _ => return None,
    })
}
