//! Starting a session: the kernel calls, in the order in which each has what it needs.
//!
//! Image, stack and dispatcher page are filled while their frames are still init's; then the frames are delegated, pay
//! for the domain's address space, and are mapped in it. The start block comes last: it holds the tokens of all others.

use alloc::vec::Vec;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::{Grant, MapFlags};
use serix_abi::token::Rights;
use serix_abi::{PAGE_SIZE, token};
use serix_session::{
    DISPATCHER_ADDRESS, IMAGE_ADDRESS, MAX_TOKENS, NamedToken, Purpose, SESSION_MAGIC,
    SESSION_TOP_SLOT,
};
use serix_sys::{Error, Slot, call};

use crate::error::Reason;
use crate::frames::Piece;
use crate::layout::STACK_PAGES;
use crate::machine::{Machine, bits};
use crate::plan::SessionPlan;
use crate::raw::Space;
use crate::start_block::StartBlock;

/// The manifest's word for a session whose end is followed by a ledger check, and who may ask for one itself.
pub const OPTION_AUDIT: &str = "audit";

/// A session's domain and what was given to it.
pub struct Domain {
    /// The domain.
    pub slot: Slot,
    /// Its environment and subtree.
    pub objects: Vec<Slot>,
    /// What was delegated to it.
    pub delegations: Vec<Slot>,
}

type Result<T> = core::result::Result<T, Reason>;

/// Names the step that a kernel error happened in.
trait During<T> {
    fn during(self, step: &'static str) -> Result<T>;
}

impl<T> During<T> for core::result::Result<T, Error> {
    fn during(self, step: &'static str) -> Result<T> {
        self.map_err(|error| Reason::Kernel(step, error))
    }
}

/// Starts a session, whose end will signal the event's bit of `index`.
///
/// # Errors
/// The step that failed; nothing of the session is left then.
pub fn start(machine: &mut Machine, plan: &SessionPlan<'_>, index: usize) -> Result<Domain> {
    let event = machine.event;
    let slot = machine
        .account
        .paying(|| call::domain_create(event, bits::ended(index), plan.share))
        .during("make a domain")?;
    let domain = Domain { slot: Slot(slot as u32), objects: Vec::new(), delegations: Vec::new() };
    let mut starter = Starter { machine, plan, domain, tokens: Vec::new() };
    match starter.run() {
        Ok(()) => Ok(starter.domain),
        Err(reason) => {
            let Starter { machine, domain, .. } = starter;
            machine.take_back(domain);
            Err(reason)
        }
    }
}

struct Starter<'m, 'p> {
    machine: &'m mut Machine,
    plan: &'p SessionPlan<'p>,
    domain: Domain,
    tokens: Vec<NamedToken>,
}

impl Starter<'_, '_> {
    fn run(&mut self) -> Result<()> {
        self.fill_image()?;
        let memory = self.delegate_memory()?;
        self.fund(memory)?;
        let (environment, subtree) = self.spaces(memory)?;
        self.delegate_objects(environment, subtree)?;
        self.delegate_disks()?;
        self.delegate_devices()?;
        self.delegate_consoles()?;
        self.delegate_slices()?;
        self.start_block(subtree)?;
        self.dispatcher(environment, memory)?;
        self.slices()
    }

    fn fill_image(&mut self) -> Result<()> {
        let layout = &self.plan.layout;
        let head = Piece { count: layout.account_unit(), ..self.plan.memory[0] };
        let fill = |page: u64, bytes: &mut [u8; PAGE_SIZE]| {
            if page < layout.image_pages {
                self.plan.image.fill(page, bytes);
            }
        };
        let Machine { window, account, .. } = &mut *self.machine;
        window.fill(account, head, fill).during("fill the image")
    }

    /// The delegation of the first run.
    fn delegate_memory(&mut self) -> Result<Slot> {
        const STEP: &str = "delegate memory";
        for &piece in &self.plan.memory {
            self.delegate(Purpose::Frames, [0; 16], piece, Rights::ALL).during(STEP)?;
        }
        Ok(self.domain.delegations[0])
    }

