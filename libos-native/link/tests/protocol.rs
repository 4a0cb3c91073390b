//! The protocol from both ends: whatever is encoded is decoded, in chunks of any size; whatever is
//! not is refused; and credit is never made or lost.

use proptest::prelude::*;
use serix_link::{
    CONTROL_MAX, Cause, DATA_MAX, Decoder, Error, Event, HEADER_LEN, Header, Hello, INITIAL_CREDIT,
    ReceiveCredit, SendCredit, Status, Stream, VERSION, WindowSize, credit, end, resize,
};

/// An event that owns its bytes, with the bytes of DATA joined.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Hello(Hello),
    Data(Stream, Vec<u8>),
    End(Stream),
    Credit(Stream, u32),
    Resize(WindowSize),
    Status(i32, Cause, Vec<u8>),
}

impl Owned {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => out.extend(hello.encode()),
            Self::Data(stream, bytes) => {
                for piece in bytes.chunks(DATA_MAX) {
                    out.extend(Header::data(*stream, piece.len()));
                    out.extend(piece);
                }
            }
            Self::End(stream) => out.extend(end(*stream)),
            Self::Credit(stream, bytes) => out.extend(credit(*stream, *bytes)),
            Self::Resize(size) => out.extend(resize(*size)),
            Self::Status(code, cause, message) => {
                let mut buffer = [0; HEADER_LEN + CONTROL_MAX];
                let length = Status { code: *code, cause: *cause, message }.encode(&mut buffer);
                out.extend(&buffer[..length]);
            }
        }
    }

    fn push(events: &mut Vec<Self>, event: Event<'_>) {
        let owned = match event {
            Event::Hello(hello) => Self::Hello(hello),
            Event::Data { stream, bytes, cost } => {
                assert!(cost == bytes.len() || cost == bytes.len() + HEADER_LEN);
                if let Some(Self::Data(last, joined)) = events.last_mut()
                    && *last == stream
                {
                    joined.extend(bytes);
                    return;
                }
                Self::Data(stream, bytes.to_vec())
            }
            Event::End(stream) => Self::End(stream),
            Event::Credit(stream, bytes) => Self::Credit(stream, bytes),
            Event::Resize(size) => Self::Resize(size),
            Event::Status(status) => {
                Self::Status(status.code, status.cause, status.message.to_vec())
            }
        };
        events.push(owned);
    }
}

fn decode_in_chunks(bytes: &[u8], chunk: usize) -> Result<(Vec<Owned>, bool), Error> {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    for mut input in bytes.chunks(chunk.max(1)) {
        while let Some(event) = decoder.next(&mut input)? {
            Owned::push(&mut events, event);
        }
        assert!(input.is_empty(), "the decoder stopped before the end of its input");
    }
    Ok((events, decoder.is_between_frames()))
}

fn stream() -> impl Strategy<Value = Stream> {
    prop::sample::select(Stream::ALL.to_vec())
}

fn size() -> impl Strategy<Value = WindowSize> {
    any::<(u16, u16)>().prop_map(|(rows, columns)| WindowSize { rows, columns })
}

fn event() -> impl Strategy<Value = Owned> {
    let cause = prop::sample::select(vec![
        Cause::Exited,
        Cause::NotFound,
        Cause::NotExecutable,
        Cause::Setup,
    ]);
    prop_oneof![
        (any::<bool>(), size()).prop_map(|(terminal, size)| Owned::Hello(Hello {
            version: VERSION,
            terminal,
            size
        })),
        (stream(), prop::collection::vec(any::<u8>(), 1..300))
            .prop_map(|(stream, bytes)| Owned::Data(stream, bytes)),
        stream()
            .prop_filter("a trace has no end", |stream| *stream != Stream::Trace)
            .prop_map(Owned::End),
        (stream(), any::<u32>()).prop_map(|(stream, bytes)| Owned::Credit(stream, bytes)),
        size().prop_map(Owned::Resize),
        (any::<i32>(), cause, prop::collection::vec(any::<u8>(), 0..=CONTROL_MAX - 5))
            .prop_map(|(code, cause, message)| Owned::Status(code, cause, message)),
    ]
}

