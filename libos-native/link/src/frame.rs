//! Headers and the payloads of fixed form, and their bytes.

use core::fmt;

use crate::{CONTROL_MAX, DATA_MAX, HEADER_LEN, MESSAGE_MAX, VERSION};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// First frame of each side.
    Hello = 1,
    /// Bytes of a stream.
    Data = 2,
    /// End of file; from the receiver of a stream: nobody reads it any more.
    End = 3,
    /// So many more bytes may be sent on a stream.
    Credit = 4,
    /// The host's terminal has a new size.
    Resize = 5,
    /// The program ended; last frame of the guest.
    Status = 6,
}

/// The byte streams of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Host to guest.
    Stdin = 0,
    /// Guest to host.
    Stdout = 1,
    /// Guest to host.
    Stderr = 2,
    /// Guest to host: the trace of Linux calls.
    Trace = 3,
}

impl Stream {
    /// All streams, by number.
    pub const ALL: [Self; 4] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Trace];

    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Stdin),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::Trace),
            _ => None,
        }
    }
}

impl Kind {
    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Hello),
            2 => Some(Self::Data),
            3 => Some(Self::End),
            4 => Some(Self::Credit),
            5 => Some(Self::Resize),
            6 => Some(Self::Status),
            _ => None,
        }
    }

    /// Lengths that a payload of this kind may have, both ends included.
    const fn lengths(self) -> (usize, usize) {
        match self {
            Self::Hello => (8, 8),
            Self::Data => (1, DATA_MAX),
            Self::End => (0, 0),
            Self::Credit | Self::Resize => (4, 4),
            Self::Status => (5, CONTROL_MAX),
        }
    }

    const fn allows(self, stream: Stream) -> bool {
        match self {
            Self::Data | Self::Credit => true,
            Self::End => !matches!(stream, Stream::Trace),
            Self::Hello | Self::Resize | Self::Status => matches!(stream, Stream::Stdin),
        }
    }
}

/// Why bytes are not a frame. The link cannot go on after any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No frame has this kind.
    Kind(u8),
    /// No stream of this number, or none that goes with the frame's kind.
    Stream(u8),
    /// The reserved field is not zero.
    Reserved(u16),
    /// Too short or too long for the frame's kind.
    Length(u32),
    /// The other side speaks this version.
    Version(u16),
    /// The other side sent this many bytes more than it had credit for.
    Overrun(u32),
    /// Credit of more than 2^32 - 1 bytes.
    Credit,
    /// A STATUS frame with this unknown cause.
    Cause(u8),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "unknown frame kind {kind}"),
            Self::Stream(stream) => write!(f, "stream {stream} does not go with the frame"),
            Self::Reserved(value) => write!(f, "reserved field is {value:#x}"),
            Self::Length(length) => {
                write!(f, "payload of {length} bytes does not go with the frame")
            }
            Self::Version(version) => write!(f, "the other side speaks version {version}"),
            Self::Overrun(bytes) => write!(f, "{bytes} bytes sent without credit"),
            Self::Credit => write!(f, "credit overflow"),
            Self::Cause(cause) => write!(f, "unknown cause {cause} of a status"),
        }
    }
}

impl core::error::Error for Error {}

/// The eight bytes before each payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Which stream it concerns; stdin where the kind has none.
    pub stream: Stream,
    /// Bytes of payload that follow.
    pub length: u32,
}

impl Header {
    /// The header of a DATA frame; follow it by `length` bytes.
    ///
    /// # Panics
    /// If `length` is 0 or above [`DATA_MAX`].
    #[must_use]
    pub const fn data(stream: Stream, length: usize) -> [u8; HEADER_LEN] {
        assert!(length > 0 && length <= DATA_MAX);
        Self { kind: Kind::Data, stream, length: length as u32 }.encode()
    }

    /// The bytes of this header.
    #[must_use]
    pub const fn encode(self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.length.to_le_bytes();
        [self.kind as u8, self.stream as u8, 0, 0, a, b, c, d]
    }

    /// Checks that `bytes` are the header of a legal frame.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub const fn decode(bytes: [u8; HEADER_LEN]) -> Result<Self, Error> {
        let [kind, stream, r0, r1, a, b, c, d] = bytes;
        let (reserved, length) = (u16::from_le_bytes([r0, r1]), u32::from_le_bytes([a, b, c, d]));
        let Some(kind) = Kind::from_u8(kind) else { return Err(Error::Kind(kind)) };
        let stream = match Stream::from_u8(stream) {
            Some(stream) if kind.allows(stream) => stream,
            _ => return Err(Error::Stream(stream)),
        };
        if reserved != 0 {
            return Err(Error::Reserved(reserved));
        }
        let (least, most) = kind.lengths();
        if (length as usize) < least || length as usize > most {
            return Err(Error::Length(length));
        }
        Ok(Self { kind, stream, length })
    }
}

