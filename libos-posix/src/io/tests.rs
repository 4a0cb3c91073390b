//! The link's two ends against a host that the test plays.
use super::link::{Failure, Frame, Link};
use super::tasks::Tasks;
use crate::file::Page;
use crate::file::pipe::{End, Pipe};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use serix_chroma::VfsError;
use serix_link::{
    Cause, DATA_MAX, Decoder, Event, HEADER_LEN, Header, Hello, INITIAL_CREDIT, Stream, WindowSize,
    credit, end,
};
use std::boxed::Box;
use std::vec;

fn frame() -> Box<Frame> {
    vec![0; HEADER_LEN + DATA_MAX].try_into().expect("a frame's room")
}

/// What the guest sends now, as events in words.
fn output(link: &Link) -> Vec<std::string::String> {
    let (mut decoder, mut buffer, mut events) = (Decoder::new(), frame(), Vec::new());
    let context = Context::from_waker(Waker::noop());
    while let Poll::Ready(length) = link.poll_output(&context, &mut buffer) {
        let mut bytes = &buffer[..length];
        while let Some(event) = decoder.next(&mut bytes).expect("legal frames") {
            events.push(match event {
                Event::Data { stream, bytes, .. } => {
                    std::format!("{stream:?} {}", bytes.len())
                }
                Event::End(stream) => std::format!("end {stream:?}"),
                Event::Credit(stream, bytes) => std::format!("credit {stream:?} {bytes}"),
                Event::Hello(_) => "hello".into(),
                Event::Resize(_) => "resize".into(),
                Event::Status(status) => std::format!("status {} {:?}", status.code, status.cause),
            });
        }
        link.sent();
    }
    events
}

fn receive(link: &Link, bytes: &[u8]) {
    let mut decoder = Decoder::new();
    let mut work = pin!(link.receive(&mut decoder, bytes));
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

fn write(pipe: &Pipe, mut bytes: &[u8]) -> Result<usize, VfsError> {
    pipe.try_write::<Page, _>(&mut bytes)
}

fn read(pipe: &Pipe, length: usize) -> Result<Vec<u8>, VfsError> {
    let mut bytes = vec![0; length];
    let got = pipe.try_read::<Page, _>(&mut bytes.as_mut_slice())?;
    bytes.truncate(got);
    Ok(bytes)
}

fn data(bytes: &[u8]) -> Vec<u8> {
    [&Header::data(Stream::Stdin, bytes.len())[..], bytes].concat()
}

#[test]
fn a_session_from_hello_to_status() {
    let link = Link::new();
    assert_eq!(output(&link), ["hello"]);
    let size = WindowSize { rows: 24, columns: 80 };
    receive(&link, &Hello { terminal: true, size, ..Hello::PLAIN }.encode());
    assert_eq!(link.terminal(), Some(size));
    receive(&link, &[&data(b"ab")[..], &end(Stream::Stdin)].concat());
    assert_eq!(read(link.stdin(), 9), Ok(b"ab".to_vec()));
    assert_eq!(read(link.stdin(), 9), Ok(vec![]), "end of file");
    write(link.output(Stream::Stdout), b"hello").unwrap();
    write(link.output(Stream::Stderr), b"!").unwrap();
    link.finish(7, Cause::Exited, b"");
    assert!(!link.is_finished());
    assert_eq!(output(&link), ["Stdout 5", "Stderr 1", "status 7 Exited"]);
    assert!(link.is_finished());
}

#[test]
fn output_waits_for_credit_stream_by_stream() {
    let link = Link::new();
    output(&link);
    let stdout = link.output(Stream::Stdout);
    let mut sent = 0;
    for _ in 0..4 {
        sent += write(stdout, &[b'x'; 65536]).unwrap_or(0);
        output(&link);
    }
    let headers = 2 * HEADER_LEN;
    assert_eq!(sent - stdout.len(), INITIAL_CREDIT as usize - headers, "all credit is used");
    link.finish(0, Cause::Exited, b"");
    write(link.output(Stream::Stderr), b"free").unwrap();
    assert_eq!(output(&link), ["Stderr 4"], "the other stream goes on, the status waits");
    receive(&link, &credit(Stream::Stdout, 1000));
    assert_eq!(output(&link), ["Stdout 992"]);
    receive(&link, &end(Stream::Stdout));
    assert_eq!(write(stdout, b"x"), Err(VfsError::BrokenPipe));
    assert_eq!(output(&link), ["status 0 Exited"]);
}

#[test]
fn input_credit_comes_back_as_it_is_read() {
    let link = Link::new();
    output(&link);
    let half = INITIAL_CREDIT as usize / 2 - HEADER_LEN;
    receive(&link, &data(&vec![1; half]));
    receive(&link, &data(&vec![2; half]));
    assert!(output(&link).is_empty(), "nothing was read");
    assert_eq!(read(link.stdin(), half).unwrap().len(), half);
    assert_eq!(output(&link), ["credit Stdin 65544"]);
    receive(&link, &data(&[3; 1000]));
    assert!(link.failure().is_none());
    receive(&link, &data(&vec![4; DATA_MAX]));
    assert!(matches!(link.failure(), Some(Failure::Protocol(_))), "more than there was credit for");
    assert!(link.is_finished());
}

#[test]
fn the_host_learns_that_nobody_reads() {
    let link = Link::new();
    output(&link);
    link.stdin().close(End::Read);
    assert_eq!(output(&link), ["end Stdin"]);
    // What was on its way is dropped, and its credit given back.
    receive(&link, &[data(&[0; 40000]), data(&[0; 30000])].concat());
    assert_eq!(output(&link), ["credit Stdin 70016"]);
    link.output(Stream::Stderr).close(End::Write);
    assert_eq!(output(&link), ["end Stderr"]);
}

#[test]
fn a_fault_of_the_host_ends_all_streams() {
    let link = Link::new();
    receive(&link, &[9; 8]);
    assert_eq!(read(link.stdin(), 1), Ok(vec![]));
    assert_eq!(write(link.output(Stream::Stdout), b"x"), Err(VfsError::BrokenPipe));
    assert!(output(&link).is_empty());
}

/// Pends `self.0` times, waking itself each time.
struct Countdown(u32, Arc<AtomicU32>);
impl Future for Countdown {
    type Output = ();
    fn poll(mut self: core::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn tasks_run_until_none_is_ready() {
    let (tasks, polls) = (Tasks::new(), Arc::new(AtomicU32::new(0)));
    tasks.spawn(Countdown(3, polls.clone()));
    tasks.spawn(Countdown(0, polls.clone()));
    tasks.spawn(core::future::pending());
    assert!(tasks.is_ready());
    tasks.run();
    assert!(!tasks.is_ready());
    assert_eq!(polls.load(Ordering::Relaxed), 5);
}
