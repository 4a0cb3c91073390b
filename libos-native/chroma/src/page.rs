//! Where pages come from.

/// The libOS's supply of pages for cached data.
pub trait PageSource<P>: Send + Sync + 'static {
    /// A page with unspecified contents, or `None` when memory is short. Chroma fills or zeroes it
    /// before anyone sees it, and evicts and asks again on `None`.
    fn allocate(&self) -> Option<P>;

    /// How many hold `page`: handles, mappings by programs and devices together. Chroma asks about
    /// pages that it holds itself; those that others hold too are pinned in the cache.
    fn holders(&self, page: &P) -> usize;
}