    fn fund(&mut self, memory: Slot) -> Result<()> {
        let layout = &self.plan.layout;
        let frames =
            Piece { slot: memory, first: layout.account_unit(), count: layout.account_frames() };
        crate::raw::fund(self.domain.slot, frames).during("pay for the domain")
    }

    fn spaces(&mut self, memory: Slot) -> Result<(Space, Space)> {
        let subtree = Space::subtree(self.domain.slot).during("make session memory")?;
        self.domain.objects.push(subtree.slot());
        let environment = Space::environment(self.domain.slot).during("make an environment")?;
        self.domain.objects.push(environment.slot());
        self.map_image(subtree, memory).during("map the image")?;
        let layout = &self.plan.layout;
        let page = Piece { slot: memory, first: layout.dispatcher_unit(), count: 1 };
        environment.map(DISPATCHER_ADDRESS, page, DATA).during("map the dispatcher page")?;
        environment.map_info().during("map the information page")?;
        environment.attach(SESSION_TOP_SLOT, subtree).during("attach session memory")?;
        Ok((environment, subtree))
    }

    fn map_image(&self, subtree: Space, memory: Slot) -> core::result::Result<(), Error> {
        for segment in &self.plan.image.segments {
            let address = IMAGE_ADDRESS + segment.first_page * PAGE_SIZE as u64;
            let piece = Piece { slot: memory, first: segment.first_page, count: segment.pages };
            subtree.map(address, piece, segment.flags)?;
        }
        let layout = &self.plan.layout;
        let stack = Piece { slot: memory, first: layout.stack_unit(), count: STACK_PAGES };
        subtree.map(layout.stack_address(), stack, DATA)
    }

    fn delegate_objects(&mut self, environment: Space, subtree: Space) -> Result<()> {
        let objects = [(Purpose::Environment, environment), (Purpose::SessionMemory, subtree)];
        for (purpose, space) in objects {
            self.delegate_whole(purpose, space.slot(), Rights::ALL).during("delegate an object")?;
        }
        Ok(())
    }

    fn delegate_disks(&mut self) -> Result<()> {
        let plan = self.plan;
        for disk in &plan.disks {
            let write = if disk.writable { Rights::WRITE } else { Rights::NONE };
            let rights = Rights::READ.with(Rights::GRANT).with(write);
            self.delegate(Purpose::Disk, disk.name, disk.sectors, rights)
                .during("delegate a disk extent")?;
        }
        Ok(())
    }

    fn delegate_devices(&mut self) -> Result<()> {
        let plan = self.plan;
        for device in &plan.devices {
            let mut name = [0; 16];
            name[..device.name.len()].copy_from_slice(device.name.as_bytes());
            let count = call::slot_query(device.slot).during("look at a device")?.count;
            let units = Piece { slot: device.slot, first: 0, count };
            self.delegate(device.purpose, name, units, Rights::ALL).during("delegate a device")?;
        }
        Ok(())
    }

    fn delegate_consoles(&mut self) -> Result<()> {
        const STEP: &str = "delegate a console";
        let session = &self.plan.session;
        let (link, log) = (self.machine.inventory.link, self.machine.inventory.log);
        if let Some(link) = link.filter(|_| session.console.link) {
            let rights = Rights::READ.with(Rights::WRITE);
            self.delegate_whole(Purpose::Link, link, rights).during(STEP)?;
        }
        if let Some(log) = log.filter(|_| session.console.log) {
            let audits = session.options.iter().any(|option| option == OPTION_AUDIT);
            let control = if audits { Rights::CONTROL } else { Rights::NONE };
            self.delegate_whole(Purpose::Log, log, Rights::LOG.with(control)).during(STEP)?;
        }
        Ok(())
    }

