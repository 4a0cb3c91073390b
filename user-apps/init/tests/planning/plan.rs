//! From manifest to what each session gets.

use crate::common::{MemoryDisk, elf, good_segments};
use serix_abi::start::Framebuffer;
use serix_init::error::{Failure, Reason};
use serix_init::frames::{FramePool, Piece};
use serix_init::gpt::{GptError, Table};
use serix_init::inventory::{CoreSlices, DiskDevice, Inventory};
use serix_init::plan::{SessionPlan, Tables, devices, plan};
use serix_manifest::parse;
use serix_session::Purpose;
use serix_sys::Slot;

const FRAMES: u64 = 8192;

fn inventory() -> Inventory {
    Inventory {
        environment: Slot(0),
        objects: 800,
        frames: vec![
            Piece { slot: Slot(1), first: 0, count: 200 },
            Piece { slot: Slot(2), first: 0, count: FRAMES },
        ],
        slices: vec![
            CoreSlices { core: 0, slot: Slot(3), count: 32 },
            CoreSlices { core: 1, slot: Slot(4), count: 32 },
        ],
        disks: vec![DiskDevice { number: 0, slot: Slot(5), sectors: 2048 }],
        log: Some(Slot(6)),
        link: Some(Slot(7)),
        framebuffer: Some((Slot(8), 3, Framebuffer { width: 64, ..Framebuffer::default() })),
        ports: vec![Slot(9), Slot(10)],
        interrupts: vec![(1, Slot(11)), (12, Slot(12))],
        modules: vec!["libos".into(), "broken".into()],
    }
}

fn tables(inventory: &Inventory, text: &str) -> Tables {
    let mut disk = MemoryDisk::with_partitions(2048, &[("root", 34, 99), ("home", 100, 199)]);
    devices(&parse(text.as_bytes()).unwrap(), inventory)
        .into_iter()
        .map(|(name, device)| (name, (device, Table::read(&mut disk))))
        .collect()
}

fn plan_on(
    inventory: &Inventory,
    tables: &Tables,
    text: &str,
) -> Result<Vec<SessionPlan<'static>>, Failure> {
    let image: &'static [u8] = elf(&good_segments()).leak();
    let manifest = parse(text.as_bytes()).unwrap();
    let mut pool = FramePool::new(inventory.frames.clone());
    let module = |index| if index == 0 { image } else { b"no image".as_slice() };
    plan(&manifest, inventory, &mut pool, tables, module)
}

fn plan_of(text: &str) -> Result<Vec<SessionPlan<'static>>, Failure> {
    let inventory = inventory();
    plan_on(&inventory, &tables(&inventory, text), text)
}

fn reason(text: &str) -> Reason {
    match plan_of(text).unwrap_err() {
        Failure::Session(name, reason) => {
            assert_eq!(name, "b");
            reason
        }
        other => panic!("{other}"),
    }
}

const GOOD: &str = "[session a]\nlibos = libos\nmemory = 4M\n";

#[test]
fn rest_is_what_the_others_leave() {
    let text =
        "[session a]\nlibos = libos\nmemory = rest\n[session b]\nlibos = libos\nmemory = 8M\n";
    let plans = plan_of(text).unwrap();
    assert_eq!(plans[1].memory.iter().map(|p| p.count).sum::<u64>(), 2048);
    let rest: u64 = plans[0].memory.iter().map(|p| p.count).sum();
    let start_blocks: u64 = plans.iter().map(|plan| plan.start_block.count).sum();
    assert_eq!(rest + 2048 + start_blocks, FRAMES + 200);
    assert_eq!(plans[0].memory[0].slot, Slot(2), "the largest run comes first");
}

