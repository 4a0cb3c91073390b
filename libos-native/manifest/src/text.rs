//! Words of a line: names, sizes and quoted byte strings.

use alloc::string::String;
use alloc::vec::Vec;

use crate::NAME_MAX;

/// Whether `text` can be a name of a session, module, disk, device or partition.
pub(crate) fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(legal)
}

/// Bytes in `4096`, `64K`, `48M` or `2G`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
}

/// A decimal number without a sign.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The line without its comment: a `#` outside of quotes starts one.
pub(crate) fn without_comment(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..at].trim(),
            _ => {}
        }
    }
    line.trim()
}

/// A faulty string: what was expected, and the text from the fault on.
pub(crate) type StringFault<'a> = (&'static str, &'a str);

/// One or more quoted strings with blanks between them.
pub(crate) fn strings(text: &str) -> Result<Vec<Vec<u8>>, StringFault<'_>> {
    let (mut strings, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() || strings.is_empty() {
        let (string, after) = string(rest)?;
        if !after.is_empty() && !after.starts_with([' ', '\t']) {
            return Err(("a blank between two strings", after));
        }
        strings.push(string);
        rest = after.trim_start();
    }
    Ok(strings)
}

/// The string at the start of `text`, and what follows its closing quote.
fn string(text: &str) -> Result<(Vec<u8>, &str), StringFault<'_>> {
    let inner = text.strip_prefix('"').ok_or(("a string in double quotes", text))?;
    let (mut bytes, mut rest) = (Vec::new(), inner);
    loop {
        let plain = rest.find(['"', '\\']).ok_or(("a closing quote", text))?;
        bytes.extend_from_slice(&rest.as_bytes()[..plain]);
        let special = &rest[plain..];
        if let Some(after) = special.strip_prefix('"') {
            return Ok((bytes, after));
        }
        let (byte, after) = escape(&special[1..]).ok_or((ESCAPES, special))?;
        bytes.push(byte);
        rest = after;
    }
}

const ESCAPES: &str = r#"one of the escapes \n \t \\ \" \xNN (NN not 00)"#;

/// The byte that the text after a backslash stands for, and what follows.
fn escape(text: &str) -> Option<(u8, &str)> {
    let plain = match text.as_bytes().first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'\\' => b'\\',
        b'"' => b'"',
        b'x' => {
            let digits = text.get(1..3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            let byte = u8::from_str_radix(digits, 16).ok().filter(|&byte| byte != 0)?;
            return Some((byte, &text[3..]));
        }
        _ => return None,
    };
    Some((plain, &text[1..]))
}

/// Appends `bytes` as a quoted string, printable ASCII where it can be.
pub(crate) fn quote(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b'"' => out.push_str("\\\""),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                out.push_str("\\x");
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out.push('"');
}
