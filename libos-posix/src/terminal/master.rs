//! The master's side of a pseudo-terminal: what a screen and a keyboard do.
use super::Terminal;
use crate::file::Page;
use crate::{Errno, Result};
use alloc::vec;
use alloc::vec::Vec;
use serix_chroma::{Destination, Source};

/// Most bytes of one read or one step of a write.
const PART: usize = 4096;
/// First byte of a read in packet mode: data follow (`TIOCPKT_DATA`).
const DATA: u8 = 0;

impl Terminal {
    /// Reads what programs wrote, and in packet mode what else happened.
    ///
    /// # Errors
    /// `EIO` once all programs have closed it and all was read, `EAGAIN`, `RESTART`, `EFAULT`.
    pub fn read_master(
        &self,
        into: &mut dyn Destination<Page>,
        is_non_blocking: bool,
    ) -> Result<usize> {
        let limit = into.remaining().min(PART);
        if limit == 0 {
            return Ok(0);
        }
        loop {
            if let Some(bytes) = self.take_for_master(limit) {
                let is_stored = into.put(&bytes) == bytes.len();
                return if is_stored { Ok(bytes.len()) } else { Err(Errno::EFAULT) };
            }
            if self.look(|state| state.is_abandoned()) {
                return Err(Errno::EIO);
            }
            if is_non_blocking {
                return Err(Errno::EAGAIN);
            }
            self.wait_for(None, |state| {
                state.discipline.output_len() > 0
                    || state.packet_events() != 0
                    || state.is_abandoned()
            })
            .map_err(|_| Errno::RESTART)?;
        }
    }

    fn take_for_master(&self, limit: usize) -> Option<Vec<u8>> {
        let (events, waiting) =
            self.look(|state| (state.packet_events(), state.discipline.output_len()));
        if events == 0 && waiting == 0 {
            return None;
        }
        Some(self.change(|state| {
            if events != 0 {
                state.discipline.clear_packet_events();
                return vec![events];
            }
            let has_packets = state.pair.as_ref().is_some_and(|pair| pair.has_packets);
            let mut bytes = if has_packets { vec![DATA] } else { Vec::new() };
            bytes.extend(state.discipline.take_output(limit - bytes.len()));
            bytes
        }))
    }

    /// Types bytes.
    ///
    /// # Errors
    /// `EAGAIN`, `RESTART`, `EFAULT`.
    pub fn write_master(
        &self,
        from: &mut dyn Source<Page>,
        is_non_blocking: bool,
    ) -> Result<usize> {
        let mut done = 0;
        loop {
            let room = self.look(|state| state.arriving_room());
            let mut part = vec![0; from.remaining().min(PART).min(room)];
            let taken = from.take(&mut part);
            self.type_bytes(&part[..taken]);
            done += taken;
            let error = if from.remaining() == 0 {
                return Ok(done);
            } else if room > 0 && taken < part.len() {
                Errno::EFAULT
            } else if room > 0 {
                continue;
            } else if is_non_blocking {
                Errno::EAGAIN
            } else if self.wait_for(None, |state| state.arriving_room() > 0).is_ok() {
                continue;
            } else {
                Errno::RESTART
            };
            return if done > 0 { Ok(done) } else { Err(error) };
        }
    }

    fn type_bytes(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.change(|state| {
            if let Some(pair) = &mut state.pair {
                pair.arriving.extend(bytes);
            }
        });
    }
}
