//! What the parser takes, what it says about the rest, and that the writer is its inverse.

use proptest::prelude::*;
use serix_manifest::{
    Access, Console, Cores, Device, DeviceUse, Disk, Manifest, Memory, Restart, SESSIONS_MAX,
    Session, TEXT_MAX, parse,
};

const EXAMPLE: &str = r##"
# comment
[session main]
libos = libos-posix              # boot module that holds the libOS
memory = rest                    # or 48M: frames for the session
cores = all                      # or a number of cores
slices = 4                       # time slices on each
disk root = disk0:serix-root rw  # NAME = DEVICE:PARTITION
disk data = disk1:data ro
device = framebuffer
device = keyboard  optional
console = link log
program = "/bin/sh" "-c" "echo \"#hi\" \\ \x80\xFF\n\t" ""   # quoted
env = "PATH=/bin"
env = "EMPTY="
option = strace
restart = on-failure

  [session   other]
libos=libos-native
memory=48M
"##;

fn example() -> Manifest {
    let disk = |name: &str, device: &str, partition: &str, access| Disk {
        name: name.into(),
        device: device.into(),
        partition: partition.into(),
        access,
    };
    let main = Session {
        cores: Cores::All,
        slices: 4,
        disks: vec![
            disk("root", "disk0", "serix-root", Access::ReadWrite),
            disk("data", "disk1", "data", Access::ReadOnly),
        ],
        devices: vec![
            DeviceUse { device: Device::Framebuffer, optional: false },
            DeviceUse { device: Device::Keyboard, optional: true },
        ],
        console: Console { link: true, log: true },
        program: vec![
            b"/bin/sh".to_vec(),
            b"-c".to_vec(),
            b"echo \"#hi\" \\ \x80\xff\n\t".to_vec(),
            Vec::new(),
        ],
        env: vec![b"PATH=/bin".to_vec(), b"EMPTY=".to_vec()],
        options: vec!["strace".into()],
        restart: Restart::OnFailure,
        ..Session::new("main", "libos-posix", Memory::Rest)
    };
    let other = Session::new("other", "libos-native", Memory::Bytes(48 << 20));
    Manifest { sessions: vec![main, other] }
}

#[test]
fn the_example_is_read() {
    assert_eq!(parse(EXAMPLE.as_bytes()), Ok(example()));
}

/// Parses a session whose third and later lines are `lines`; the message without its line, which
/// must be `line`.
fn message(line: usize, lines: &str) -> String {
    let text = format!("[session a]\nlibos = x\nmemory = 1M\n{lines}\n");
    let error = parse(text.as_bytes()).expect_err(lines);
    assert_eq!(error.line, line, "{error}");
    error.to_string()
}

#[test]
fn errors_name_the_line_and_what_was_expected() {
    let cases = [
        ("nonsense", "KEY = VALUE"),
        ("colour = red", "KEY = VALUE"),
        ("cores = 0", "`all` or a number of cores from 1, found `0`"),
        ("slices =", "a value after `=`"),
        ("device = mouse", "framebuffer or keyboard, and perhaps `optional`, found `mouse`"),
        ("device = keyboard perhaps", "found `keyboard perhaps`"),
        ("slices = 0", "a number of slices from 1, found `0`"),
        ("slices = -1", "a number of slices"),
        ("slices = 4294967296", "a number of slices"),
        ("libos = y", "this key once"),
        ("console = screen", "link, log, link log or none"),
        ("restart = always", "never or on-failure"),
        ("program = sh", "a string in double quotes"),
        ("program = \"sh", "a closing quote"),
        ("program = \"a\"\"b\"", "a blank between two strings"),
        ("program = \"\\q\"", "one of the escapes"),
        ("program = \"\\x4\"", "one of the escapes"),
        ("program = \"\\x+4\"", "one of the escapes"),
        ("program = \"\\x00\"", "one of the escapes"),
        ("program = \"\0\"", "without a zero byte"),
        ("env = \"PATH\"", "one string \"NAME=VALUE\""),
        ("env = \"=x\"", "one string \"NAME=VALUE\""),
        ("env = \"A=1\" \"B=2\"", "one string \"NAME=VALUE\""),
        ("option = two words", "one word"),
        ("disk root = disk0 rw", "DEVICE:PARTITION and rw or ro"),
        ("disk root = disk0:p", "DEVICE:PARTITION and rw or ro"),
        ("disk root = disk0:p rx", "DEVICE:PARTITION and rw or ro"),
        ("disk r/t = disk0:p rw", "a name of up to 64"),
        ("disk = disk0:p rw", "KEY = VALUE"),
    ];
    for (text, expected) in cases {
        let message = message(4, text);
        assert!(message.contains(expected), "{text:?} gave {message:?}");
    }
    assert!(message(5, "disk r = d:p rw\ndisk r = d:q rw").contains("no other disk"));
    assert!(message(5, "device = keyboard\ndevice = keyboard").contains("each device once"));
    assert!(message(5, "\n[session a]").contains("no other session"));
    assert!(message(4, "[session]").contains("[session NAME]"));
    assert!(message(4, "[session b").contains("[session NAME]"));
    assert!(message(4, "[session b]\nlibos = x").contains("an entry `memory`"));
    assert!(message(4, "[session b]\nmemory = 1M").contains("an entry `libos`"));
}

