//! From registers to typed values and back.
use crate::memory::UserAddress;
use crate::{Errno, Result};

/// A type that a register can carry, as Linux takes it: what does not fit is cut off.
pub trait FromRegister {
    /// The value in a register.
    fn from_register(register: u64) -> Self;
}

macro_rules! integers {
    ($($type:ty),+) => { $(
        impl FromRegister for $type {
            #[inline(always)]
            fn from_register(register: u64) -> Self {
                register as Self
            }
        }
    )+ };
}
integers!(i32, u32, i64, u64, usize, u16);

impl FromRegister for UserAddress {
    #[inline(always)]
    fn from_register(register: u64) -> Self {
        Self(register)
    }
}

/// A result that goes to rax.
pub trait IntoRegister {
    /// The value for rax, not in the range of errors.
    fn into_register(self) -> i64;
}

impl IntoRegister for () {
    #[inline(always)]
    fn into_register(self) -> i64 {
        0
    }
}

macro_rules! results {
    ($($type:ty),+) => { $(
        impl IntoRegister for $type {
            #[inline(always)]
            fn into_register(self) -> i64 {
                self as i64
            }
        }
    )+ };
}
results!(usize, u64, i64, u32, i32);

impl IntoRegister for UserAddress {
    #[inline(always)]
    fn into_register(self) -> i64 {
        self.0 as i64
    }
}

/// A function of up to six arguments that answers a [`Result`].
pub trait Handler<Arguments> {
    /// Calls it with the registers of a system call.
    fn call(self, registers: [u64; 6]) -> i64;
}

#[inline(always)]
fn finish<R: IntoRegister>(result: Result<R>) -> i64 {
    match result {
        Ok(value) => value.into_register(),
        Err(Errno(number)) => -i64::from(number),
    }
}

macro_rules! handlers {
    ($($argument:ident $index:literal),*) => {
        impl<F, R, $($argument),*> Handler<($($argument,)*)> for F
        where
            F: FnOnce($($argument),*) -> Result<R>,
            R: IntoRegister,
            $($argument: FromRegister,)*
        {
            #[inline(always)]
            #[allow(unused_variables)]
            fn call(self, registers: [u64; 6]) -> i64 {
                finish(self($($argument::from_register(registers[$index])),*))
            }
        }
    };
}
handlers!();
handlers!(A 0);
handlers!(A 0, B 1);
handlers!(A 0, B 1, C 2);
handlers!(A 0, B 1, C 2, D 3);
handlers!(A 0, B 1, C 2, D 3, E 4);
handlers!(A 0, B 1, C 2, D 3, E 4, G 5);

/// Calls a handler with registers.
#[inline(always)]
pub fn invoke<A, H: Handler<A>>(handler: H, registers: [u64; 6]) -> i64 {
    handler.call(registers)
}

#[cfg(test)]
mod tests {
    use super::invoke;
    use crate::memory::UserAddress;
    use crate::{Errno, Result};

    #[test]
    fn registers_become_typed_arguments() {
        fn handler(descriptor: i32, address: UserAddress, length: usize) -> Result<usize> {
            assert_eq!((descriptor, address), (-1, UserAddress(u64::MAX)));
            if length == 7 { Ok(length) } else { Err(Errno::EINVAL) }
        }
        assert_eq!(invoke(handler, [0xFFFF_FFFF, u64::MAX, 7, 0, 0, 0]), 7);
        assert_eq!(invoke(handler, [0xFFFF_FFFF, u64::MAX, 8, 0, 0, 0]), -22);
    }
}
