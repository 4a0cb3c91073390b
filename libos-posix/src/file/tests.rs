//! Pipes, counters and epoll, without a scheduler.
use super::Page;
use super::description::{Description, Object};
use super::epoll::{Epoll, Settings, Trigger};
use super::event::EventCounter;
use super::pipe::{End, FEW, PIPE_BUF, Pipe};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use serix_chroma::{Events, VfsError};
use std::collections::VecDeque;
use std::task::{Wake, Waker};
use std::vec;
use std::vec::Vec;

fn write(pipe: &Pipe, mut bytes: &[u8]) -> Result<usize, VfsError> {
    pipe.try_write::<Page, _>(&mut bytes)
}

fn read(pipe: &Pipe, length: usize) -> Result<Vec<u8>, VfsError> {
    let mut bytes = vec![0; length];
    let got = pipe.try_read::<Page, _>(&mut bytes.as_mut_slice())?;
    bytes.truncate(got);
    Ok(bytes)
}

fn pipe() -> Pipe {
    let pipe = Pipe::new();
    pipe.open(End::Read);
    pipe.open(End::Write);
    pipe
}

/// A pipe against a queue, with a fixed pseudo-random sequence.
#[test]
fn bytes_come_out_as_they_went_in() {
    let (pipe, mut model, mut next, mut seed) = (pipe(), VecDeque::new(), 0u8, 99u64);
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let length = (seed >> 33) as usize % if seed >> 63 == 0 { 9000 } else { 100 } + 1;
        if seed >> 62 & 1 == 0 {
            let bytes: Vec<u8> = (0..length).map(|i| next.wrapping_add(i as u8)).collect();
            let room = 65536 - model.len();
            let want = if length <= PIPE_BUF { length <= room } else { room >= PIPE_BUF };
            let got = write(&pipe, &bytes);
            assert_eq!(got.is_ok(), want, "{length} bytes, room {room}");
            let done = got.unwrap_or(0);
            assert!(done == 0 || done == length.min(room));
            model.extend(&bytes[..done]);
            next = next.wrapping_add(done as u8);
        } else {
            let want: Vec<u8> = model.drain(..length.min(model.len())).collect();
            match read(&pipe, length) {
                Ok(got) => assert_eq!(got, want),
                Err(error) => assert!(want.is_empty() && error == VfsError::WouldBlock),
            }
        }
        assert_eq!(pipe.len(), model.len());
    }
}

/// The short ways in and out mix with the long ones.
#[test]
fn few_bytes_move_in_registers() {
    let (pipe, mut model, mut next, mut seed) = (pipe(), VecDeque::new(), 0u8, 5u64);
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let count = (seed >> 40) as usize % FEW + 1;
        match seed >> 61 {
            0..=2 => {
                let bytes: Vec<u8> = (0..count).map(|i| next.wrapping_add(i as u8)).collect();
                let mut word = [0; 8];
                word[..count].copy_from_slice(&bytes);
                if !pipe.put_few(u64::from_le_bytes(word), count) {
                    assert_eq!(write(&pipe, &bytes), Ok(count), "only memory was missing");
                }
                model.extend(bytes);
                next = next.wrapping_add(count as u8);
            }
            3..=4 => {
                let want: Vec<u8> = model.iter().copied().take(count).collect();
                let got = pipe.take_few(count);
                let got = got.map(|(word, count)| word.to_le_bytes()[..count].to_vec());
                assert_eq!(got, (!want.is_empty()).then_some(want));
                model.drain(..count.min(model.len()));
            }
            5 => {
                if let Some((word, count)) = pipe.take_few(count) {
                    pipe.return_few(word, count);
                }
            }
            _ => {
                let want: Vec<u8> = model.drain(..count.min(model.len())).collect();
                assert_eq!(read(&pipe, count).unwrap_or_default(), want);
            }
        }
        assert_eq!(pipe.len(), model.len());
    }
    pipe.close(End::Read);
    assert!(!pipe.put_few(0, 1), "nobody reads");
}

#[test]
fn ends_tell_each_other() {
    let pipe = pipe();
    assert_eq!(read(&pipe, 1), Err(VfsError::WouldBlock));
    assert_eq!(write(&pipe, b"last"), Ok(4));
    pipe.close(End::Write);
    assert_eq!(pipe.poll(End::Read, Events::IN, None), Events::IN | Events::HANG_UP);
    assert_eq!(read(&pipe, 9), Ok(b"last".to_vec()));
    assert_eq!(read(&pipe, 9), Ok(vec![]));
    pipe.open(End::Write);
    pipe.close(End::Read);
    assert_eq!(write(&pipe, b"x"), Err(VfsError::BrokenPipe));
    assert_eq!(pipe.poll(End::Write, Events::OUT, None), Events::OUT | Events::ERROR);
}

