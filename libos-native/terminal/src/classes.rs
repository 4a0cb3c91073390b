//! Classes of characters as Linux's terminals see them: Latin-1.

/// Control characters: what `ECHOCTL` shows as `^X`.
pub(crate) const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7F
}

const fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, 0xC0..=0xD6 | 0xD8..=0xDE)
}

const fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || matches!(byte, 0xDF..=0xF6 | 0xF8..=0xFF)
}

/// What belongs to a word for `VWERASE`.
pub(crate) const fn is_word(byte: u8) -> bool {
    is_upper(byte) || is_lower(byte) || byte.is_ascii_digit() || byte == b'_'
}

pub(crate) const fn to_lower(byte: u8) -> u8 {
    if is_upper(byte) { byte + 0x20 } else { byte }
}

pub(crate) const fn to_upper(byte: u8) -> u8 {
    if is_lower(byte) { byte - 0x20 } else { byte }
}
