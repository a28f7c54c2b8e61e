// SPDX-License-Identifier: GPL-2.0

//! Mixing into the kernel's random number generator, and reseeding it at once.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings::{
    anon_inode_getfile,
    sysgenid_helper_add_vmfork_randomness,
    sysgenid_helper_override_kernel_cred,
    sysgenid_helper_revert_cred,
    RNDRESEEDCRNG, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// The device number of `/dev/urandom`, see `Documentation/admin-guide/devices.txt`.
const URANDOM: bindings::dev_t = (bindings::MEM_MAJOR << bindings::MINORBITS) | 9;

/// Mixes bytes into the RNG, with no credit.
pub(crate) fn mix(bytes: &[u8]) {
    // SAFETY: The pointer and the length are those of a slice.
    unsafe { bindings::add_device_randomness(bytes.as_ptr().cast(), bytes.len()) };
}

/// The right and the means to reseed the RNG.
///
/// The kernel exports `add_vmfork_randomness()`, which mixes, reseeds and tells its subscribers,
/// only where its own VMGENID driver is a module. Elsewhere `RNDRESEEDCRNG` on the random device
/// reseeds. That device is opened by its number, as what the path `/dev/urandom` leads to is the
/// decision of whoever happens to run when the time comes to reseed.
///
/// # Invariants
///
/// `file` is an open one of the random device, which has `unlocked_ioctl`.
pub(crate) struct Reseeder {
    file: NonNull<bindings::file>,
    tells: bool,
}

// SAFETY: A `struct file` may be used and put by any thread.
unsafe impl Send for Reseeder {}
// SAFETY: The ioctl that is used has no state of the file.
unsafe impl Sync for Reseeder {}

impl Reseeder {
    /// Opens the random device. May sleep.
    ///
    /// `tells`: whether a reseed also tells the RNG's subscribers of the clone, where it can. Not
    /// for somebody who is such a subscriber: the chain would be locked twice, which hangs if
    /// somebody waits to subscribe in between.
    pub(crate) fn new(tells: bool) -> Result<Self> {
        // `anon_inode_getfile()` wants operations; no operation of this file is ever called.
        static NO_OPERATIONS: Operations = Operations(pin_init::zeroed());

        // SAFETY: The name and the operations live as long as the kernel has the module loaded,
        // which is longer than the file, as it is put below.
        let anon = from_err_ptr(unsafe {
            anon_inode_getfile(
                c"[sysgenid]".as_char_ptr(),
                &NO_OPERATIONS.0,
                null_mut(),
                bindings::O_RDWR as i32,
            )
        })?;

        // The inode of a device node, in the file system that holds the kernel's anonymous inodes.
        //
        // SAFETY: `anon` is a valid file, and keeps its mount and superblock alive.
        let file = from_err_ptr(unsafe { bindings::alloc_anon_inode((*(*anon).f_inode).i_sb) })
            .and_then(|inode| {
                // SAFETY: `inode` is new and not shared. `alloc_file_pseudo()` takes over the
                // reference to it, and takes its own of the mount.
                let file = from_err_ptr(unsafe {
                    bindings::init_special_inode(inode, bindings::S_IFCHR as u16 | 0o600, URANDOM);
                    bindings::alloc_file_pseudo(
                        inode,
                        (*anon).__bindgen_anon_1.f_path.mnt,
                        c"urandom".as_char_ptr(),
                        bindings::O_RDWR as i32,
                        (*inode).__bindgen_anon_3.i_fop,
                    )
                });
                if file.is_err() {
                    // SAFETY: On failure the reference is still ours.
                    unsafe { bindings::iput(inode) };
                }
                file
            });

        // SAFETY: `anon` is ours and not used any longer.
        unsafe { bindings::fput(anon) };
        let file = file?;

        // SAFETY: `file` is a new file of a character device that has not been opened yet.
        // `init_special_inode()` gives operations that have an `open`, which replaces them by
        // those of the device.
        let opened = to_result(unsafe {
            match (*(*file).f_op).open {
                Some(open) => open((*file).f_inode, file),
                None => -(bindings::ENXIO as i32),
            }
        });

        // SAFETY: `file` is valid, and its operations are.
        if opened.is_err() || unsafe { (*(*file).f_op).unlocked_ioctl }.is_none() {
            // SAFETY: `file` is ours and not used any longer.
            unsafe { bindings::fput(file) };
            return Err(ENXIO);
        }

        // INVARIANT: Open, and `unlocked_ioctl` is there.
        Ok(Self {
            file: NonNull::new(file).ok_or(ENXIO)?,
            tells,
        })
    }

    /// Mixes what is unique to a clone into the RNG, with no credit, and reseeds it at once.
    ///
    /// When this returns `Ok`, no output of the RNG is that of another clone any longer. `ENODATA`
    /// if the RNG has never been seeded, and so has no output to protect. May sleep.
    pub(crate) fn reseed(&self, unique: &[u8]) -> Result {
        let (addr, len) = (unique.as_ptr().cast(), unique.len());

        // SAFETY: The pointer and the length are those of a slice.
        if self.tells && unsafe { sysgenid_helper_add_vmfork_randomness(addr, len) } {
            return Ok(());
        }

        mix(unique);

        let file = self.file.as_ptr();
        // SAFETY: By the type invariant.
        let Some(ioctl) = (unsafe { (*(*file).f_op).unlocked_ioctl }) else {
            return Err(ENXIO);
        };

        // Whoever comes first after a restore runs this, and may have no rights at all; it is the
        // kernel that reseeds.
        //
        // SAFETY: The credentials are those of the kernel itself, and are put back right below.
        let cred = unsafe { sysgenid_helper_override_kernel_cred() };
        // SAFETY: By the type invariant; this ioctl takes no argument.
        let ret = unsafe { ioctl(file, RNDRESEEDCRNG, 0) };
        // SAFETY: `cred` is what this task had before.
        unsafe { sysgenid_helper_revert_cred(cred) };

        to_result(ret as i32)
    }
}

impl Drop for Reseeder {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the file is valid, and the reference is ours.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}

struct Operations(bindings::file_operations);

// SAFETY: Never written.
unsafe impl Sync for Operations {}
