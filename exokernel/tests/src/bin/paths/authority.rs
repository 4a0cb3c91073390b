//! Tokens and bindings.

use super::measure::{ROUNDS, measure};
use serix_abi::Error;
use serix_abi::token::Caveat;
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::log::line;
use serix_kernel_tests::{Check, Session, Test, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::time::ticks;

pub(crate) const TESTS: &[Test] =
    tests!["paths": bind, bind_with_caveats, unbind, refusing_a_token_tells_nothing];

fn bind(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    bind_of("bind-no-caveat", &token)
}

fn bind_with_caveats(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    let narrowed = (0..4)
        .try_fold(Token::from_bytes(&token).ok_or(Error::BadToken)?, |token, _| {
            token.attenuate(&Caveat::NOTHING).ok_or(Error::BadToken)
        })?;
    bind_of("bind-4-caveats", narrowed.as_bytes())
}

fn bind_of(name: &str, token: &[u8]) -> Check {
    measure(name, 1, || {
        let before = ticks();
        let slot = serix_sys::call::bind(token)?;
        let cost = ticks() - before;
        serix_sys::call::unbind(slot)?;
        Ok(cost)
    })
}

fn unbind(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    measure("unbind", 1, || {
        let slot = serix_sys::call::bind(&token)?;
        let before = ticks();
        serix_sys::call::unbind(slot)?;
        let cost = ticks() - before;
        // It is empty by now.
        if serix_sys::call::unbind(slot) == Err(Error::BadSlot) {
            Ok(cost)
        } else {
            Err(Error::Busy)
        }
    })
}

/// A forged token costs the same wherever its first wrong byte is, so that tags cannot be guessed byte by byte. Only a clock that counts
/// instructions shows it.
fn refusing_a_token_tells_nothing(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    let mut costs = [0; serix_abi::token::TAG_SIZE];
    let mut is_counted = true;
    for (at, cost) in costs.iter_mut().enumerate() {
        let mut forged = token;
        forged[serix_abi::token::HEADER_SIZE + at] ^= 1;
        let (median, is_exact) = refusal(&forged)?;
        *cost = median;
        is_counted &= is_exact;
    }
    line(format_args!("BENCH bind-refused {0} {0} {0} {ROUNDS}", costs[0]));
    if is_counted {
        ensure_eq!(costs, [costs[0]; serix_abi::token::TAG_SIZE], "instructions by position");
    }
    Ok(())
}

/// The median cost of a refused bind, and whether four in five cost exactly that: no clock but one that counts
/// instructions says so.
fn refusal(token: &[u8]) -> Result<(u64, bool), Error> {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        let before = ticks();
        let answer = serix_sys::call::bind(token);
        *place = ticks() - before;
        answer.map_or(Ok(()), |slot| serix_sys::call::unbind(slot).map(drop))?;
    }
    all.sort_unstable();
    Ok((all[ROUNDS / 2], all[ROUNDS / 10] == all[ROUNDS * 9 / 10]))
}
