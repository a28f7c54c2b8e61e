// SPDX-License-Identifier: GPL-2.0

//! Mixing into the kernel's random number generator, and reseeding it at once.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings::{
    anon_inode_getfile,
    ioctl_as_kernel,
    try_add_vmfork_randomness,
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

/// Tells those who have subscribed to forks of the virtual machine, where the kernel lets a module
/// do that: where its own VMGENID driver is one. `unique` is what is unique to the fork. Returns
/// whether they were told. Mixes and reseeds as well, and may sleep.
pub(crate) fn announce_fork(unique: &[u8]) -> bool {
    // SAFETY: The pointer and the length are those of a slice.
    unsafe { try_add_vmfork_randomness(unique.as_ptr().cast(), unique.len()) }
}

/// The right and the means to reseed the RNG, in any context.
///
/// `RNDRESEEDCRNG` on the random device reseeds, on each kernel; `add_vmfork_randomness()`, which
/// not all export, would call subscribers who may sleep. The device is opened by its number, as
/// what the path `/dev/urandom` leads to is the decision of whoever happens to run when the time
/// comes to reseed.
///
/// # Invariants
///
/// `file` is an open one of the random device, which has `unlocked_ioctl`.
pub(crate) struct Reseeder {
    file: NonNull<bindings::file>,
}

// SAFETY: A `struct file` may be used and put by any thread.
unsafe impl Send for Reseeder {}
// SAFETY: The ioctl that is used has no state of the file.
unsafe impl Sync for Reseeder {}

impl Reseeder {
    /// Opens the random device. May sleep.
    pub(crate) fn new() -> Result<Self> {
        // `anon_inode_getfile()` wants operations; no operation of this file is ever called. They
        // are the kernel's own, as putting the file may look at them when this module has gone.
        //
        // SAFETY: The name is a string, which is copied, and the operations are there for ever.
        let anon = from_err_ptr(unsafe {
            anon_inode_getfile(
                c"[sysgenid]".as_char_ptr(),
                &raw const bindings::generic_ro_fops,
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

        // No error can come after the character device was found, and so putting the file does not
        // put that twice: the random device has no `open` of its own that could fail.
        //
        // SAFETY: `file` is valid, and its operations are.
        if opened.is_err() || unsafe { (*(*file).f_op).unlocked_ioctl }.is_none() {
            // SAFETY: `file` is ours and not used any longer.
            unsafe { bindings::fput(file) };
            return Err(ENXIO);
        }

        // INVARIANT: Open, and `unlocked_ioctl` is there.
        Ok(Self {
            file: NonNull::new(file).ok_or(ENXIO)?,
        })
    }

    /// Mixes what is unique to a clone into the RNG, with no credit, and reseeds it at once. In any
    /// context, but on `PREEMPT_RT` not in a hard interrupt.
    ///
    /// When this returns `Ok`, no output of the RNG is that of another clone any longer. `ENODATA`
    /// if the RNG has never been seeded, and so has no output to protect.
    pub(crate) fn reseed(&self, unique: &[u8]) -> Result {
        mix(unique);

        // Whoever comes first after a restore runs this, and may have no rights at all; it is the
        // kernel that reseeds.
        //
        // SAFETY: By the type invariant the file has the operation; this ioctl takes no argument.
        // `random_ioctl()` does not sleep for it: `crng_reseed()` takes spinlocks alone, with
        // interrupts disabled, and is called by interrupt handlers of the kernel as well, such as
        // that of its VMGENID driver for device trees.
        let ret = unsafe { ioctl_as_kernel(self.file.as_ptr(), RNDRESEEDCRNG, 0) };

        to_result(ret as i32)
    }
}

impl Drop for Reseeder {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the file is valid, and the reference is ours.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