#[test]
fn nothing_is_given_twice() {
    let text = "[session a]\nlibos = libos\nmemory = 4M\ndisk r = disk0:root rw\ncores = 2\n\
                [session b]\nlibos = libos\nmemory = rest\ncores = all\ndisk h = disk0:home ro\n";
    let plans = plan_of(text).unwrap();
    let mut pieces: Vec<Piece> = plans
        .iter()
        .flat_map(|plan| {
            let disks = plan.disks.iter().map(|disk| disk.sectors);
            let own = plan.memory.iter().chain(&plan.slices).copied();
            own.chain(disks).chain([plan.start_block]).collect::<Vec<_>>()
        })
        .collect();
    pieces.sort_by_key(|piece| (piece.slot, piece.first));
    for pair in pieces.windows(2) {
        let apart = pair[0].slot != pair[1].slot || pair[0].first + pair[0].count <= pair[1].first;
        assert!(apart, "{pair:?}");
    }
    assert!(plans[0].disks[0].writable && !plans[1].disks[0].writable);
    assert_eq!(plans[0].disks[0].sectors, Piece { slot: Slot(5), first: 34, count: 66 });
    assert_eq!(plans[0].slices[1], Piece { slot: Slot(4), first: 0, count: 8 });
    assert_eq!(plans[1].slices[1], Piece { slot: Slot(4), first: 8, count: 8 });
}

#[test]
fn sessions_take_turns_on_the_cores() {
    let text = "[session a]\nlibos = libos\nmemory = 4M\n[session b]\nlibos = libos\nmemory = 4M\n\
                [session c]\nlibos = libos\nmemory = 4M\n";
    let slots = |plan: &SessionPlan<'_>| plan.slices.iter().map(|piece| piece.slot).collect();
    let cores: Vec<Vec<Slot>> = plan_of(text).unwrap().iter().map(slots).collect();
    assert_eq!(cores, [[Slot(3)], [Slot(4)], [Slot(3)]]);
}

#[test]
fn the_text_of_a_session_is_its_own_part() {
    let plans =
        plan_of(&format!("{GOOD}[session b]\nlibos = libos\nmemory = 4M\noption = x\n")).unwrap();
    assert!(plans[0].text.contains("session a") && !plans[0].text.contains("option"));
    let own = parse(plans[1].text.as_bytes()).unwrap();
    assert_eq!(own.sessions, [plans[1].session.clone()]);
}

#[test]
fn each_impossible_wish_is_told() {
    let with = |entries: &str| reason(&format!("{GOOD}[session b]\n{entries}"));
    assert_eq!(with("libos = none\nmemory = 4M\n"), Reason::NoModule("none".into()));
    assert!(matches!(with("libos = broken\nmemory = 4M\n"), Reason::Image(..)));
    assert!(matches!(with("libos = libos\nmemory = 64K\n"), Reason::TooSmall(kib) if kib > 64));
    assert!(matches!(with("libos = libos\nmemory = 1G\n"), Reason::Memory(1_048_576, _)));
    let slices = with("libos = libos\nmemory = 4M\ncores = 2\nslices = 24\n");
    assert_eq!(slices, Reason::Slices(0, 24, 23));
    assert_eq!(with("libos = libos\nmemory = 4M\ncores = 3\n"), Reason::Cores(3, 2));
    let disk = |entry: &str| with(&format!("libos = libos\nmemory = 4M\ndisk d = {entry}\n"));
    assert_eq!(disk("disk1:root ro"), Reason::NoDevice("disk1".into(), 1));
    assert_eq!(disk("disk0:usr ro"), Reason::NoPartition("disk0".into(), "usr".into()));
    let long = with("libos = libos\nmemory = 4M\ndisk a234567890123456z = disk0:root ro\n");
    assert!(matches!(long, Reason::LongName(_)));
}

#[test]
fn a_partition_is_given_once() {
    let disk = "libos = libos\nmemory = 4M\ndisk d = disk0:root ro\n";
    let text = format!("[session a]\n{disk}[session b]\n{disk}");
    assert_eq!(reason(&text), Reason::Taken("disk0".into(), "root".into()));
}

#[test]
fn sessions_share_the_kernels_objects() {
    let text = "[session a]\nlibos = libos\nmemory = 4M\n[session b]\nlibos = libos\nmemory = 4M\n";
    let shares: Vec<u64> = plan_of(text).unwrap().iter().map(|plan| plan.share).collect();
    assert_eq!(shares, [350, 350], "an eighth is init's");
    assert_eq!(plan_of(GOOD).unwrap()[0].share, 700);
}

