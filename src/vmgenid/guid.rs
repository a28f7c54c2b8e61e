// SPDX-License-Identifier: GPL-2.0

//! The hardware ID as text.

use crate::source_registration::HwIdBytes;
use core::fmt;

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
