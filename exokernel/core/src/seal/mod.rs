//! Sealed capabilities: making and checking tokens.
//!
//! Owns the boot-time keys. A token is its claim, authenticated; each caveat replaces the tag by
//! HMAC(tag, caveat), so that whoever holds a token can narrow it and nobody can widen it. Invariant: `verify`
//! answers a claim only for bytes that `seal` made, with caveats that were appended by a holder.

pub(crate) mod mac;
mod narrow;

use crate::ids::DomainId;
use mac::{Key, Tag};
pub use serix_abi::token::Claim;
use serix_abi::token::{
    BEARER, CAVEAT_COUNT_OFFSET, CAVEAT_SIZE, Caveat, HEADER_SIZE, Kind, MAX_CAVEATS, ROOT_SIZE,
    TAG_SIZE,
};
use subtle::ConstantTimeEq;

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// Not the form of a token: length, kind, rights, range, or a caveat record.
    Malformed,
    /// The tag is not the one that these bytes have.
    Forged,
    /// Meant for another domain.
    Audience,
    /// A caveat's time has come.
    Expired,
    /// A caveat names units that the token did not have.
    Range,
}

/// The keys of one boot, one for each kind.
pub struct Sealer {
    keys: [Key; Kind::ALL.len()],
}

impl Sealer {
    /// Derives the keys. `master_key` must be of full entropy and is not needed afterwards.
    #[must_use]
    pub fn new(master_key: [u8; 32]) -> Self {
        Self { keys: core::array::from_fn(|i| Key::for_kind(&master_key, Kind::ALL[i] as u8)) }
    }

    /// Kinds are dense from 1 on (checked by a test of `serix-abi`).
    fn key(&self, kind: Kind) -> &Key {
        &self.keys[kind as usize - 1]
    }

    /// The token of a claim. The caller holds the authority that the claim states.
    #[must_use]
    pub fn seal(&self, claim: &Claim) -> [u8; ROOT_SIZE] {
        let header = claim.encode();
        let mut token = [0; ROOT_SIZE];
        token[..HEADER_SIZE].copy_from_slice(&header);
        token[HEADER_SIZE..].copy_from_slice(&self.key(claim.kind).tag(&header));
        token
    }

    /// What a token allows `audience` at `now_ns` (TSC clock): the claim with all its caveats applied.
    /// `bytes` must not change meanwhile: the kernel copies them in first. Whether the grant node is
    /// still of the claim's generation is for the caller to check.
    ///
    /// # Errors
    /// See [`SealError`]. `Forged` takes the same time wherever the first wrong byte is.
    pub fn verify(
        &self,
        bytes: &[u8],
        audience: DomainId,
        now_ns: u64,
    ) -> Result<Claim, SealError> {
        let parts = Parts::split(bytes)?;
        let root = Claim::decode(&parts.header).ok_or(SealError::Malformed)?;
        let mut tag = self.key(root.kind).tag(&parts.header);
        for record in parts.caveats {
            tag = mac::chain(&tag, record);
        }
        if !bool::from(tag.ct_eq(&parts.tag)) {
            return Err(SealError::Forged);
        }
        let claim = parts.narrow(root, now_ns)?;
        if claim.audience == BEARER || claim.audience == audience.0 {
            Ok(claim)
        } else {
            Err(SealError::Audience)
        }
    }
}

/// A token taken apart, its header as it was when sealed.
struct Parts<'a> {
    header: [u8; HEADER_SIZE],
    tag: Tag,
    caveats: &'a [[u8; CAVEAT_SIZE]],
}

impl<'a> Parts<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, SealError> {
        let (root, rest) = bytes.split_first_chunk::<ROOT_SIZE>().ok_or(SealError::Malformed)?;
        let (caveats, odd) = rest.as_chunks::<CAVEAT_SIZE>();
        let counted = usize::from(root[CAVEAT_COUNT_OFFSET]);
        if !odd.is_empty() || caveats.len() != counted || counted > MAX_CAVEATS {
            return Err(SealError::Malformed);
        }
        let (mut header, mut tag) = ([0; HEADER_SIZE], [0; TAG_SIZE]);
        header.copy_from_slice(&root[..HEADER_SIZE]);
        header[CAVEAT_COUNT_OFFSET] = 0;
        tag.copy_from_slice(&root[HEADER_SIZE..]);
        Ok(Self { header, tag, caveats })
    }

    fn narrow(&self, root: Claim, now_ns: u64) -> Result<Claim, SealError> {
        self.caveats.iter().try_fold(root, |claim, record| {
            let caveat = Caveat::decode(record).ok_or(SealError::Malformed)?;
            narrow::narrow(claim, &caveat, now_ns)
        })
    }
}
