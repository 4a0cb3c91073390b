//! Linux error numbers, and what each error of the crates below is to a program.
//!
//! The only file in which errors become numbers.
use linux_raw_sys::errno as linux;
use serix_chroma::VfsError;

/// Why a Linux call failed. Programs see it negated in rax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

/// Result of a Linux call.
pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! numbers {
    ($($name:ident),+ $(,)?) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $name: Self = Self(linux::$name as u16);
            )+

            /// The name as the manual has it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                    Self::RESTART => "ERESTARTSYS",
                    Self::RESTART_NO_HANDLER => "ERESTARTNOHAND",
                    _ => "E?",
                }
            }
        }
    };
}

numbers! {
    EPERM, ENOENT, ESRCH, EINTR, EIO, ENXIO, E2BIG, ENOEXEC, EBADF, ECHILD, EAGAIN, ENOMEM, EACCES,
    EFAULT, ENOTBLK, EBUSY, EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ENOTTY,
    ETXTBSY, EFBIG, ENOSPC, ESPIPE, EROFS, EMLINK, EPIPE, EDOM, ERANGE, EDEADLK, ENAMETOOLONG,
    ENOLCK, ENOSYS, ENOTEMPTY, ELOOP, ENODATA, ETIME, EOVERFLOW, EILSEQ, ENOTSOCK, EDESTADDRREQ,
    EMSGSIZE, EPROTOTYPE, ENOPROTOOPT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT,
    EADDRINUSE, EADDRNOTAVAIL, ENETUNREACH, ECONNRESET, ENOBUFS, EISCONN, ENOTCONN, ETIMEDOUT,
    ECONNREFUSED, EALREADY, EINPROGRESS, ESTALE, EUCLEAN, EDQUOT, ECANCELED, EPROTO, ELIBBAD,
}

impl Errno {
    /// A signal came: the call starts again if its handler has `SA_RESTART` or there is none, else it is
    /// `EINTR` (`ERESTARTSYS` of Linux). Never reaches a program.
    pub const RESTART: Self = Self(512);
    /// As [`Self::RESTART`], but `EINTR` after any handler (`ERESTARTNOHAND`).
    pub const RESTART_NO_HANDLER: Self = Self(514);

    /// The value for rax.
    #[must_use]
    pub const fn to_register(self) -> i64 {
        -(self.0 as i64)
    }
}

impl From<VfsError> for Errno {
    fn from(error: VfsError) -> Self {
        match error {
            VfsError::NotFound => Self::ENOENT,
            VfsError::Exists => Self::EEXIST,
            VfsError::NotDirectory => Self::ENOTDIR,
            VfsError::IsDirectory => Self::EISDIR,
            VfsError::NotEmpty => Self::ENOTEMPTY,
            VfsError::NoSpace => Self::ENOSPC,
            VfsError::ReadOnly => Self::EROFS,
            VfsError::NameTooLong => Self::ENAMETOOLONG,
            VfsError::Loop => Self::ELOOP,
            VfsError::Access => Self::EACCES,
            VfsError::Permission => Self::EPERM,
            VfsError::CrossDevice => Self::EXDEV,
            VfsError::TooManyLinks => Self::EMLINK,
            VfsError::Invalid => Self::EINVAL,
            VfsError::NotSupported => Self::EOPNOTSUPP,
            VfsError::NotTerminal => Self::ENOTTY,
            VfsError::NoMemory => Self::ENOMEM,
            VfsError::Busy => Self::EBUSY,
            VfsError::FileTooLarge => Self::EFBIG,
            VfsError::NoData => Self::ENODATA,
            VfsError::Range => Self::ERANGE,
            VfsError::Stale => Self::ESTALE,
            VfsError::Fault => Self::EFAULT,
            VfsError::WouldBlock => Self::EAGAIN,
            VfsError::Interrupted => Self::RESTART,
            VfsError::BadDescriptor => Self::EBADF,
            VfsError::NoDevice => Self::ENXIO,
            VfsError::NotSeekable => Self::ESPIPE,
            VfsError::BrokenPipe => Self::EPIPE,
            VfsError::Overflow => Self::EOVERFLOW,
            VfsError::TextBusy => Self::ETXTBSY,
            VfsError::Corrupt => Self::EUCLEAN,
            // `Io`, and whatever is added: something below failed.
            _ => Self::EIO,
        }
    }
}
