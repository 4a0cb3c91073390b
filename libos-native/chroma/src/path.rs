//! Paths as bytes: components, the last name, limits.
use crate::{VfsError, VfsResult};

/// Longest path, in bytes, as programs know it (with its NUL 4096).
pub const PATH_MAX: usize = 4095;
/// Longest component, in bytes.
pub const NAME_MAX: usize = 255;

/// A path taken apart before its last component.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LastName<'a> {
    /// What leads to the parent directory; empty for the base itself.
    pub(crate) parent: &'a [u8],
    /// The last component; empty if the path is only slashes.
    pub(crate) name: &'a [u8],
    /// Whether slashes follow it, which only directories allow.
    pub(crate) has_slash: bool,
}

/// Splits off the last component, however long it is: what is wrong on the way there comes first.
pub(crate) fn split_last(path: &[u8]) -> VfsResult<LastName<'_>> {
    check(path)?;
    let mut trimmed = path;
    while let [before @ .., b'/'] = trimmed {
        trimmed = before;
    }
    let mut parent = trimmed;
    while let [before @ .., last] = parent
        && *last != b'/'
    {
        parent = before;
    }
    let name = &trimmed[parent.len()..];
    Ok(LastName {
        parent: if trimmed.is_empty() { path } else { parent },
        name,
        has_slash: trimmed.len() < path.len(),
    })
}

pub(crate) fn check(path: &[u8]) -> VfsResult<()> {
    match path.len() {
        0 => Err(VfsError::NotFound),
        1..=PATH_MAX => Ok(()),
        _ => Err(VfsError::NameTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_names() {
        let last = |path| {
            let last = split_last(path).expect("a path");
            (last.parent, last.name, last.has_slash)
        };
        assert_eq!(last(b"/a/b"), (&b"/a/"[..], &b"b"[..], false));
        assert_eq!(last(b"b//"), (&b""[..], &b"b"[..], true));
        assert_eq!(last(b"/b"), (&b"/"[..], &b"b"[..], false));
        assert_eq!(last(b"//"), (&b"//"[..], &b""[..], true));
        assert_eq!(split_last(b""), Err(VfsError::NotFound));
        assert_eq!(split_last(&[b'a'; 256]).map(|last| last.name.len()), Ok(256));
        assert_eq!(split_last(&[b'/'; 4096]), Err(VfsError::NameTooLong));
    }
}