#[test]
fn sizes_are_checked() {
    let memory = |value: &str| {
        let text = format!("[session a]\nlibos = x\nmemory = {value}\n");
        parse(text.as_bytes()).map(|manifest| manifest.sessions[0].memory)
    };
    assert_eq!(memory("4096"), Ok(Memory::Bytes(4096)));
    assert_eq!(memory("2G"), Ok(Memory::Bytes(2 << 30)));
    for bad in ["0", "0M", "M", "-1M", "1.5M", "1T", "17179869184G", "rest rest"] {
        assert_eq!(memory(bad).map_err(|error| error.line), Err(3), "{bad}");
    }
}

#[test]
fn a_whole_manifest_is_bounded() {
    let session = |index: usize| format!("[session s{index}]\nlibos = x\nmemory = 1M\n");
    let many = |count: usize| (0..count).map(session).collect::<String>();
    assert!(parse(many(SESSIONS_MAX).as_bytes()).is_ok());
    assert_eq!(parse(many(SESSIONS_MAX + 1).as_bytes()).unwrap_err().line, 3 * SESSIONS_MAX + 1);
    let long = format!("{}#{}", session(0), "x".repeat(TEXT_MAX));
    assert!(parse(long.as_bytes()).unwrap_err().to_string().contains("64 KiB"));
    assert!(parse(b"").unwrap_err().to_string().contains("[session NAME]"));
    assert!(parse(b"libos = x").unwrap_err().to_string().contains("[session NAME]"));
    assert_eq!(parse(b"[session a]\n\xff").unwrap_err().line, 2);
    let two = "[session a]\nlibos = x\nmemory = rest\n[session b]\nlibos = x\nmemory = rest\n";
    assert_eq!(parse(two.as_bytes()).unwrap_err().line, 4);
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.-]{1,12}"
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1_u8.., 0..20)
}

fn disks() -> impl Strategy<Value = Vec<Disk>> {
    let access = prop::sample::select(vec![Access::ReadOnly, Access::ReadWrite]);
    let disk = (name(), name(), access);
    prop::collection::vec(disk, 0..3).prop_map(|disks| {
        let named = disks.into_iter().enumerate();
        let disk = |(index, (device, partition, access))| Disk {
            name: format!("d{index}"),
            device,
            partition,
            access,
        };
        named.map(disk).collect()
    })
}

fn session() -> impl Strategy<Value = Session> {
    let console = any::<(bool, bool)>().prop_map(|(link, log)| Console { link, log });
    let restart = prop::sample::select(vec![Restart::Never, Restart::OnFailure]);
    let variable = word().prop_map(|value| [b"NAME=".as_slice(), &value].concat());
    let devices =
        (prop::sample::subsequence(Device::ALL.to_vec(), 0..=Device::ALL.len()), any::<bool>());
    let devices = devices.prop_map(|(devices, optional)| {
        devices.into_iter().map(|device| DeviceUse { device, optional }).collect::<Vec<_>>()
    });
    let lists = (
        disks(),
        devices,
        prop::collection::vec(word(), 0..4),
        prop::collection::vec(variable, 0..4),
        prop::collection::vec("[!$-~]{1,10}", 0..3),
    );
    let cores = prop_oneof![Just(Cores::All), (1_u32..).prop_map(Cores::Count)];
    (name(), 1_u64.., (cores, 1_u32..), console, restart, lists).prop_map(
        |(
            libos,
            bytes,
            (cores, slices),
            console,
            restart,
            (disks, devices, program, env, options),
        )| {
            Session {
                cores,
                slices,
                disks,
                devices,
                console,
                program,
                env,
                options,
                restart,
                ..Session::new("", &libos, Memory::Bytes(bytes))
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(mut sessions in prop::collection::vec(session(), 1..4)) {
        for (index, session) in sessions.iter_mut().enumerate() {
            session.name = format!("s{index}");
        }
        let manifest = Manifest { sessions };
        prop_assert_eq!(parse(manifest.to_string().as_bytes()), Ok(manifest));
    }

    #[test]
    fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(manifest) = parse(&bytes) {
            prop_assert_eq!(parse(manifest.to_string().as_bytes()), Ok(manifest));
        }
    }

    #[test]
    fn damaged_manifests_are_read_or_refused(at in 0..EXAMPLE.len(), byte in any::<u8>()) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(manifest) = parse(&bytes) {
            prop_assert_eq!(parse(manifest.to_string().as_bytes()), Ok(manifest));
        }
    }
}
