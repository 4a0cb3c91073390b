//! The tag function: HMAC-SHA-256 truncated to 128 bits.
//!
//! Everything else in `seal` treats it as ideal. Under Kani, which cannot unfold SHA-256, a model
//! takes its place that changes the tag for every changed bit, and no more is proved than that.

use serix_abi::token::{CAVEAT_SIZE, HEADER_SIZE, TAG_SIZE};

/// A tag.
pub(crate) type Tag = [u8; TAG_SIZE];

#[cfg(not(kani))]
pub(crate) use hmac_sha256::{Key, chain};
#[cfg(kani)]
pub(crate) use model::{Key, chain};

#[cfg(not(kani))]
mod hmac_sha256 {
    use super::{CAVEAT_SIZE, HEADER_SIZE, TAG_SIZE, Tag};
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    const BLOCK_SIZE: usize = 64;

    /// A key whose two padded blocks are already hashed: one tag costs two compressions, not four.
    #[derive(Clone)]
    pub(crate) struct Key(Hmac<Sha256>);

    impl Key {
        /// A key of at most a block. HMAC pads with zeros, so padding here changes nothing and
        /// leaves no error case.
        fn new(key: &[u8]) -> Self {
            let mut block = [0; BLOCK_SIZE];
            block[..key.len()].copy_from_slice(key);
            Self(Hmac::new(&block.into()))
        }

        /// The key of one kind: HMAC(master, "serix" || kind).
        pub(crate) fn for_kind(master: &[u8; 32], kind: u8) -> Self {
            let mac = Self::new(master).0.chain_update(b"serix").chain_update([kind]);
            Self::new(&mac.finalize().into_bytes())
        }

        /// The tag of a token without caveats.
        pub(crate) fn tag(&self, header: &[u8; HEADER_SIZE]) -> Tag {
            truncate(self.0.clone().chain_update(header))
        }
    }

    /// The tag after one more caveat: HMAC(tag, caveat).
    pub(crate) fn chain(tag: &Tag, caveat: &[u8; CAVEAT_SIZE]) -> Tag {
        truncate(Key::new(tag).0.chain_update(caveat))
    }

    fn truncate(mac: Hmac<Sha256>) -> Tag {
        let whole = mac.finalize().into_bytes();
        let mut tag = [0; TAG_SIZE];
        tag.copy_from_slice(&whole[..TAG_SIZE]);
        tag
    }
}

#[cfg(kani)]
mod model {
    use super::{CAVEAT_SIZE, HEADER_SIZE, TAG_SIZE, Tag};

    /// A key of the model.
    #[derive(Clone)]
    pub(crate) struct Key(Tag);

    impl Key {
        /// The key of one kind.
        pub(crate) fn for_kind(master: &[u8; 32], kind: u8) -> Self {
            let mut key = fold(&[0; TAG_SIZE], master);
            key[0] ^= kind;
            Self(key)
        }

        /// The tag of a token without caveats.
        pub(crate) fn tag(&self, header: &[u8; HEADER_SIZE]) -> Tag {
            fold(&self.0, header)
        }
    }

    /// The tag after one more caveat. The rotation makes the order count.
    pub(crate) fn chain(tag: &Tag, caveat: &[u8; CAVEAT_SIZE]) -> Tag {
        let mut rotated = *tag;
        rotated.rotate_left(1);
        fold(&rotated, caveat)
    }

    fn fold(key: &Tag, message: &[u8; 32]) -> Tag {
        core::array::from_fn(|index| {
            key[index].wrapping_add(0x5E) ^ message[index] ^ message[index + TAG_SIZE]
        })
    }
}