#[test]
fn devices_are_given_whole_and_once() {
    let text = "[session a]\nlibos = libos\nmemory = 4M\ndevice = keyboard\n\
                [session b]\nlibos = libos\nmemory = 4M\ndevice = framebuffer\n";
    let plans = plan_of(text).unwrap();
    let parts = |plan: &SessionPlan<'_>| -> Vec<_> {
        plan.devices.iter().map(|part| (part.purpose, part.name, part.slot.0)).collect()
    };
    let ports = [9, 10].map(|slot| (Purpose::Ports, "keyboard", slot));
    let lines = [("keyboard", 11), ("mouse", 12)];
    let lines = lines.map(|(name, slot)| (Purpose::Interrupt, name, slot));
    assert_eq!(parts(&plans[0]), [ports, lines].concat());
    assert_eq!(parts(&plans[1]), [(Purpose::DeviceFrames, "framebuffer", 8)]);
    assert_eq!((plans[0].framebuffer.width, plans[1].framebuffer.width), (0, 64));
    let twice = format!("{text}device = keyboard\n");
    assert_eq!(reason(&twice), Reason::DeviceTaken("keyboard"));
}

#[test]
fn a_machine_without_what_is_asked_says_so() {
    let text = "[session b]\nlibos = libos\nmemory = 4M\ndisk d = disk0:root ro\nconsole = link\n";
    let bare = Inventory { disks: vec![], ..inventory() };
    let failure = plan_on(&bare, &tables(&bare, text), text).unwrap_err();
    assert!(failure.to_string().contains("this machine has no disks"), "{failure}");
    let mute = Inventory { link: None, ..inventory() };
    let failure = plan_on(&mute, &tables(&mute, text), text).unwrap_err();
    assert!(failure.to_string().contains("no link to the host"), "{failure}");
    // With a screen it is not missed.
    let seen = format!("{text}device = framebuffer\n");
    assert!(plan_on(&mute, &tables(&mute, &seen), &seen).is_ok());
    // An optional device is not missed either.
    let modest = "[session b]\nlibos = libos\nmemory = 4M\ndevice = keyboard optional\n";
    let bare = Inventory { ports: vec![], interrupts: vec![], ..inventory() };
    assert!(plan_on(&bare, &tables(&bare, modest), modest).unwrap()[0].devices.is_empty());
    for (device, words) in [("framebuffer", "no framebuffer"), ("keyboard", "no keyboard")] {
        let bare =
            Inventory { framebuffer: None, ports: vec![], interrupts: vec![], ..inventory() };
        let text = format!("[session b]\nlibos = libos\nmemory = 4M\ndevice = {device}\n");
        let failure = plan_on(&bare, &tables(&bare, &text), &text).unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
    }
    let inventory = inventory();
    let mut bad = tables(&inventory, text);
    bad.get_mut("disk0").unwrap().1 = Err(GptError::NoTable);
    let failure = plan_on(&inventory, &bad, text).unwrap_err();
    assert_eq!(failure.to_string(), "session b: `disk0` has no GPT partition table");
}

#[test]
fn a_start_block_has_room_for_all_tokens() {
    let name = |n: usize| format!("disk d{n} = disk0:p{n} ro\n");
    let partitions: Vec<_> = (0..28).map(|n| (format!("p{n}"), 34 + n, 34 + n)).collect();
    let partitions: Vec<_> =
        partitions.iter().map(|(name, a, b)| (name.as_str(), *a, *b)).collect();
    let mut disk = MemoryDisk::with_partitions(2048, &partitions);
    let inventory = inventory();
    let device = inventory.disks[0];
    let tables = Tables::from([("disk0".into(), (device, Table::read(&mut disk)))]);
    let text = |count: usize| {
        let disks: String = (0..count).map(name).collect();
        format!("[session b]\nlibos = libos\nmemory = 4M\n{disks}")
    };
    assert!(plan_on(&inventory, &tables, &text(27)).is_ok());
    let failure = plan_on(&inventory, &tables, &text(28)).unwrap_err();
    assert_eq!(failure, Failure::Session("b".into(), Reason::TooMany));
}
