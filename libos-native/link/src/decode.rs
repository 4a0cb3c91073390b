//! The incremental decoder: chunks of any size in, events out.

use crate::frame::{u16_at, u32_at};
use crate::{CONTROL_MAX, Error, HEADER_LEN, Header, Hello, Kind, Status, Stream, WindowSize};

/// What a frame, or the part of a DATA frame that is there, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The other side is there.
    Hello(Hello),
    /// Bytes of a stream. A frame that comes in pieces gives one event for each.
    Data {
        /// Which stream.
        stream: Stream,
        /// Not empty.
        bytes: &'a [u8],
        /// Credit that they took: their number, and for the first piece the header's.
        cost: usize,
    },
    /// End of file on a stream, or nobody reads it any more.
    End(Stream),
    /// So many more bytes may be sent on a stream.
    Credit(Stream, u32),
    /// The terminal's new size.
    Resize(WindowSize),
    /// The program ended.
    Status(Status<'a>),
}

enum State {
    /// `filled` bytes of a header are in the buffer.
    Header { filled: usize },
    /// `filled` bytes of a control frame's payload are in the buffer.
    Control { header: Header, filled: usize },
    /// So many bytes of a DATA frame are still to come; `header` was not accounted for yet.
    Data { stream: Stream, left: usize, header: usize },
    /// Nothing that comes is trusted any more.
    Failed(Error),
}

/// Takes the bytes of one direction as they come.
pub struct Decoder {
    state: State,
    buffer: [u8; CONTROL_MAX],
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a link.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Header { filled: 0 }, buffer: [0; CONTROL_MAX] }
    }

    /// The next event of `input`, which is advanced behind it; `None` when `input` is used up.
    ///
    /// # Errors
    /// The first fault of the byte stream, and that same one for ever after.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'a>>, Error> {
        loop {
            match self.state {
                State::Failed(error) => return Err(error),
                State::Data { stream, left, header } => {
                    return Ok(self.data(stream, left, header, input));
                }
                State::Header { filled } => {
                    if !self.header(filled, input)? {
                        return Ok(None);
                    }
                }
                State::Control { header, filled } => {
                    let wanted = header.length as usize;
                    let filled = self.fill(filled, wanted, input);
                    if filled < wanted {
                        self.state = State::Control { header, filled };
                        return Ok(None);
                    }
                    return self.control(header).map(Some);
                }
            }
        }
    }

    /// Whether the input so far ends between two frames.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header { filled: 0 })
    }

    fn data<'i>(
        &mut self,
        stream: Stream,
        left: usize,
        header: usize,
        input: &mut &'i [u8],
    ) -> Option<Event<'i>> {
        if input.is_empty() {
            return None;
        }
        let (bytes, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        self.state = match left - bytes.len() {
            0 => State::Header { filled: 0 },
            left => State::Data { stream, left, header: 0 },
        };
        Some(Event::Data { stream, bytes, cost: bytes.len() + header })
    }

    /// Takes header bytes; true once the state is that of a payload.
    fn header(&mut self, filled: usize, input: &mut &[u8]) -> Result<bool, Error> {
        let filled = self.fill(filled, HEADER_LEN, input);
        if filled < HEADER_LEN {
            self.state = State::Header { filled };
            return Ok(false);
        }
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&self.buffer[..HEADER_LEN]);
        let header = Header::decode(bytes).inspect_err(|&error| self.fail(error))?;
        self.state = match header.kind {
            Kind::Data => State::Data {
                stream: header.stream,
                left: header.length as usize,
                header: HEADER_LEN,
            },
            _ => State::Control { header, filled: 0 },
        };
        Ok(true)
    }

    fn fill(&mut self, filled: usize, wanted: usize, input: &mut &[u8]) -> usize {
        let (bytes, rest) = input.split_at((wanted - filled).min(input.len()));
        self.buffer[filled..filled + bytes.len()].copy_from_slice(bytes);
        *input = rest;
        filled + bytes.len()
    }

    fn control(&mut self, header: Header) -> Result<Event<'_>, Error> {
        self.state = State::Header { filled: 0 };
        let payload = &self.buffer[..header.length as usize];
        let event = match header.kind {
            Kind::Hello => Hello::decode(payload).map(Event::Hello),
            Kind::End => Ok(Event::End(header.stream)),
            Kind::Credit => Ok(Event::Credit(header.stream, u32_at(payload, 0))),
            Kind::Resize => Ok(Event::Resize(WindowSize {
                rows: u16_at(payload, 0),
                columns: u16_at(payload, 2),
            })),
            Kind::Status => Status::decode(payload).map(Event::Status),
            Kind::Data => Err(Error::Kind(Kind::Data as u8)),
        };
        if let Err(error) = event {
            self.state = State::Failed(error);
        }
        event
    }

    fn fail(&mut self, error: Error) {
        self.state = State::Failed(error);
    }
}
