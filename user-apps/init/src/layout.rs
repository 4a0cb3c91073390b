//! Where a session's first pages lie, in its address space and in its first run of frames.
//!
//! Session memory starts with image, start block (with the manifest text behind it), one unmapped guard page
//! and the stack. The first run of frames starts with image, stack, dispatcher page and the domain's account. The
//! start block has a run of its own: it is written when the tokens of all other frames exist.

use serix_session::{IMAGE_ADDRESS, START_STACK_SIZE, SessionStart};

const PAGE: u64 = serix_abi::PAGE_SIZE as u64;
/// Pages of the start stack.
pub const STACK_PAGES: u64 = START_STACK_SIZE / PAGE;
/// Frames of a domain's account, next to those for its page tables: environment, dispatcher, tables of the
/// private slots, binding table.
const ACCOUNT_BASE: u64 = 64;
/// Frames for the tables of each 2 MiB of image.
const ACCOUNT_PER_TABLE: u64 = 3;

/// The sizes that all places follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pages of the image, holes included.
    pub image_pages: u64,
    /// Pages of the start block.
    pub start_pages: u64,
}

impl Layout {
    /// The layout around an image of `image_pages` and a manifest text of `text_size` bytes.
    #[must_use]
    pub const fn new(image_pages: u64, text_size: u64) -> Self {
        let start_size = size_of::<SessionStart>() as u64 + text_size;
        Self { image_pages, start_pages: start_size.div_ceil(PAGE) }
    }

    /// Address of the start block.
    #[must_use]
    pub const fn start_address(&self) -> u64 {
        IMAGE_ADDRESS + self.image_pages * PAGE
    }

    /// Address of the manifest text.
    #[must_use]
    pub const fn text_address(&self) -> u64 {
        self.start_address() + size_of::<SessionStart>() as u64
    }

    /// Lowest address of the stack.
    #[must_use]
    pub const fn stack_address(&self) -> u64 {
        self.start_address() + (self.start_pages + 1) * PAGE
    }

    /// End of the stack and of what is mapped in session memory.
    #[must_use]
    pub const fn memory_end(&self) -> u64 {
        self.stack_address() + START_STACK_SIZE
    }

    /// First frame of the stack.
    #[must_use]
    pub const fn stack_unit(&self) -> u64 {
        self.image_pages
    }

    /// Frame of the dispatcher page.
    #[must_use]
    pub const fn dispatcher_unit(&self) -> u64 {
        self.stack_unit() + STACK_PAGES
    }

    /// First frame of the account.
    #[must_use]
    pub const fn account_unit(&self) -> u64 {
        self.dispatcher_unit() + 1
    }

    /// Frames of the account.
    #[must_use]
    pub const fn account_frames(&self) -> u64 {
        ACCOUNT_BASE + ACCOUNT_PER_TABLE * self.image_pages.div_ceil(512)
    }

    /// Frames at the start of the first run that the session cannot have any more.
    #[must_use]
    pub const fn frames_used(&self) -> u64 {
        self.account_unit() + self.account_frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let layout = Layout::new(3, 100);
        assert_eq!(layout.start_pages, 1);
        assert_eq!(layout.start_address(), IMAGE_ADDRESS + 3 * PAGE);
        assert_eq!(layout.stack_address(), IMAGE_ADDRESS + 5 * PAGE);
        assert_eq!(layout.memory_end(), IMAGE_ADDRESS + (5 + STACK_PAGES) * PAGE);
        assert_eq!((layout.stack_unit(), layout.dispatcher_unit()), (3, 3 + STACK_PAGES));
        assert_eq!(layout.frames_used(), 4 + STACK_PAGES + ACCOUNT_BASE + ACCOUNT_PER_TABLE);
    }

    #[test]
    fn a_long_text_takes_more_pages() {
        let most = serix_manifest::TEXT_MAX as u64;
        let layout = Layout::new(1, most);
        assert!(layout.text_address() + most <= layout.start_address() + layout.start_pages * PAGE);
        assert_eq!(layout.text_address() % 8, 0);
    }
}