    /// The slices' tokens are for domains that the session makes; as many cores as the start block has room for.
    fn delegate_slices(&mut self) -> Result<()> {
        let plan = self.plan;
        for &slices in plan.slices.iter().take(MAX_TOKENS - self.tokens.len()) {
            self.delegate(Purpose::Slices, [0; 16], slices, Rights::ALL)
                .during("delegate slices")?;
        }
        Ok(())
    }

    /// Delegates all units of a slot.
    fn delegate_whole(
        &mut self,
        purpose: Purpose,
        slot: Slot,
        rights: Rights,
    ) -> serix_sys::Result<()> {
        let count = call::slot_query(slot)?.count;
        self.delegate(purpose, [0; 16], Piece { slot, first: 0, count }, rights)
    }

    /// Delegates with those of `rights` that the slot has, and keeps the token for the start block.
    fn delegate(
        &mut self,
        purpose: Purpose,
        name: [u8; 16],
        units: Piece,
        rights: Rights,
    ) -> serix_sys::Result<()> {
        let (sealed, delegation) = self.grant(units, rights)?;
        self.domain.delegations.push(delegation);
        let purpose = purpose as u32;
        self.tokens.push(NamedToken {
            purpose,
            reserved: 0,
            count: units.count,
            name,
            token: sealed,
        });
        Ok(())
    }

    fn grant(
        &mut self,
        units: Piece,
        rights: Rights,
    ) -> serix_sys::Result<([u8; token::ROOT_SIZE], Slot)> {
        let held = Rights(call::slot_query(units.slot)?.rights);
        let parameters = Grant {
            first: units.first,
            count: units.count,
            rights: held.intersect(rights).0,
            reserved: 0,
            domain: self.domain.slot.0,
        };
        self.machine.account.paying(|| call::grant(units.slot, &parameters))
    }

    /// Writes the start block while its frames are init's, then gives them away without a token.
    fn start_block(&mut self, subtree: Space) -> Result<()> {
        const STEP: &str = "map the start block";
        debug_assert!(self.tokens.len() <= MAX_TOKENS);
        let (plan, layout) = (self.plan, &self.plan.layout);
        let block = StartBlock {
            magic: SESSION_MAGIC,
            memory_end: layout.memory_end(),
            frames_used: layout.frames_used(),
            text_address: layout.text_address(),
            text: plan.text.as_bytes(),
            tokens: &self.tokens,
            framebuffer: plan.framebuffer,
        };
        let fill = |page: u64, bytes: &mut [u8; PAGE_SIZE]| block.fill(page, bytes);
        let Machine { window, account, .. } = &mut *self.machine;
        window.fill(account, plan.start_block, fill).during("fill the start block")?;
        let (_, delegation) = self.grant(plan.start_block, Rights::ALL).during(STEP)?;
        self.domain.delegations.push(delegation);
        let piece = Piece { slot: delegation, first: 0, count: layout.start_pages };
        subtree.map(layout.start_address(), piece, DATA).during(STEP)
    }

    fn dispatcher(&mut self, environment: Space, memory: Slot) -> Result<()> {
        let layout = &self.plan.layout;
        let parameters = DispatcherParameters {
            frames: memory.0,
            unit: layout.dispatcher_unit() as u32,
            page_address: DISPATCHER_ADDRESS,
            rip: self.plan.image.entry,
            rsp: layout.memory_end(),
            argument: layout.start_address(),
            upcalls_disabled: 1,
            ..DispatcherParameters::default()
        };
        environment.dispatcher(&parameters).during("make a dispatcher")
    }

    fn slices(&mut self) -> Result<()> {
        for slices in &self.plan.slices {
            call::slice_assign(slices.slot, slices.first, slices.count, self.domain.slot)
                .during("give slices")?;
        }
        Ok(())
    }
}

/// How data is mapped.
const DATA: MapFlags = MapFlags(MapFlags::WRITE.0 | MapFlags::NO_EXECUTE.0);
