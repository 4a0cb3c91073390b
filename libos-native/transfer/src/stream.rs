//! A byte stream: bytes go through frames of the stream's own.
use crate::ring::{Ring, Transfer};
use crate::runs::{Run, first_run};
use crate::{FrameMemory, TransferError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_abi::ring::{Submission, operation};
use serix_block::{PAGE_SIZE, Page};

/// Frames of one direction: what the device reads or fills at a time.
struct Buffer<P> {
    pages: Vec<P>,
    run: Run,
}

impl<P: Page> Buffer<P> {
    /// Up to `page_count` pages; fewer when memory is short or scattered, at least one.
    fn new<M: FrameMemory<Page = P>>(memory: &M, page_count: usize) -> Result<Self, TransferError> {
        let mut pages: Vec<P> = (0..page_count).map_while(|_| memory.allocate_page()).collect();
        pages.sort_by_key(|page| memory.locate(page));
        let run = first_run(memory, &pages);
        pages.truncate(run.pages);
        if pages.is_empty() {
            return Err(TransferError::NoMemory);
        }
        Ok(Self { pages, run })
    }

    fn len(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    fn start(&self, ring: &Arc<Ring>, operation: u8, target: u32, length: usize) -> Transfer {
        let submission = Submission {
            operation,
            segment_count: self.run.segment_count as u8,
            target,
            length: length as u32,
            frames: self.run.slot,
            segments: self.run.segments,
            ..Submission::default()
        };
        ring.start(submission, self.pages.clone())
    }

    /// Calls `each` with the page, offset and length of each part of `len` bytes from `start` on.
    fn parts(&self, start: usize, len: usize, mut each: impl FnMut(&P, usize, usize)) {
        let (mut at, end) = (start, start + len);
        while at < end {
            let offset = at % PAGE_SIZE;
            let part = (PAGE_SIZE - offset).min(end - at);
            each(&self.pages[at / PAGE_SIZE], offset, part);
            at += part;
        }
    }
}

/// The reading end of a stream.
pub struct StreamReader<P: Page> {
    ring: Arc<Ring>,
    slot: u32,
    buffer: Buffer<P>,
    /// Bytes in the buffer that nobody has read yet.
    unread: core::ops::Range<usize>,
    /// A read that the kernel has and whose future was dropped.
    pending: Option<Transfer>,
}

impl<P: Page> StreamReader<P> {
    /// Reads from the console slot `slot` through a buffer of up to `page_count` pages.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new<M: FrameMemory<Page = P>>(
        ring: Arc<Ring>,
        memory: &M,
        slot: u32,
        page_count: usize,
    ) -> Result<Self, TransferError> {
        let buffer = Buffer::new(memory, page_count)?;
        Ok(Self { ring, slot, buffer, unread: 0..0, pending: None })
    }

    /// Reads at least one byte, as many as there are. No byte is lost if the future is dropped.
    ///
    /// # Errors
    /// As the kernel tells.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, TransferError> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.unread.is_empty() {
            self.fill().await?;
        }
        let len = self.unread.len().min(into.len());
        let (start, mut at) = (self.unread.start, 0);
        self.buffer.parts(start, len, |page, offset, part| {
            page.read(offset, &mut into[at..at + part]);
            at += part;
        });
        self.unread.start += len;
        Ok(len)
    }

    async fn fill(&mut self) -> Result<(), TransferError> {
        let (ring, buffer, slot) = (&self.ring, &self.buffer, self.slot);
        let transfer = self
            .pending
            .get_or_insert_with(|| buffer.start(ring, operation::STREAM_READ, slot, buffer.len()));
        let outcome = transfer.await;
        self.pending = None;
        self.unread = 0..outcome?.min(self.buffer.len());
        Ok(())
    }
}

/// The writing end of a stream.
pub struct StreamWriter<P: Page> {
    ring: Arc<Ring>,
    slot: u32,
    buffer: Buffer<P>,
    /// A write that the kernel still has and whose future was dropped.
    pending: Option<Transfer>,
}

impl<P: Page> StreamWriter<P> {
    /// Writes to the console slot `slot` through a buffer of up to `page_count` pages.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new<M: FrameMemory<Page = P>>(
        ring: Arc<Ring>,
        memory: &M,
        slot: u32,
        page_count: usize,
    ) -> Result<Self, TransferError> {
        Ok(Self { ring, slot, buffer: Buffer::new(memory, page_count)?, pending: None })
    }

    /// Writes all of `bytes`. If the future is dropped, an unknown part of them is written.
    ///
    /// # Errors
    /// As the kernel tells.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), TransferError> {
        while !bytes.is_empty() {
            let written = self.write_some(bytes).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    async fn write_some(&mut self, bytes: &[u8]) -> Result<usize, TransferError> {
        if let Some(transfer) = &mut self.pending {
            // The device may still read the buffer; what became of that write is nobody's business now.
            let _ = transfer.await;
            self.pending = None;
        }
        let len = bytes.len().min(self.buffer.len());
        let mut at = 0;
        self.buffer.parts(0, len, |page, offset, part| {
            page.write(offset, &bytes[at..at + part]);
            at += part;
        });
        let transfer = self.buffer.start(&self.ring, operation::STREAM_WRITE, self.slot, len);
        let outcome = self.pending.insert(transfer).await;
        self.pending = None;
        match outcome? {
            0 => Err(TransferError::Io),
            written => Ok(written.min(len)),
        }
    }
}
