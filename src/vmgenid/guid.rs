// SPDX-License-Identifier: GPL-2.0

//! The hardware ID as text.

use crate::source_registration::HwIdBytes;
use core::fmt;
use kernel::prelude::*;

/// A hardware ID as hosts show it: a GUID, whose first three fields are little-endian in memory.
///
/// Specification: RFC 4122, section 4.1.2, for the fields; QEMU `docs/specs/vmgenid.rst` for their
/// byte order.
pub(crate) struct Guid(pub(crate) HwIdBytes);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

        for (position, index) in ORDER.into_iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[index])?;
        }
        Ok(())
    }
}

#[kunit_tests(sysgenid_guid)]
mod tests {
    use super::*;

    /// What a GUID is as text: 32 digits and 4 hyphens.
    struct Text {
        bytes: [u8; 36],
        len: usize,
    }

    impl fmt::Write for Text {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for byte in s.bytes() {
                *self.bytes.get_mut(self.len).ok_or(fmt::Error)? = byte;
                self.len += 1;
            }
            Ok(())
        }
    }

    fn is_shown_as(bytes: HwIdBytes, expected: &[u8; 36]) -> bool {
        let mut text = Text {
            bytes: [0; 36],
            len: 0,
        };

        fmt::write(&mut text, format_args!("{}", Guid(bytes))).is_ok() && text.bytes == *expected
    }

    #[test]
    fn the_first_three_fields_are_little_endian() {
        let bytes = [
            0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, //
            0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ];

        assert!(is_shown_as(bytes, b"00112233-4455-6677-8899-aabbccddeeff"));
    }

    #[test]
    fn small_bytes_have_two_digits() {
        assert!(is_shown_as(
            [1; 16],
            b"01010101-0101-0101-0101-010101010101"
        ));
    }
}
