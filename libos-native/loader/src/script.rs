//! The first line of a script, read as Linux reads it.
use crate::{HEAD_BYTES, LoadError};

/// The interpreter that a script's first line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// Path of the interpreter.
    pub interpreter: &'a [u8],
    /// Everything behind it, without blanks around: one argument, if there is any.
    pub argument: Option<&'a [u8]>,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(*byte));
    let end = bytes.iter().rposition(|byte| !is_blank(*byte));
    match (start, end) {
        (Some(start), Some(end)) => &bytes[start..=end],
        _ => &[],
    }
}

impl<'a> Script<'a> {
    /// Reads a line that begins with `#!`. A line longer than [`HEAD_BYTES`] has its argument cut
    /// off, but not its interpreter.
    ///
    /// # Errors
    /// `NotExecutable` if no interpreter is named in full.
    pub fn parse(head: &'a [u8]) -> Result<Self, LoadError> {
        let head = &head[..head.len().min(HEAD_BYTES)];
        let line = head.strip_prefix(b"#!").ok_or(LoadError::NotExecutable)?;
        let end = line.iter().position(|byte| matches!(byte, b'\n' | 0));
        let is_cut = end.is_none() && head.len() == HEAD_BYTES;
        let line = trim(&line[..end.unwrap_or(line.len())]);
        let blank = line.iter().position(|byte| is_blank(*byte));
        if line.is_empty() || blank.is_none() && is_cut {
            return Err(LoadError::NotExecutable);
        }
        let (interpreter, rest) = line.split_at(blank.unwrap_or(line.len()));
        let argument = trim(rest);
        Ok(Self { interpreter, argument: (!argument.is_empty()).then_some(argument) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn parsed(line: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let script = Script::parse(line).ok()?;
        Some((script.interpreter, script.argument))
    }

    #[test]
    fn lines() {
        assert_eq!(parsed(b"#!/bin/sh\nx"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(
            parsed(b"#! \t/bin/env  perl -w \t\n"),
            Some((&b"/bin/env"[..], Some(&b"perl -w"[..])))
        );
        assert_eq!(parsed(b"#!/bin/sh"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(parsed(b"#!\n/bin/sh"), None);
        assert_eq!(parsed(b"#! "), None);
        assert_eq!(parsed(b"/bin/sh"), None);
    }

    #[test]
    fn long_lines() {
        let mut line = vec![b'x'; 400];
        line[..3].copy_from_slice(b"#!/");
        assert_eq!(parsed(&line), None);
        line[100] = b' ';
        let (interpreter, argument) = parsed(&line).expect("an interpreter");
        assert_eq!(interpreter.len(), 98);
        assert_eq!(argument.map(<[u8]>::len), Some(HEAD_BYTES - 101));
    }
}
