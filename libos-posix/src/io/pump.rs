//! The two tasks that move bytes between the link and the machine's stream.
use super::link::{Failure, Frame, Link};
use crate::file::Page;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::future::poll_fn;
use serix_link::{DATA_MAX, Decoder, HEADER_LEN};
use serix_transfer::{StreamReader, StreamWriter, TransferError};

/// Passes on what the host sends, until the stream fails.
pub(super) async fn input(link: Arc<Link>, mut stream: StreamReader<Page>) {
    let mut decoder = Box::new(Decoder::new());
    let mut bytes = vec![0; DATA_MAX];
    loop {
        match stream.read(&mut bytes).await {
            Ok(length) if length > 0 => link.receive(&mut decoder, &bytes[..length]).await,
            Ok(_) => return link.fail(Failure::Device(TransferError::Io)),
            Err(error) => return link.fail(Failure::Device(error)),
        }
    }
}

/// Sends what programs write, until the last frame is sent or the stream fails.
pub(super) async fn output(link: Arc<Link>, mut stream: StreamWriter<Page>) {
    let mut frame: Box<Frame> = match vec![0; HEADER_LEN + DATA_MAX].try_into() {
        Ok(frame) => frame,
        Err(_) => return link.fail(Failure::Device(TransferError::NoMemory)),
    };
    while !link.is_finished() {
        let length = poll_fn(|context| link.poll_output(context, &mut frame)).await;
        if let Err(error) = stream.write(&frame[..length]).await {
            return link.fail(Failure::Device(error));
        }
        link.sent();
    }
}
