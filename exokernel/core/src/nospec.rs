//! Speculation-safe indices.
//!
//! Owns one function. A bounds check alone does not stop a CPU from loading past the bound while the
//! branch is still undecided (Spectre variant 1); an index masked by data flow cannot leave the bound even then.

use core::hint::black_box;

/// `index` if it is below `bound`, else 0; by arithmetic alone, with no branch to mispredict.
///
/// To be used after the check that decides the error, on the index that the load takes. `bound` is
/// from 1 to `isize::MAX` (any slice's length); a larger one may give 0 for an index that is inside.
#[inline(always)]
#[must_use]
pub fn mask_index(index: usize, bound: usize) -> usize {
    // The compiler may not know that this is the index that the caller compared, or it would fold
    // the mask into "inside". The masked value is the one that came back, whatever it is.
    let index = black_box(index);
    // The top bit is set if the index is huge or `bound - 1 - index` is negative.
    let outside = index | bound.wrapping_sub(1).wrapping_sub(index);
    index & !((outside.cast_signed() >> (usize::BITS - 1)).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::mask_index;

    #[test]
    fn keeps_what_is_inside_and_zeroes_the_rest() {
        const HUGE: usize = isize::MAX as usize;
        for bound in [1, 2, 3, 64, 4096, HUGE] {
            for index in [0, 1, 2, 63, 64, 65, 4095, 4096, HUGE - 1, HUGE, HUGE + 1, usize::MAX] {
                let expected = if index < bound { index } else { 0 };
                assert_eq!(mask_index(index, bound), expected, "{index} of {bound}");
            }
        }
    }
}
