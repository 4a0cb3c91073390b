//! Slots that are almost right: with a right less, or stale.

use serix_abi::token::{Caveat, Kind, Rights};
use serix_abi::{Call, Error, NO_SLOT};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

use super::{Stage, whole};
use crate::arena;
use crate::attenuate::Token;
use crate::raw::call;
use crate::session::Session;

/// Where the arena holds what these calls read.
const SCRATCH: usize = 24 * 1024;

/// A slot that was made to be wrong, and the delegation that it is of.
#[derive(Clone, Copy, Debug)]
pub struct Odd {
    /// The slot.
    pub slot: u64,
    delegation: Option<u64>,
}

impl Odd {
    /// Empties it.
    pub fn end(self) {
        let _ = whole(Call::Unbind, &[self.slot]);
        self.delegation.map(|delegation| whole(Call::Revoke, &[delegation]));
    }
}

/// For what the session has a token that stands for the same as a slot.
fn purpose(session: &Session, kind: Kind, slot: u64) -> Option<Purpose> {
    match kind {
        Kind::Frames => Some(Purpose::Frames),
        Kind::Slices => Some(Purpose::Slices),
        Kind::Console => Some(Purpose::Log),
        Kind::Interrupt => Some(Purpose::Interrupt),
        Kind::Ports => Some(Purpose::Ports),
        Kind::Environment if slot == session.environment.0.into() => Some(Purpose::Environment),
        _ => None,
    }
}

/// Delegates unit `first` of a slot; the delegation, and the token in the arena.
fn grant(slot: u64, first: u64, rights: Rights, domain: u64) -> Result<(u64, [u8; 48]), Error> {
    let words = [first, 1, u64::from(rights.0) | domain << 32];
    let parameters = arena::put_words(SCRATCH, &words);
    let delegation = whole(Call::Grant, &[slot, parameters, arena::address(SCRATCH + 64)])?;
    Ok((delegation, arena::get(SCRATCH + 64)))
}

impl Stage {
    /// A slot as `slot`, of this kind, with these rights and no others; `None` where there is no way to have one.
    #[must_use]
    pub fn narrowed(
        &self,
        session: &Session,
        kind: Kind,
        slot: u64,
        rights: Rights,
    ) -> Option<Odd> {
        if let Some(token) = purpose(session, kind, slot).and_then(|purpose| session.token(purpose))
        {
            let caveat = Caveat { rights, ..Caveat::NOTHING };
            let token = Token::from_bytes(&token)?.attenuate(&caveat)?;
            let slot = sys::bind(token.as_bytes()).ok()?.0.into();
            return Some(Odd { slot, delegation: None });
        }
        let (delegation, token) = grant(slot, 0, rights, NO_SLOT.into()).ok()?;
        let slot = sys::bind(&token).map_or(u64::from(NO_SLOT), |slot| slot.0.into());
        Some(Odd { slot, delegation: Some(delegation) })
    }

    /// A slot as `slot`, of this kind, with these rights, of which the kernel is about to take away or took away what it stands
    /// on; `None` where there is no way to have one.
    #[must_use]
    pub fn stale(&self, kind: Kind, slot: u64, rights: Rights) -> Option<Odd> {
        if kind.is_exclusive() {
            let unit = if kind == Kind::Frames { self.spare_unit } else { self.spare_slice };
            let domain = self.domain.0.into();
            let (delegation, _) = grant(slot, unit, rights, domain).ok()?;
            // Half way: the name is dead already, and the slot is still in use.
            let begun = call(Call::Revoke, &[delegation]) == Err(Error::Again);
            let odd = Odd { slot: delegation, delegation: Some(delegation) };
            if begun {
                return Some(odd);
            }
            odd.end();
            return None;
        }
        let (delegation, token) = grant(slot, 0, rights, NO_SLOT.into()).ok()?;
        let bound = sys::bind(&token);
        let _ = whole(Call::Revoke, &[delegation]);
        bound.ok().map(|Slot(slot)| Odd { slot: slot.into(), delegation: None })
    }
}
