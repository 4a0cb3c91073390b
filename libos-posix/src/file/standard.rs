//! The descriptors of a session's first process.
use super::description::{Description, Object};
use super::pipe::End;
use super::table::Entry;
use super::{Descriptors, block_on};
use crate::fs::vfs;
use crate::{Result, io};
use alloc::sync::Arc;
use linux_raw_sys::general::{O_RDWR, O_WRONLY};
use serix_chroma::{Credentials, OpenFlags, ResolveFlags};
use serix_link::Stream;

/// Standard input, output and errors: the link's, or `/dev/null` in a session without one.
///
/// # Errors
/// If there is neither.
pub fn descriptors() -> Result<Arc<Descriptors>> {
    let table = Descriptors::new();
    let descriptions = match io::link() {
        Some(link) => [
            Description::new(Object::Pipe(link.stdin().clone(), End::Read), 0),
            Description::new(
                Object::Pipe(link.output(Stream::Stdout).clone(), End::Write),
                O_WRONLY,
            ),
            Description::new(
                Object::Pipe(link.output(Stream::Stderr).clone(), End::Write),
                O_WRONLY,
            ),
        ],
        None => {
            let null = null()?;
            [null.clone(), null.clone(), null]
        }
    };
    for (number, description) in descriptions.into_iter().enumerate() {
        let entry = Entry { description, close_on_exec: false };
        table.with(|table| table.replace(number, entry));
    }
    Ok(table)
}

fn null() -> Result<Arc<Description>> {
    let credentials = Credentials::root();
    let context = vfs().root_context(&credentials);
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let file = block_on(vfs().open(context, b"/dev/null", flags, ResolveFlags::empty(), 0))?;
    Ok(Description::new(Object::File(file), O_RDWR))
}
