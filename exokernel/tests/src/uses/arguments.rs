//! What the arguments of each native call are. A call without a row does not compile.

use serix_abi::token::{Kind, Rights};
use serix_abi::{Call, Error};

/// What an argument is, and so in which ways it can be wrong.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// A slot of one of these kinds with these rights.
    Slot(&'static [Kind], Rights),
    /// As [`Self::Slot`], or none.
    OptionalSlot(&'static [Kind], Rights),
    /// A slot of any kind with these rights.
    AnySlot(Rights),
    /// A slot in use, stale or not.
    Name,
    /// A slot that `Grant` returned.
    Delegation,
    /// The address of so many bytes that the kernel reads.
    Read(u64),
    /// The address of so many bytes that the kernel writes.
    Written(u64),
    /// A page to map at.
    Page,
    /// A number that must not be one of these, with what is answered if it is.
    Number(&'static [u64], Error),
    /// Any number will do.
    Any,
}

use Argument::{Any, AnySlot, Delegation, Name, Number, OptionalSlot, Page, Read, Slot, Written};
use Error::{BadArgument, BadToken, Stale, TimedOut};

const TOO_FAR: Argument = Number(&[1 << 40, 1 << 63, u64::MAX], BadArgument);
const PAGES: Argument = Number(&[0, 1 << 36, 1 << 52, u64::MAX], BadArgument);
const FLAGS: Argument = Number(&[1 << 7, 1 << 20, 1 << 62, u64::MAX], BadArgument);
const DISPATCHER: Argument = Number(&[15, 16, 17, 1 << 32, u64::MAX], BadArgument);
const TOP_SLOT: Argument = Number(&[256, 511, 512, 1 << 32, u64::MAX], BadArgument);
const USER_ADDRESS: Argument =
    Number(&[0x7FFF_FFFF_F000, 1 << 47, 0xFFFF_8000_0000_0000, u64::MAX], BadArgument);
const SPACE: Argument = Slot(&[Kind::Environment, Kind::Subtree], Rights::MAP);
const MAPPED: Argument = Slot(&[Kind::Environment], Rights::MAP);
const ENVIRONMENT: Argument = Slot(&[Kind::Environment], Rights::CONTROL);
const DOMAIN: Argument = Slot(&[Kind::Domain], Rights::CONTROL);
const OWN_OR_DOMAIN: Argument = OptionalSlot(&[Kind::Domain], Rights::CONTROL);
const FRAMES: Argument = Slot(&[Kind::Frames], Rights::MAP);
const OWN_PAGE: Argument = Slot(&[Kind::Frames], Rights::MAP.with(Rights::WRITE));
const SIGNALLED: Argument = Slot(&[Kind::Event], Rights::SIGNAL);
const OPTIONAL_EVENT: Argument = OptionalSlot(&[Kind::Event], Rights::SIGNAL);
const RING: Argument = Slot(&[Kind::Ring], Rights::CONTROL);

/// The arguments of a call, in its order.
#[must_use]
pub const fn of(call: Call) -> &'static [Argument] {
    match call {
        Call::Null | Call::Yield | Call::EventCreate => &[],
        Call::Write => &[
            Slot(&[Kind::Console], Rights::LOG),
            Read(1),
            Number(&[1025, 4096, 1 << 32, u64::MAX], BadArgument),
        ],
        Call::Exit => &[Any],
        Call::YieldTo | Call::DispatcherStart => &[ENVIRONMENT, DISPATCHER],
        Call::Bind => &[
            Read(48),
            Number(&[0, 1, 47, 49, 79, 80, 177, 1 << 32, (1 << 32) + 48, u64::MAX], BadToken),
        ],
        Call::Unbind => &[Name],
        Call::Grant => &[AnySlot(Rights::GRANT), Read(24), Written(48)],
        Call::Revoke => &[Delegation, Any, OPTIONAL_EVENT, Any],
        Call::Map => &[SPACE, Read(24), Number(&[0, 65, 1 << 32, u64::MAX], BadArgument)],
        Call::MapRange => &[SPACE, Page, OWN_PAGE, TOO_FAR, PAGES, FLAGS],
        Call::Unmap => &[SPACE, Page, PAGES],
        Call::Protect => &[SPACE, Page, PAGES, FLAGS],
        Call::CopyRange => &[MAPPED, MAPPED, Page, PAGES],
        Call::SubtreeCreate => &[OWN_OR_DOMAIN],
        Call::Attach => &[
            MAPPED,
            TOP_SLOT,
            OptionalSlot(&[Kind::Subtree], Rights::MAP),
            Number(&[2, 1 << 32, u64::MAX], BadArgument),
        ],
        Call::SubtreeDestroy => &[Slot(&[Kind::Subtree], Rights::CONTROL)],
        Call::EnvironmentCreate => &[OWN_OR_DOMAIN, TOP_SLOT],
        Call::EnvironmentDestroy => &[ENVIRONMENT],
        Call::DispatcherCreate => &[ENVIRONMENT, Read(104)],
        Call::DomainCreate => {
            &[OPTIONAL_EVENT, Any, Number(&[1 << 32, 1 << 63, u64::MAX], BadArgument)]
        }
        Call::DomainDestroy | Call::DomainStatus => &[DOMAIN],
        Call::Fund => {
            &[OWN_OR_DOMAIN, FRAMES, TOO_FAR, Number(&[0, 1 << 52, u64::MAX], BadArgument)]
        }
        Call::EventSignal => &[SIGNALLED, Any],
        Call::EventWait => &[Slot(&[Kind::Event], Rights::WAIT), Number(&[0], BadArgument), Any],
        Call::RingCreate => &[OWN_PAGE, TOO_FAR, SIGNALLED, Any],
        Call::RingSubmit | Call::RingDestroy => &[RING],
        Call::InfoMap => &[MAPPED, Page],
        Call::SliceAssign => &[
            Slot(&[Kind::Slices], Rights::GRANT),
            TOO_FAR,
            Number(&[1 << 52, u64::MAX], BadArgument),
            DOMAIN,
        ],
        Call::EnvironmentLeave => &[ENVIRONMENT, ENVIRONMENT],
        Call::SlotQuery => &[AnySlot(Rights::NONE), Written(24)],
        Call::LedgerCheck => &[Slot(&[Kind::Console], Rights::CONTROL)],
        Call::DispatcherEntries => &[ENVIRONMENT, DISPATCHER, Read(104)],
        Call::MappingCount => &[Slot(&[Kind::Frames], Rights::NONE), TOO_FAR],
        Call::GateCreate => &[ENVIRONMENT, DISPATCHER, USER_ADDRESS, USER_ADDRESS],
        Call::GateCall => {
            &[Slot(&[Kind::Gate], Rights::CALL), Any, Any, Any, Any, Number(&[0, 1], TimedOut)]
        }
        Call::GateReply => &[Any, Any, Any, Any],
        Call::RecordSet => &[OWN_PAGE, TOO_FAR, SIGNALLED, Any],
        Call::Surrender => &[Number(&[0, 1, 1 << 63, u64::MAX], Stale)],
        Call::InterruptBind => &[Slot(&[Kind::Interrupt], Rights::CONTROL), OPTIONAL_EVENT, Any],
        Call::InterruptAcknowledge => &[Slot(&[Kind::Interrupt], Rights::CONTROL)],
        Call::PortRead => &[Slot(&[Kind::Ports], Rights::READ), TOO_FAR],
        Call::PortWrite => &[
            Slot(&[Kind::Ports], Rights::WRITE),
            TOO_FAR,
            Number(&[256, 1 << 32, u64::MAX], BadArgument),
        ],
    }
}
