//! What caveats do to a claim: they take away, and nothing else.

use super::SealError;
use serix_abi::token::{BEARER, Caveat, Claim, Range};

/// The claim with one caveat applied.
///
/// # Errors
/// `Range` if the caveat names units that the claim does not have, `Audience` if it names another
/// domain than the claim does, `Expired` if its time has come.
pub(super) fn narrow(claim: Claim, caveat: &Caveat, now_ns: u64) -> Result<Claim, SealError> {
    let range = narrow_range(&claim, caveat.range)?;
    if caveat.expiry_ns.is_some_and(|expiry_ns| now_ns >= expiry_ns) {
        return Err(SealError::Expired);
    }
    Ok(Claim {
        rights: claim.rights.intersect(caveat.rights),
        base: range.base,
        count: range.count,
        audience: narrow_audience(claim.audience, caveat.audience)?,
        ..claim
    })
}

fn narrow_range(claim: &Claim, wanted: Option<Range>) -> Result<Range, SealError> {
    let Some(range) = wanted else {
        return Ok(Range { base: claim.base, count: claim.count });
    };
    let offset = range.base.checked_sub(claim.base).ok_or(SealError::Range)?;
    let rest = u64::from(claim.count).checked_sub(offset).ok_or(SealError::Range)?;
    if u64::from(range.count) > rest { Err(SealError::Range) } else { Ok(range) }
}

fn narrow_audience(had: u32, wanted: Option<u32>) -> Result<u32, SealError> {
    match wanted {
        None => Ok(had),
        Some(audience) if had == BEARER || had == audience => Ok(audience),
        Some(_) => Err(SealError::Audience),
    }
}
