//! Stands for QEMU, kernel and libOS in the tests of `cargo xtask run`: reads its place from QEMU's
//! arguments and the program from the manifest, and runs that program on the host, with its
//! standard streams on the link. Some program names misbehave instead.
//!
//! Where QEMU would drop bytes because its character device takes no more, this ends with status 1.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serix_link::{
    CONTROL_MAX, Cause, DATA_MAX, Decoder, Event, HEADER_LEN, Header, Hello, ReceiveCredit,
    SendCredit, Status, Stream,
};
use serix_manifest::Session;

const POWER_OFF: i32 = 33;
const PANIC: i32 = 35;
const LOADER_FAILED: i32 = 37;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--version") {
        println!("QEMU emulator version 8.0.0 (fake)");
        return;
    }
    let after = |name: &str, mark: &str| {
        let at = arguments.windows(2).find(|pair| pair[0] == name && pair[1].contains(mark));
        at.map(|pair| pair[1].clone()).unwrap_or_else(|| panic!("no {name} with {mark}"))
    };
    let path = |option: String| option.split_once("path=").expect("a path").1.to_owned();
    let log = path(after("-chardev", "id=log"));
    let link = path(after("-chardev", "id=link"));
    let modules = after("-initrd", "manifest");
    let manifest = modules.split(',').find(|module| module.ends_with("/manifest")).unwrap();
    let manifest = serix_manifest::parse(&std::fs::read(manifest).unwrap()).unwrap();
    let session = manifest.sessions.into_iter().next().unwrap();
    write_log(&log, "fake kernel up\n");
    let program = String::from_utf8_lossy(&session.program[0]).into_owned();
    match program.as_str() {
        "panic" => {
            write_log(&log, "kernel: PANIC: the sky fell\n");
            exit(PANIC);
        }
        "triple-fault" => exit(0),
        "no-kernel" => {
            write_log(&log, "loader: no kernel\n");
            exit(LOADER_FAILED);
        }
        "broken-qemu" => {
            eprintln!("qemu: something is broken");
            exit(1);
        }
        "silent-end" => exit(POWER_OFF),
        "hang" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        _ => run(&link, &session, &program),
    }
}

