//! Pages and devices for tests on the host.
use crate::{PAGE_SIZE, Page};
use std::sync::{Arc, Mutex};

/// A page in host memory.
#[derive(Clone)]
pub struct HostPage(Arc<Mutex<[u8; PAGE_SIZE]>>);

impl HostPage {
    /// A page of zeroes.
    #[must_use]
    pub fn zeroed() -> Self {
        Self(Arc::new(Mutex::new([0; PAGE_SIZE])))
    }
}

impl Page for HostPage {
    fn read(&self, offset: usize, into: &mut [u8]) {
        let page = self.0.lock().expect("page lock");
        into.copy_from_slice(&page[offset..offset + into.len()]);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        let mut page = self.0.lock().expect("page lock");
        page[offset..offset + from.len()].copy_from_slice(from);
    }
    fn zero(&self, offset: usize, len: usize) {
        let mut page = self.0.lock().expect("page lock");
        page[offset..offset + len].fill(0);
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