#[test]
fn a_pipe_is_writable_if_an_atomic_write_fits() {
    let pipe = pipe();
    assert_eq!(write(&pipe, &[0; 65536]), Ok(65536));
    assert!(pipe.poll(End::Write, Events::OUT, None).is_empty());
    assert_eq!(read(&pipe, PIPE_BUF - 1).map(|got| got.len()), Ok(PIPE_BUF - 1));
    assert_eq!(write(&pipe, &[0; PIPE_BUF]), Err(VfsError::WouldBlock));
    assert!(pipe.poll(End::Write, Events::OUT, None).is_empty());
    assert_eq!(read(&pipe, 1).map(|got| got.len()), Ok(1));
    assert_eq!(pipe.poll(End::Write, Events::OUT, None), Events::OUT);
    assert_eq!(write(&pipe, &[0; PIPE_BUF + 1]), Ok(PIPE_BUF));
}

#[test]
fn the_limit_of_a_pipe_changes() {
    let pipe = pipe();
    assert_eq!(pipe.set_limit(5000), Ok(8192));
    assert_eq!(write(&pipe, &[7; 10000]), Ok(8192));
    assert_eq!(pipe.set_limit(4096), Err(VfsError::Busy));
    assert_eq!(pipe.set_limit(1 << 20), Ok(1 << 20));
    assert_eq!(pipe.set_limit((1 << 20) + 1), Err(VfsError::Permission));
    assert_eq!(read(&pipe, 10000), Ok(vec![7; 8192]));
}

#[test]
fn counters_count() {
    let counter = EventCounter::new(2, false);
    counter.try_add(3).unwrap();
    assert_eq!(counter.try_take(), Ok(5));
    assert_eq!(counter.try_take(), Err(VfsError::WouldBlock));
    counter.try_add(u64::MAX - 1).unwrap();
    assert_eq!(counter.try_add(1), Err(VfsError::WouldBlock));
    assert_eq!(counter.try_add(u64::MAX), Err(VfsError::Invalid));
    assert_eq!(counter.poll(Events::IN | Events::OUT, None), Events::IN);
    let semaphore = EventCounter::new(2, true);
    assert_eq!([semaphore.try_take(), semaphore.try_take()], [Ok(1), Ok(1)]);
    assert!(semaphore.try_take().is_err());
}

#[derive(Default)]
struct Count(AtomicU32);
impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn readable(trigger: Trigger, data: u64) -> Settings {
    Settings { events: Events::IN, trigger, data }
}

fn reported(epoll: &Epoll) -> Vec<u64> {
    epoll.collect(10, None).iter().map(|settings| settings.data).collect()
}

#[test]
fn epoll_reports_levels_edges_and_once() {
    let pipe = Arc::new(pipe());
    let end = Description::new(Object::Pipe(pipe.clone(), End::Read), 0);
    let (level, edge, once) = (Epoll::default(), Epoll::default(), Epoll::default());
    level.add(3, &end, readable(Trigger::empty(), 1)).unwrap();
    edge.add(3, &end, readable(Trigger::EDGE, 2)).unwrap();
    once.add(3, &end, readable(Trigger::ONE_SHOT, 3)).unwrap();
    assert_eq!(once.add(3, &end, readable(Trigger::EDGE, 0)), Err(VfsError::Exists));
    let all = || [reported(&level), reported(&edge), reported(&once)];
    assert_eq!(all(), [vec![], vec![], vec![]]);

    let count = Arc::new(Count::default());
    assert!(level.collect(1, Some(&Waker::from(count.clone()))).is_empty());
    write(&pipe, b"a").unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(all(), [vec![1], vec![2], vec![3]]);
    assert_eq!(all(), [vec![1], vec![], vec![]]);
    write(&pipe, b"b").unwrap();
    assert_eq!(all(), [vec![1], vec![2], vec![]]);
    once.modify(3, &end, readable(Trigger::ONE_SHOT, 4)).unwrap();
    assert_eq!(all(), [vec![1], vec![], vec![4]]);
    assert_eq!(level.poll(Events::IN, None), Events::IN);

    read(&pipe, 9).unwrap();
    assert_eq!(all(), [vec![], vec![], vec![]]);
    level.remove(3, &end).unwrap();
    assert_eq!(level.remove(3, &end), Err(VfsError::NotFound));
    write(&pipe, b"c").unwrap();
    assert_eq!(reported(&level), []);
    drop(end);
    assert_eq!(reported(&edge), [], "the description is gone");
}
