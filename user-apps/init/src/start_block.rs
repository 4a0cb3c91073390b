//! The bytes of a session's start block.
//!
//! [`SessionStart`] written field by field, so that no struct has to be looked at as bytes.

use core::mem::offset_of;
use serix_abi::PAGE_SIZE;
use serix_abi::start::Framebuffer;
use serix_session::{NamedToken, SessionStart};

/// What a start block says; see [`SessionStart`].
pub struct StartBlock<'a> {
    /// `SESSION_MAGIC`.
    pub magic: u64,
    /// First address after all that is mapped.
    pub memory_end: u64,
    /// Frames of the first token that are taken.
    pub frames_used: u64,
    /// Where the text will be.
    pub text_address: u64,
    /// The session's part of the manifest.
    pub text: &'a [u8],
    /// At most `MAX_TOKENS`.
    pub tokens: &'a [NamedToken],
    /// The picture in the device frames, if the session has them.
    pub framebuffer: Framebuffer,
}

impl StartBlock<'_> {
    /// Puts page `page` of the block into `bytes`, which is zero.
    pub fn fill(&self, page: u64, bytes: &mut [u8; PAGE_SIZE]) {
        let start = page as usize * PAGE_SIZE;
        let mut put = |offset: usize, field: &[u8]| {
            let from = start.max(offset);
            let to = (start + PAGE_SIZE).min(offset + field.len());
            if from < to {
                bytes[from - start..to - start].copy_from_slice(&field[from - offset..to - offset]);
            }
        };
        put(offset_of!(SessionStart, magic), &self.magic.to_le_bytes());
        put(offset_of!(SessionStart, memory_end), &self.memory_end.to_le_bytes());
        put(offset_of!(SessionStart, frames_used), &self.frames_used.to_le_bytes());
        put(offset_of!(SessionStart, token_count), &(self.tokens.len() as u64).to_le_bytes());
        put(offset_of!(SessionStart, manifest_address), &self.text_address.to_le_bytes());
        put(offset_of!(SessionStart, manifest_size), &(self.text.len() as u64).to_le_bytes());
        for (index, token) in self.tokens.iter().enumerate() {
            let at = offset_of!(SessionStart, tokens) + index * size_of::<NamedToken>();
            put(at + offset_of!(NamedToken, purpose), &token.purpose.to_le_bytes());
            put(at + offset_of!(NamedToken, count), &token.count.to_le_bytes());
            put(at + offset_of!(NamedToken, name), &token.name);
            put(at + offset_of!(NamedToken, token), &token.token);
        }
        let Framebuffer { width, height, pitch, bits_per_pixel, red, green, blue, .. } =
            self.framebuffer;
        let at = offset_of!(SessionStart, framebuffer);
        put(at + offset_of!(Framebuffer, width), &width.to_le_bytes());
        put(at + offset_of!(Framebuffer, height), &height.to_le_bytes());
        put(at + offset_of!(Framebuffer, pitch), &pitch.to_le_bytes());
        put(at + offset_of!(Framebuffer, bits_per_pixel), &bits_per_pixel.to_le_bytes());
        put(at + offset_of!(Framebuffer, red), &red);
        put(at + offset_of!(Framebuffer, green), &green);
        put(at + offset_of!(Framebuffer, blue), &blue);
        put(size_of::<SessionStart>(), self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn fields_and_text_are_where_the_session_looks() {
        let token = NamedToken {
            purpose: 4,
            reserved: 0,
            count: 0x0102_0304_0506_0708,
            name: *b"root\0\0\0\0\0\0\0\0\0\0\0\0",
            token: [0xAB; 48],
        };
        let text = vec![b'#'; 3 * PAGE_SIZE];
        let tokens = [token; 3];
        let block = StartBlock {
            magic: 1,
            memory_end: 2,
            frames_used: 3,
            text_address: 4,
            text: &text,
            tokens: &tokens,
            framebuffer: Framebuffer {
                width: 0x1002,
                height: 0x2003,
                pitch: 0x3004,
                bits_per_pixel: 32,
                red: [8, 16],
                green: [8, 8],
                blue: [8, 0],
                reserved: 0,
            },
        };
        let mut bytes = vec![];
        for page in 0..4 {
            let mut one = [0; PAGE_SIZE];
            block.fill(page, &mut one);
            bytes.extend(one);
        }
        let word = |index: usize| u64::from_le_bytes(bytes[index * 8..][..8].try_into().unwrap());
        assert_eq!([0, 1, 2, 3, 4, 5].map(word), [1, 2, 3, 3, 4, text.len() as u64]);
        let third = &bytes[48 + 2 * 80..][..80];
        assert_eq!(third[..8], [4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(third[8..16], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!((&third[16..20], &third[32..]), (&b"root"[..], &[0xAB; 48][..]));
        let picture = &bytes[size_of::<SessionStart>() - size_of::<Framebuffer>()..][..22];
        assert_eq!(picture[..14], [2, 0x10, 0, 0, 3, 0x20, 0, 0, 4, 0x30, 0, 0, 32, 0]);
        assert_eq!(picture[14..20], [8, 16, 8, 8, 8, 0]);
        let text_end = size_of::<SessionStart>() + text.len();
        assert!(bytes[size_of::<SessionStart>()..text_end].iter().all(|&byte| byte == b'#'));
        assert!(bytes[text_end..].iter().all(|&byte| byte == 0));
    }
}
