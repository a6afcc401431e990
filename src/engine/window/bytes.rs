//! Variable-length integers for what is kept as plain bytes in pages.

/// Appends an integer, seven bits a byte, the low ones first.
pub(in crate::engine) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes an integer from the front; `None` when there is none, or it has more than 64 bits.
pub(in crate::engine) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small for numbers near zero, whatever their sign.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i32) {
    put(out, u64::from((value << 1 ^ value >> 31) as u32));
}

/// Takes what [`put_signed`] wrote.
pub(super) fn take_signed(bytes: &mut &[u8]) -> Option<i32> {
    let value = u32::try_from(take(bytes)?).ok()?;
    Some((value >> 1) as i32 ^ -((value & 1) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(take(&mut &*bytes), Some(value));
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None);
        }
        for value in [0, -1, 1, i32::MIN, i32::MAX] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(take_signed(&mut &*bytes), Some(value));
        }
        assert_eq!(take(&mut &[0xff; 10][..]), None);
        assert_eq!(take(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
    }
}
