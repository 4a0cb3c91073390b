//! Narrowing a token without the kernel.
//!
//! Whoever holds a token can append caveats to it: the new tag is HMAC-SHA-256 under the old one, so the old
//! one cannot be had back. Uses nothing but the token's layout. The kernel refuses caveats that try to widen.

use hmac::{Hmac, KeyInit, Mac};
use serix_abi::token::{
    CAVEAT_COUNT_OFFSET, CAVEAT_SIZE, Caveat, HEADER_SIZE, MAX_CAVEATS, MAX_TOKEN_SIZE, ROOT_SIZE,
    TAG_SIZE,
};
use sha2::Sha256;

/// Bytes in a block of SHA-256, the longest key that HMAC takes as it is.
const BLOCK_SIZE: usize = 64;

/// A token with its caveats.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    bytes: [u8; MAX_TOKEN_SIZE],
    length: usize,
}

impl Token {
    /// A token received as bytes; `None` if they do not have the length that their caveat count says. Whether it
    /// is genuine only the kernel can tell.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let caveats = usize::from(*bytes.get(CAVEAT_COUNT_OFFSET)?);
        if caveats > MAX_CAVEATS || bytes.len() != ROOT_SIZE + caveats * CAVEAT_SIZE {
            return None;
        }
        let mut token = Self { bytes: [0; MAX_TOKEN_SIZE], length: bytes.len() };
        token.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(token)
    }

    /// The bytes to hand on or to bind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The token narrowed by one more caveat; `None` if it already carries [`MAX_CAVEATS`].
    #[must_use]
    pub fn attenuate(&self, caveat: &Caveat) -> Option<Self> {
        let end = self.length + CAVEAT_SIZE;
        let mut token = *self;
        let record = caveat.encode();
        token.bytes.get_mut(self.length..end)?.copy_from_slice(&record);
        token.length = end;
        token.bytes[CAVEAT_COUNT_OFFSET] += 1;
        let tag = chain(&self.bytes[HEADER_SIZE..ROOT_SIZE], &record);
        token.bytes[HEADER_SIZE..ROOT_SIZE].copy_from_slice(&tag);
        Some(token)
    }
}

/// HMAC(tag, caveat), truncated.
fn chain(tag: &[u8], caveat: &[u8; CAVEAT_SIZE]) -> [u8; TAG_SIZE] {
    let mut key = [0; BLOCK_SIZE];
    key[..TAG_SIZE].copy_from_slice(tag);
    let whole = Hmac::<Sha256>::new(&key.into()).chain_update(caveat).finalize().into_bytes();
    let mut chained = [0; TAG_SIZE];
    chained.copy_from_slice(&whole[..TAG_SIZE]);
    chained
}
