//! The descriptors of a process: small numbers for open file descriptions.
use super::description::Description;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_chroma::{VfsError, VfsResult};
use spin::Mutex;

/// One descriptor.
#[derive(Clone)]
pub struct Entry {
    /// What it names.
    pub description: Arc<Description>,
    /// Whether `exec` closes it.
    pub close_on_exec: bool,
}

/// The numbers in use and what they name.
///
/// What a call takes out of the table is given back to the caller, to be dropped once the table's lock is
/// free: closing may take other locks and wake threads.
#[derive(Clone, Default)]
pub struct Table {
    entries: Vec<Option<Entry>>,
    /// No number below this one is free.
    first_free: usize,
}

/// The descriptors of a process, or of several that share them.
#[derive(Default)]
pub struct Descriptors(Mutex<Table>);

impl core::fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.0.lock().numbers(0)).finish()
    }
}

impl Drop for Descriptors {
    /// The last process that used the table ends, and its record locks with it.
    fn drop(&mut self) {
        self.close_all();
    }
}

impl Descriptors {
    /// No descriptors.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Uses the table. What `work` takes out of it, it answers.
    #[inline]
    pub fn with<R>(&self, work: impl FnOnce(&mut Table) -> R) -> R {
        work(&mut self.0.lock())
    }

    /// What a number names.
    ///
    /// # Errors
    /// `BadDescriptor`.
    #[inline]
    pub fn get(&self, number: i32) -> VfsResult<Arc<Description>> {
        self.0.lock().get(number)
    }

    /// A table of its own with the same descriptors: what `fork` makes.
    #[must_use]
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.0.lock().clone())))
    }

    /// Closes what `execve` closes.
    pub fn close_for_exec(&self) {
        let closed = self.with(Table::remove_for_exec);
        closed.iter().for_each(super::current::closed);
    }

    /// Closes everything.
    pub fn close_all(&self) {
        let closed = self.with(|table| table.remove_where(0, usize::MAX, |_| true));
        closed.iter().for_each(super::current::closed);
    }
}