/// Neighbouring DATA of one stream joined, as the decoder's side sees it.
fn joined(events: &[Owned]) -> Vec<Owned> {
    let mut out = Vec::new();
    for event in events {
        match event {
            Owned::Data(stream, bytes) => {
                let (stream, cost) = (*stream, bytes.len());
                Owned::push(&mut out, Event::Data { stream, bytes, cost });
            }
            other => out.push(other.clone()),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(
        events in prop::collection::vec(event(), 0..12),
        chunk in 1_usize..700,
    ) {
        let mut bytes = Vec::new();
        events.iter().for_each(|event| event.encode(&mut bytes));
        prop_assert_eq!(decode_in_chunks(&bytes, chunk), Ok((joined(&events), true)));
    }

    #[test]
    fn any_bytes_end_in_events_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        chunk in 1_usize..100,
    ) {
        let whole = decode_in_chunks(&bytes, bytes.len());
        prop_assert_eq!(decode_in_chunks(&bytes, chunk), whole);
    }

    #[test]
    fn a_legal_header_is_what_it_was(bytes in any::<[u8; HEADER_LEN]>()) {
        if let Ok(header) = Header::decode(bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn credit_is_neither_made_nor_lost(
        steps in prop::collection::vec((any::<bool>(), 0_usize..200_000), 1..200),
    ) {
        let (mut sender, mut receiver) = (SendCredit::new(), ReceiveCredit::new());
        let (mut sent, mut consumed) = (0, 0);
        for (sends, amount) in steps {
            if sends {
                let taken = sender.take(amount);
                prop_assert!(taken <= amount);
                if taken > 0 {
                    receiver.received(HEADER_LEN + taken).unwrap();
                    sent += HEADER_LEN + taken;
                }
            } else {
                let amount = amount.min(sent - consumed);
                consumed += amount;
                if let Some(bytes) = receiver.consumed(amount) {
                    sender.add(bytes).unwrap();
                }
            }
            prop_assert!(sent - consumed <= INITIAL_CREDIT as usize);
        }
        // With everything consumed, the sender can always go on.
        if let Some(bytes) = receiver.consumed(sent - consumed) {
            sender.add(bytes).unwrap();
        }
        prop_assert!(sender.available() > INITIAL_CREDIT as usize / 2 - HEADER_LEN - 1);
    }

    #[test]
    fn the_pieces_of_a_frame_cost_what_the_frame_did(
        lengths in prop::collection::vec(1_usize..3000, 1..20),
        chunk in 1_usize..500,
    ) {
        let (mut bytes, mut sent) = (Vec::new(), 0);
        for length in lengths {
            Owned::Data(Stream::Stdout, vec![b'x'; length]).encode(&mut bytes);
            sent += HEADER_LEN + length;
        }
        let (mut decoder, mut came) = (Decoder::new(), 0);
        for mut input in bytes.chunks(chunk) {
            while let Some(Event::Data { cost, .. }) = decoder.next(&mut input).unwrap() {
                came += cost;
            }
        }
        prop_assert_eq!(came, sent);
    }
}

#[test]
fn bytes_without_credit_are_refused() {
    let mut receiver = ReceiveCredit::new();
    receiver.received(INITIAL_CREDIT as usize).unwrap();
    assert_eq!(receiver.received(3), Err(Error::Overrun(3)));
    let mut sender = SendCredit::new();
    assert_eq!(sender.add(u32::MAX), Err(Error::Credit));
}

#[test]
fn each_field_of_a_header_is_checked() {
    let good = Header::data(Stream::Stdout, 5);
    let with = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        Header::decode(bytes)
    };
    assert!(Header::decode(good).is_ok());
    assert_eq!(with(0, 0), Err(Error::Kind(0)));
    assert_eq!(with(0, 7), Err(Error::Kind(7)));
    assert_eq!(with(1, 4), Err(Error::Stream(4)));
    assert_eq!(with(2, 1), Err(Error::Reserved(1)));
    assert_eq!(with(4, 0), Err(Error::Length(0)));
    assert_eq!(with(6, 1), Err(Error::Length(0x1_0005)));
    assert_eq!(with(0, 1), Err(Error::Stream(1)), "HELLO has no stream");
}

#[test]
fn a_failed_decoder_stays_failed() {
    let mut decoder = Decoder::new();
    let mut bad: &[u8] = &[9; HEADER_LEN];
    assert_eq!(decoder.next(&mut bad), Err(Error::Kind(9)));
    let bytes = end(Stream::Stdin);
    assert_eq!(decoder.next(&mut bytes.as_slice()), Err(Error::Kind(9)));
}

#[test]
fn another_version_is_refused() {
    let mut bytes = Hello::PLAIN.encode();
    bytes[HEADER_LEN] = 2;
    assert_eq!(Decoder::new().next(&mut bytes.as_slice()), Err(Error::Version(2)));
}