/// A terminal's size in characters; zero by zero when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// The first frame of each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's protocol version.
    pub version: u16,
    /// Standard input and output are one terminal.
    pub terminal: bool,
    /// Size of that terminal; zero from the guest.
    pub size: WindowSize,
}

impl Hello {
    /// What a side without a terminal says; the guest always.
    pub const PLAIN: Self =
        Self { version: VERSION, terminal: false, size: WindowSize { rows: 0, columns: 0 } };

    /// The whole frame.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN + 8] {
        let header = Header { kind: Kind::Hello, stream: Stream::Stdin, length: 8 };
        let (size, flags) = (self.size, u16::from(self.terminal));
        let fields = [self.version, flags, size.rows, size.columns];
        let mut bytes = [0; HEADER_LEN + 8];
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        for (to, field) in bytes[HEADER_LEN..].chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Error> {
        let version = u16_at(payload, 0);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let terminal = u16_at(payload, 2) & 1 != 0;
        let size = WindowSize { rows: u16_at(payload, 4), columns: u16_at(payload, 6) };
        Ok(Self { version, terminal, size })
    }
}

/// Why the program is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// It ran and exited, or a signal ended it.
    Exited = 0,
    /// There is no such program.
    NotFound = 1,
    /// It is there and cannot be run.
    NotExecutable = 2,
    /// The guest could not come so far (no disk, no memory, …).
    Setup = 3,
}

/// The last frame of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// As a shell would see it: 0–255, 128 + n for signal n.
    pub code: i32,
    /// Whether the program ran at all.
    pub cause: Cause,
    /// For people, UTF-8, one line; may be empty.
    pub message: &'a [u8],
}

impl Status<'_> {
    /// Writes the whole frame to the start of `buffer` and gives its length. A message longer than
    /// [`MESSAGE_MAX`] is cut.
    #[must_use]
    pub fn encode(&self, buffer: &mut [u8; HEADER_LEN + CONTROL_MAX]) -> usize {
        let message = &self.message[..self.message.len().min(MESSAGE_MAX)];
        let length = 5 + message.len();
        let header = Header { kind: Kind::Status, stream: Stream::Stdin, length: length as u32 };
        buffer[..HEADER_LEN].copy_from_slice(&header.encode());
        buffer[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&self.code.to_le_bytes());
        buffer[HEADER_LEN + 4] = self.cause as u8;
        buffer[HEADER_LEN + 5..HEADER_LEN + length].copy_from_slice(message);
        HEADER_LEN + length
    }
}

impl<'a> Status<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Error> {
        let cause = match payload[4] {
            0 => Cause::Exited,
            1 => Cause::NotFound,
            2 => Cause::NotExecutable,
            3 => Cause::Setup,
            other => return Err(Error::Cause(other)),
        };
        Ok(Self { code: u32_at(payload, 0).cast_signed(), cause, message: &payload[5..] })
    }
}

/// An END frame.
///
/// # Panics
/// For the trace, which has no end.
#[must_use]
pub const fn end(stream: Stream) -> [u8; HEADER_LEN] {
    assert!(Kind::End.allows(stream));
    Header { kind: Kind::End, stream, length: 0 }.encode()
}

/// A CREDIT frame: `bytes` more may be sent to me on `stream`.
#[must_use]
pub fn credit(stream: Stream, bytes: u32) -> [u8; HEADER_LEN + 4] {
    with_payload(Header { kind: Kind::Credit, stream, length: 4 }, bytes.to_le_bytes())
}

/// A RESIZE frame.
#[must_use]
pub fn resize(size: WindowSize) -> [u8; HEADER_LEN + 4] {
    let ([a, b], [c, d]) = (size.rows.to_le_bytes(), size.columns.to_le_bytes());
    with_payload(Header { kind: Kind::Resize, stream: Stream::Stdin, length: 4 }, [a, b, c, d])
}

fn with_payload(header: Header, payload: [u8; 4]) -> [u8; HEADER_LEN + 4] {
    let mut bytes = [0; HEADER_LEN + 4];
    bytes[..HEADER_LEN].copy_from_slice(&header.encode());
    bytes[HEADER_LEN..].copy_from_slice(&payload);
    bytes
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