impl Table {
    /// No descriptors.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), first_free: 0 }
    }

    /// The entry of a number.
    ///
    /// # Errors
    /// `BadDescriptor`.
    #[inline]
    pub fn entry(&self, number: i32) -> VfsResult<&Entry> {
        let entry = self.entries.get(number as usize).and_then(Option::as_ref);
        entry.ok_or(VfsError::BadDescriptor)
    }

    /// What a number names.
    ///
    /// # Errors
    /// `BadDescriptor`.
    #[inline]
    pub fn get(&self, number: i32) -> VfsResult<Arc<Description>> {
        self.entry(number).map(|entry| entry.description.clone())
    }

    /// Sets whether `exec` closes a descriptor.
    ///
    /// # Errors
    /// `BadDescriptor`.
    pub fn set_close_on_exec(&mut self, number: i32, value: bool) -> VfsResult<()> {
        let entry = self.entries.get_mut(number as usize).and_then(Option::as_mut);
        entry.ok_or(VfsError::BadDescriptor)?.close_on_exec = value;
        Ok(())
    }

    /// The lowest free number from `least` on, below `limit`.
    ///
    /// # Errors
    /// [`NoDescriptor`] if all are in use.
    pub fn vacant(&self, least: usize, limit: usize) -> Result<usize, NoDescriptor> {
        let mut number = self.first_free.max(least);
        while self.entries.get(number).is_some_and(Option::is_some) {
            number += 1;
        }
        if number < limit { Ok(number) } else { Err(NoDescriptor) }
    }

    /// Gives a description the lowest free number from `least` on, below `limit`.
    ///
    /// # Errors
    /// [`NoDescriptor`] if all are in use.
    pub fn insert(
        &mut self,
        entry: Entry,
        least: usize,
        limit: usize,
    ) -> Result<i32, NoDescriptor> {
        let number = self.vacant(least, limit)?;
        if least <= self.first_free {
            self.first_free = number + 1;
        }
        self.place(number, entry);
        Ok(number as i32)
    }

    /// Puts a description at a number; what was there is given back.
    pub fn replace(&mut self, number: usize, entry: Entry) -> Option<Entry> {
        self.place(number, entry)
    }

    fn place(&mut self, number: usize, entry: Entry) -> Option<Entry> {
        if number >= self.entries.len() {
            self.entries.resize(number + 1, None);
        }
        self.entries[number].replace(entry)
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// `BadDescriptor`.
    pub fn remove(&mut self, number: i32) -> VfsResult<Entry> {
        let entry = self.entries.get_mut(number as usize).and_then(Option::take);
        let entry = entry.ok_or(VfsError::BadDescriptor)?;
        self.first_free = self.first_free.min(number as usize);
        Ok(entry)
    }

    /// Takes out all descriptors from `first` to `last` for which `wanted` holds.
    pub fn remove_where(
        &mut self,
        first: usize,
        last: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<Entry> {
        let mut removed = Vec::new();
        for number in first..self.entries.len().min(last.saturating_add(1)) {
            if self.entries[number].as_ref().is_some_and(&wanted) {
                removed.extend(self.entries[number].take());
                self.first_free = self.first_free.min(number);
            }
        }
        removed
    }

    /// Takes out what `exec` closes.
    pub fn remove_for_exec(&mut self) -> Vec<Entry> {
        self.remove_where(0, usize::MAX, |entry| entry.close_on_exec)
    }

    /// Sets the mark of all descriptors from `first` to `last`.
    pub fn mark_close_on_exec(&mut self, first: usize, last: usize) {
        let entries = self.entries.iter_mut().take(last.saturating_add(1)).skip(first);
        entries.flatten().for_each(|entry| entry.close_on_exec = true);
    }

    /// Open numbers from `from` on, ascending.
    pub fn numbers(&self, from: usize) -> impl Iterator<Item = usize> {
        let entries = self.entries.iter().enumerate().skip(from);
        entries.filter(|(_, entry)| entry.is_some()).map(|(number, _)| number)
    }
}

/// Every number below the limit is in use (EMFILE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDescriptor;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    fn entry(close_on_exec: bool) -> Entry {
        Entry { description: Description::for_tests(), close_on_exec }
    }

    /// The table against a map, with a fixed pseudo-random sequence.
    #[test]
    fn numbers_are_the_lowest_free_ones() {
        let (mut table, mut model) = (Table::new(), BTreeMap::new());
        let mut seed = 12345u64;
        for _ in 0..5000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (choice, number) = ((seed >> 40) % 4, ((seed >> 48) % 24) as usize);
            match choice {
                0 => {
                    let free = (0..20).find(|n| !model.contains_key(n));
                    let got = table.insert(entry(false), 0, 20).ok();
                    assert_eq!(got, free.map(|n| n as i32));
                    free.map(|n| model.insert(n, false));
                }
                1 => {
                    let free = (number..32).find(|n| !model.contains_key(n));
                    let got = table.insert(entry(true), number, 32).ok();
                    assert_eq!(got, free.map(|n| n as i32));
                    free.map(|n| model.insert(n, true));
                }
                2 => {
                    let was = model.remove(&number);
                    assert_eq!(table.remove(number as i32).is_ok(), was.is_some());
                }
                _ => {
                    let was = model.insert(number, false);
                    assert_eq!(table.replace(number, entry(false)).is_some(), was.is_some());
                }
            }
            assert!(table.numbers(0).eq(model.keys().copied()));
        }
        let kept = model.values().filter(|&&close| !close).count();
        assert_eq!(table.remove_for_exec().len(), model.len() - kept);
        assert_eq!(table.numbers(0).count(), kept);
        assert!(kept > 0 && kept < model.len());
    }

    #[test]
    fn bad_numbers_are_refused() {
        let mut table = Table::new();
        for number in [-1, 0, i32::MIN, i32::MAX] {
            assert!(table.get(number).is_err() && table.remove(number).is_err());
        }
        assert_eq!(table.insert(entry(false), 0, 0), Err(NoDescriptor));
    }
}