fn write_log(log: &str, text: &str) {
    File::options().append(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

/// What is sent to the host, and the credit for it.
struct Host {
    pipe: Mutex<File>,
    credit: Mutex<[SendCredit; 4]>,
    credit_came: Condvar,
    /// For input.
    window: Mutex<ReceiveCredit>,
    /// Most bytes of a DATA frame.
    piece: usize,
}

impl Host {
    fn send(&self, frame: &[u8]) {
        let mut pipe = self.pipe.lock().unwrap();
        let written = pipe.write(frame).unwrap_or(0);
        if written != frame.len() {
            eprintln!("fake-qemu: {} bytes dropped", frame.len() - written);
            exit(1);
        }
    }

    fn room(&self, stream: Stream) -> usize {
        let mut credit = self.credit.lock().unwrap();
        while credit[stream as usize].available() == 0 {
            credit = self.credit_came.wait(credit).unwrap();
        }
        credit[stream as usize].available().min(DATA_MAX)
    }

    fn data(&self, stream: Stream, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.room(stream);
            let wanted = rest.len().min(self.piece);
            let taken = self.credit.lock().unwrap()[stream as usize].take(wanted);
            let (piece, after) = rest.split_at(taken);
            if taken > 0 {
                self.send(&[&Header::data(stream, taken), piece].concat());
            }
            rest = after;
        }
    }

    fn status(&self, code: i32, cause: Cause, message: &str) -> ! {
        let mut buffer = [0; HEADER_LEN + CONTROL_MAX];
        let status = Status { code, cause, message: message.as_bytes() };
        let length = status.encode(&mut buffer);
        self.send(&buffer[..length]);
        exit(POWER_OFF)
    }
}

fn run(link: &str, session: &Session, program: &str) {
    let from_host = File::options().read(true).write(true).open(format!("{link}.in")).unwrap();
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut to_host = File::options();
    to_host.write(true).custom_flags(nonblocking);
    let piece = session.options.iter().find_map(|option| option.strip_prefix("piece="));
    let host = Arc::new(Host {
        pipe: Mutex::new(to_host.open(format!("{link}.out")).unwrap()),
        credit: Mutex::default(),
        credit_came: Condvar::new(),
        window: Mutex::default(),
        piece: piece.map_or(DATA_MAX, |piece| piece.parse().unwrap()),
    });
    host.send(&Hello::PLAIN.encode());
    match program {
        "garbage" => {
            host.send(&[0xff; 64]);
            std::thread::sleep(Duration::from_secs(60));
        }
        "show-drives" => {
            let drives = std::env::args().filter(|argument| argument.contains("id=disk"));
            let text: String = drives.map(|drive| drive.replace(",,", ",") + "\n").collect();
            std::thread::spawn({
                let host = Arc::clone(&host);
                move || receive(from_host, &host, None, None)
            });
            host.data(Stream::Stdout, text.as_bytes());
            host.status(0, Cause::Exited, "")
        }
        "show-sizes" => show_sizes(from_host, &host),
        "setup" => host.status(1, Cause::Setup, "no root disk"),
        "deaf" => {
            std::thread::spawn({
                let host = Arc::clone(&host);
                move || receive(from_host, &host, None, None)
            });
            loop {
                host.data(Stream::Stdout, &[b'y'; 4096]);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        _ => run_program(from_host, &host, session),
    }
}

/// Tells what the host says of its terminal.
fn show_sizes(mut from_host: File, host: &Host) {
    let (mut decoder, mut buffer) = (Decoder::new(), [0; 4096]);
    loop {
        let length = from_host.read(&mut buffer).unwrap();
        let mut bytes = &buffer[..length];
        while let Some(event) = decoder.next(&mut bytes).unwrap() {
            let (size, what) = match event {
                Event::Hello(hello) => {
                    (hello.size, if hello.terminal { "terminal" } else { "pipes" })
                }
                Event::Resize(size) => (size, "resized"),
                _ => continue,
            };
            let text = format!("{what} {}x{}\n", size.rows, size.columns);
            host.data(Stream::Stdout, text.as_bytes());
        }
    }
}

fn run_program(from_host: File, host: &Arc<Host>, session: &Session) {
    let words = session.program.iter().map(|word| std::ffi::OsString::from_vec(word.clone()));
    let words: Vec<_> = words.collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in &session.env {
        let text = String::from_utf8_lossy(variable).into_owned();
        let (key, value) = text.split_once('=').unwrap();
        if key != "PATH" {
            command.env(key, value);
        }
    }
    if session.options.iter().any(|option| option == "strace") {
        host.data(Stream::Trace, b"execve() = 0\n");
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            host.status(127, Cause::NotFound, &error.to_string())
        }
        Err(error) => host.status(126, Cause::NotExecutable, &error.to_string()),
    };
    let pumps = pump_outputs(&mut child, host);
    let input = child.stdin.take().map(|stdin| feed(stdin, host));
    let child = Arc::new(Mutex::new(child));
    std::thread::spawn({
        let (host, child) = (Arc::clone(host), Arc::clone(&child));
        move || receive(from_host, &host, input, Some(&child))
    });
    pumps.into_iter().for_each(|pump| pump.join().unwrap());
    let status = loop {
        if let Some(status) = child.lock().unwrap().try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    host.status(shell_status(status), Cause::Exited, "")
}

fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn pump_outputs(child: &mut Child, host: &Arc<Host>) -> [JoinHandle<()>; 2] {
    let outputs: [(Stream, Box<dyn Read + Send>); 2] = [
        (Stream::Stdout, Box::new(child.stdout.take().unwrap())),
        (Stream::Stderr, Box::new(child.stderr.take().unwrap())),
    ];
    outputs.map(|(stream, mut output)| {
        let host = Arc::clone(host);
        std::thread::spawn(move || {
            let mut buffer = vec![0; DATA_MAX];
            loop {
                let room = host.room(stream);
                match output.read(&mut buffer[..room]).unwrap() {
                    0 => return host.send(&serix_link::end(stream)),
                    length => host.data(stream, &buffer[..length]),
                }
            }
        })
    })
}

/// Input on its way to the program, with what it cost.
type Queue = Sender<(Vec<u8>, usize)>;

/// Writes to the program what comes in the queue. A thread of its own: a program that waits for room
/// in its output reads no input, and the room comes as a frame of the host.
fn feed(mut stdin: std::process::ChildStdin, host: &Arc<Host>) -> Queue {
    let (queue, chunks) = channel::<(Vec<u8>, usize)>();
    let host = Arc::clone(host);
    std::thread::spawn(move || {
        for (bytes, cost) in chunks {
            // A program that has ended reads no more, as in the guest.
            let _ = stdin.write_all(&bytes);
            let amount = host.window.lock().unwrap().consumed(cost);
            if let Some(amount) = amount {
                host.send(&serix_link::credit(Stream::Stdin, amount));
            }
        }
    });
    queue
}

/// Takes frames of the host. The end of standard output is SIGPIPE to the program.
fn receive(
    mut from_host: File,
    host: &Host,
    mut input: Option<Queue>,
    child: Option<&Mutex<Child>>,
) {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from_host.read(&mut buffer).unwrap();
        let mut bytes = &buffer[..length];
        while let Some(event) = decoder.next(&mut bytes).unwrap() {
            match event {
                Event::Data { bytes, cost, .. } => {
                    host.window.lock().unwrap().received(cost).unwrap();
                    // As above.
                    let _ = input.as_ref().map(|queue| queue.send((bytes.to_vec(), cost)));
                }
                Event::End(Stream::Stdin) => input = None,
                Event::End(_) => {
                    if let Some(child) = child {
                        let id = child.lock().unwrap().id().cast_signed();
                        let id = rustix::process::Pid::from_raw(id).unwrap();
                        // It may have ended by itself.
                        let _ = rustix::process::kill_process(id, rustix::process::Signal::PIPE);
                    }
                }
                Event::Credit(stream, amount) => {
                    host.credit.lock().unwrap()[stream as usize].add(amount).unwrap();
                    host.credit_came.notify_all();
                }
                Event::Hello(_) | Event::Resize(_) | Event::Status(_) => {}
            }
        }
    }
}
