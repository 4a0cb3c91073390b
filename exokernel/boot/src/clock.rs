//! The date at boot, from the CMOS clock.
//!
//! Pure: registers come through a closure, so that tests set them.

const SECONDS: u8 = 0;
const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const PM: u8 = 1 << 7;
/// Reads until two agree: an update takes 2 ms, a read of a port about 1 µs. An absent clock reads as
/// all ones for ever.
const ATTEMPTS: usize = 20_000;

/// Seconds since 1970-01-01 00:00 UTC of a clock that keeps UTC, or `None` when there is no clock
/// or it does not make sense. `read` gives a CMOS register.
pub fn read(mut read: impl FnMut(u8) -> u8) -> Option<i64> {
    let mut before = None;
    for _ in 0..ATTEMPTS {
        if read(STATUS_A) & UPDATE_IN_PROGRESS != 0 {
            continue;
        }
        let fields = [SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR].map(&mut read);
        if before == Some(fields) {
            return decode(fields, read(STATUS_B));
        }
        before = Some(fields);
    }
    None
}

fn decode(fields: [u8; 6], status: u8) -> Option<i64> {
    let pm = status & HOURS_24 == 0 && fields[2] & PM != 0;
    let number = |field: u8| match status & BINARY {
        0 => i64::from(field >> 4) * 10 + i64::from(field & 15),
        _ => i64::from(field),
    };
    let [second, minute, _, day, month, year] = fields.map(number);
    let hour = match (status & HOURS_24, number(fields[2] & !PM)) {
        (0, hour) => hour % 12 + if pm { 12 } else { 0 },
        (_, hour) => hour,
    };
    let sane = second < 60 && minute < 60 && hour < 24;
    if !sane || !(1..=31).contains(&day) || !(1..=12).contains(&month) || year > 99 {
        return None;
    }
    let days = days_since_1970(2000 + year, month, day);
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days of the Gregorian calendar from 1970-01-01 to the given date, which is after 1970.
#[must_use]
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477;
    let this_year = if leap && month > 2 { 1 } else { 0 };
    (year - 1970) * 365 + leap_days + BEFORE_MONTH[(month - 1) as usize] + this_year + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(fields: [u8; 6], status: u8) -> Option<i64> {
        read(|register| match register {
            STATUS_A => 0,
            STATUS_B => status,
            SECONDS => fields[0],
            MINUTES => fields[1],
            HOURS => fields[2],
            DAY => fields[3],
            MONTH => fields[4],
            _ => fields[5],
        })
    }

    #[test]
    fn calendar() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 3, 1), 11017);
        assert_eq!(days_since_1970(2024, 2, 29), 19782);
        assert_eq!(days_since_1970(2026, 11, 22), 20779);
    }

    #[test]
    fn bcd_and_binary_agree() {
        let bcd = clock([0x59, 0x58, 0x23, 0x31, 0x12, 0x26], HOURS_24);
        let binary = clock([59, 58, 23, 31, 12, 26], HOURS_24 | BINARY);
        assert_eq!(bcd, Some(1_798_761_539));
        assert_eq!(bcd, binary);
    }

    #[test]
    fn twelve_hour_clock() {
        let at = |hour| clock([0, 0, hour, 1, 1, 0x70], 0).unwrap() % 86400 / 3600;
        assert_eq!([at(0x12), at(0x01), at(0x92), at(0x91)], [0, 1, 12, 23]);
    }

    #[test]
    fn absent_or_torn_clocks() {
        assert_eq!(read(|_| 0xff), None);
        assert_eq!(clock([0xff; 6], BINARY | HOURS_24), None);
        let mut tick = 0u8;
        let torn = read(|register| match register {
            STATUS_A => 0,
            SECONDS => {
                tick = (tick + 1) % 60;
                tick
            }
            _ => 1,
        });
        assert_eq!(torn, None);
    }
}
