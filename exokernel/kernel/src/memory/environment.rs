//! Environments: address spaces, what is attached in them, and their dispatchers.
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::layout::USER_TOP_SLOTS;
use serix_abi::token::{Kind, Rights};
use serix_core::{DomainId, NodeId};
use serix_hal::memory::paging::Root;

/// Dispatchers of one environment.
pub(crate) const MAX_DISPATCHERS: usize = 16;
/// Subtrees attached in one environment.
const MAX_ATTACHMENTS: usize = 8;

/// An address space of a domain.
pub(crate) struct Environment {
    pub(crate) domain: u32,
    /// The same domain, by its id.
    pub(crate) owner: DomainId,
    pub(crate) node: NodeId,
    pub(crate) root: Root,
    pub(crate) dispatchers: [Option<u32>; MAX_DISPATCHERS],
    /// Top-level slot and subtree of each attachment.
    attachments: [Option<(u16, u32)>; MAX_ATTACHMENTS],
    /// Set by the first step of its destruction: nothing runs in it any more.
    pub(crate) ending: bool,
}

impl Environment {
    /// A dispatcher by its number here.
    #[inline(always)]
    pub(crate) fn dispatcher(&self, number: u64) -> Result<u32, Error> {
        if self.ending {
            return Err(Error::Dead);
        }
        let number = usize::try_from(number).map_err(|_| Error::BadArgument)?;
        self.dispatchers.get(number).copied().flatten().ok_or(Error::BadArgument)
    }
}

impl Kernel {
    /// Makes an environment in `owner`, bound in the table of `caller`.
    pub(crate) fn environment_create(
        &mut self,
        caller: u32,
        owner: u32,
        window_slot: u64,
    ) -> Result<u32, Error> {
        let window = match window_slot {
            slot if slot < USER_TOP_SLOTS => Some(slot as usize),
            slot if slot == u64::from(serix_abi::NO_SLOT) => None,
            _ => return Err(Error::BadArgument),
        };
        let id = self.resources.domains.get(owner).ok_or(Error::Dead)?.id;
        let index = self.environments.next().ok_or(Error::TableFull)?;
        let node = self.object_node(owner, Kind::Environment, index)?;
        let made = self.environment_parts(owner, window);
        let (frame, root) = match made {
            Ok(parts) => parts,
            Err(error) => {
                self.drop_node(node);
                return Err(error);
            }
        };
        let environment = Environment {
            domain: owner,
            owner: id,
            node,
            root,
            dispatchers: [None; MAX_DISPATCHERS],
            attachments: [None; MAX_ATTACHMENTS],
            ending: false,
        };
        self.environments.insert(frame, environment);
        self.resources.count_object(owner, Kind::Environment, true);
        let rights = Rights::CONTROL.with(Rights::MAP).with(Rights::GRANT);
        self.resources
            .bind_node(caller, node, rights, index)
            .inspect_err(|_| while self.environment_end_step(index) {})
    }

    fn environment_parts(
        &mut self,
        owner: u32,
        window: Option<usize>,
    ) -> Result<(serix_hal::memory::frames::OwnedFrame, Root), Error> {
        let frame = self.resources.take_object(owner)?;
        let root = self
            .resources
            .tables(owner)
            .and_then(|(frames, mut source)| Root::environment(frames, window, &mut source));
        match root {
            Some(root) => Ok((frame, root)),
            None => {
                self.resources.put_object(owner, frame);
                Err(Error::NoFrames)
            }
        }
    }

    /// The environment in a slot.
    #[inline(always)]
    pub(crate) fn environment(&self, caller: u32, slot: u32, rights: Rights) -> Result<u32, Error> {
        self.resources.lookup(caller, slot, Kind::Environment, rights).map(|binding| binding.object)
    }

    /// An environment that is not being destroyed.
    #[inline(always)]
    pub(crate) fn live_environment(&self, index: u32) -> Result<&Environment, Error> {
        self.environments.get(index).filter(|space| !space.ending).ok_or(Error::Dead)
    }

    /// Attaches a subtree of the same domain, or detaches what is there.
    pub(crate) fn attach(
        &mut self,
        environment: u32,
        top_slot: u64,
        subtree: Option<u32>,
        writable: bool,
    ) -> Result<(), Error> {
        if top_slot >= USER_TOP_SLOTS {
            return Err(Error::BadArgument);
        }
        let slot = top_slot as u16;
        let space = self.environments.get_mut(environment).ok_or(Error::Dead)?;
        if space.ending {
            return Err(Error::Dead);
        }
        let Some(subtree) = subtree else {
            return self.detach(environment, slot);
        };
        let tree = self.subtrees.get_mut(subtree).ok_or(Error::Dead)?;
        if tree.domain != space.domain {
            return Err(Error::Denied);
        }
        let place = space.attachments.iter().position(Option::is_none).ok_or(Error::TableFull)?;
        if !space.root.attach(slot.into(), &tree.root, writable) {
            return Err(Error::Busy);
        }
        space.attachments[place] = Some((slot, subtree));
        tree.attachments += 1;
        Ok(())
    }

    fn detach(&mut self, environment: u32, slot: u16) -> Result<(), Error> {
        let space = self.environments.get_mut(environment).ok_or(Error::Dead)?;
        let place = space
            .attachments
            .iter()
            .position(|attached| attached.is_some_and(|(at, _)| at == slot))
            .ok_or(Error::BadArgument)?;
        if let Some((_, subtree)) = space.attachments[place].take()
            && let Some(tree) = self.subtrees.get_mut(subtree)
        {
            space.root.detach(slot.into(), &tree.root);
            tree.attachments -= 1;
        }
        Ok(())
    }

    /// Goes on destroying an environment; false when it is gone. Nothing may run in it any more.
    pub(crate) fn environment_end_step(&mut self, index: u32) -> bool {
        let Some(space) = self.environments.get_mut(index) else { return false };
        if !space.ending || space.dispatchers.iter().any(Option::is_some) {
            space.ending = true;
            self.end_dispatchers(index);
            return true;
        }
        if let Some((slot, _)) = space.attachments.iter().flatten().next() {
            let slot = *slot;
            return self.detach(index, slot).is_ok();
        }
        let owner = space.domain;
        let Some((frames, mut source)) = self.resources.tables(owner) else { return false };
        if space.root.tear_down_step(frames, &mut source) {
            return true;
        }
        let node = space.node;
        if self.delegations_end_step(owner, node) {
            return true;
        }
        if let Some(frame) = self.take_apart_environment(index, owner) {
            self.resources.put_object(owner, frame);
            self.resources.count_object(owner, Kind::Environment, false);
        }
        self.drop_node(node);
        false
    }

    /// Ends the dispatchers of an environment; those that run on other cores end in a later call.
    fn end_dispatchers(&mut self, index: u32) {
        for number in 0..MAX_DISPATCHERS {
            let known = self.environments.get(index).and_then(|space| space.dispatchers[number]);
            let ended = known.is_none_or(|dispatcher| self.dispatcher_end(dispatcher));
            if ended && let Some(space) = self.environments.get_mut(index) {
                space.dispatchers[number] = None;
            }
        }
    }

    fn take_apart_environment(
        &mut self,
        index: u32,
        owner: u32,
    ) -> Option<serix_hal::memory::frames::OwnedFrame> {
        let (frame, space) = self.environments.remove_value(index)?;
        let (frames, mut source) = self.resources.tables(owner)?;
        space.root.free(frames, &mut source);
        Some(frame)
    }
}
