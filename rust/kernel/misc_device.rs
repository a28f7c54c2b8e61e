// SPDX-License-Identifier: GPL-2.0

//! Misc devices with plain `read` and `write`, `poll`, and an owner.
//!
//! What [`kernel::miscdevice`] does not have: `poll`; `file_operations.owner`, without which the
//! module can be unloaded under open files; `read` and `write`, which spare the kiocb and the iov
//! of `read_iter` and `write_iter`, beside these, so that `readv()` and `writev()` are one call for
//! all segments; mappings that can be filled again after their pages were taken
//! away; a mode; and open files that take no memory of their own.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h).

use crate::{
    bindings::{
        dev_pm_domain_set,
        IOCB_NOWAIT, //
    },
    memremap::PublicFrame,
    sysfs::{
        AttributeGroup,
        AttributeInfo, //
    },
    uaccess::{
        Buffer,
        Destination,
        Source, //
    },
    wait_queue::PollTable, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::null_mut,
    sync::atomic::{
        AtomicPtr,
        AtomicU64,
        Ordering, //
    },
};
use kernel::{
    bindings,
    device::Device,
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    fs::File,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    mm::virt::{
        VmaNew,
        VmaRef, //
    },
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::Arc,
    types::Opaque,
    uaccess::UserPtr, //
};

/// What a misc device does, and what all its open files share.
///
/// All methods are called in process context and may sleep.
pub(crate) trait Operations: Single + Send + Sync + 'static {
    /// The attributes of the device in sysfs.
    const ATTRIBUTES: &'static [AttributeInfo<Self>];

    /// Whether system calls can be answered as things are. Else [`Self::prepare`] is called first,
    /// and then they are answered in any case. [`Self::open`] sees to it itself.
    fn is_ready(&self) -> bool;

    /// Does what has to be done before a system call can be answered. May sleep.
    fn prepare(&self);

    /// A file is being opened. Returns its [`OpenFile::word`].
    fn open(&self, file: &File) -> u64;

    /// The last descriptor of a file was closed.
    fn release(&self, file: OpenFile<'_>);

    /// What [`Self::read`] does if the device is ready and nothing is to be waited for; else
    /// `None`, and nothing was done. To be inlined, as this is what most calls come to.
    fn read_at_once(&self, file: OpenFile<'_>, to: impl Destination) -> Option<Answer>;

    /// `read()`, `readv()` and the like: the number of bytes. `is_nonblocking`: whether
    /// this very call must not wait, whatever the flags of the file say.
    fn read(&self, file: OpenFile<'_>, to: impl Destination, is_nonblocking: bool) -> Answer;

    /// `write()`, `writev()` and the like: the number of bytes.
    fn write(&self, file: OpenFile<'_>, from: impl Source) -> Answer;

    /// `poll()` of somebody who is going to wait: registers with a wait queue.
    fn register(&self, file: OpenFile<'_>, table: PollTable<'_>);

    /// `poll()`: the `EPOLL*` mask of this moment.
    fn events(&self, file: OpenFile<'_>) -> u32;

    /// `mmap()` from page number `offset` of the device on: whether the mapping is allowed.
    fn mmap(&self, vma: &VmaNew, offset: usize) -> Result;

    /// What page number `offset` of a mapping shows. `None` kills the process with `SIGBUS`.
    fn frame(&self, offset: usize) -> Option<Frame<'_>>;

    /// `ioctl()`, by 32-bit programs on a 64-bit kernel as well.
    fn ioctl(&self, file: OpenFile<'_>, cmd: u32, arg: usize) -> Answer;

    /// Writes the lines of `/proc/PID/fdinfo/FD` that are the device's own.
    fn show_fdinfo(&self, file: OpenFile<'_>, seq: &SeqFile);

    /// The system resumes from a suspend or from hibernation. Called before user space runs again.
    fn resume(&self);
}

/// What a system call returns: a number, such as that of bytes, or a negative errno.
///
/// Unlike a `Result` with a number in it this is one register, so that a function which ends with
/// another one's answer can jump there.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Answer(isize);

impl Answer {
    /// Success, and nothing to count.
    pub(crate) const DONE: Self = Self(0);

    /// Whether it is no errno.
    pub(crate) fn is_success(self) -> bool {
        self.0 >= 0
    }
}

impl From<Error> for Answer {
    #[inline]
    fn from(err: Error) -> Self {
        Self(err.to_errno() as isize)
    }
}

impl From<usize> for Answer {
    #[inline]
    fn from(number: usize) -> Self {
        Self(number as isize)
    }
}

impl From<Result> for Answer {
    #[inline]
    fn from(result: Result) -> Self {
        match result {
            Ok(()) => Self::DONE,
            Err(err) => err.into(),
        }
    }
}

/// An open file (description) of a misc device.
///
/// What it has of its own is one word, in place of `private_data`: opening takes no memory beyond
/// the `struct file`.
///
/// # Invariants
///
/// The file is one of a `MiscDevice`, and at least being opened. Its `private_data` is only used by
/// [`Self::word`].
#[derive(Clone, Copy)]
pub(crate) struct OpenFile<'a>(&'a File);

impl<'a> OpenFile<'a> {
    /// The file itself.
    #[inline]
    pub(crate) fn file(self) -> &'a File {
        self.0
    }

    /// The word that [`Operations::open`] has returned, to be changed at will.
    #[inline]
    pub(crate) fn word(self) -> &'a AtomicU64 {
        // SAFETY: The file is valid as long as `'a` lasts. By the type invariant its
        // `private_data`, which has the size and the alignment of the word, is only used here, so
        // that all accesses are atomic.
        unsafe { AtomicU64::from_ptr((&raw mut (*self.0.as_ptr()).private_data).cast()) }
    }
}

// Kconfig asks for 64 bits.
const _: () = assert!(size_of::<*mut c_void>() == size_of::<AtomicU64>());

/// Types of which one device can be registered, where its open files find it.
///
/// # Safety
///
/// What [`Self::registered`] returns must always be the same, and nobody else's.
pub(crate) unsafe trait Single: Sized {
    /// Where the device is, once it is registered.
    fn registered() -> &'static Registered<Self>;
}

/// Lets one device of a type be registered.
macro_rules! single_device {
    ($type:ty) => {
        // SAFETY: The static is this function's own.
        unsafe impl $crate::misc_device::Single for $type {
            #[inline]
            fn registered() -> &'static $crate::misc_device::Registered<Self> {
                static REGISTERED: $crate::misc_device::Registered<$type> =
                    $crate::misc_device::Registered::none();

                &REGISTERED
            }
        }
    };
}
pub(crate) use single_device;

/// Null or a registered device.
pub(crate) struct Registered<T>(AtomicPtr<T>);

impl<T> Registered<T> {
    /// No device.
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// The device.
    ///
    /// # Safety
    ///
    /// It must be registered, and stay so as long as `'a` lasts.
    #[inline]
    pub(crate) unsafe fn get<'a>(&self) -> &'a T {
        // SAFETY: The caller promises that there is one.
        unsafe { &*self.0.load(Ordering::Acquire) }
    }

    /// The device, if there is one.
    ///
    /// # Safety
    ///
    /// If it is registered, it must stay so as long as `'a` lasts.
    pub(crate) unsafe fn try_get<'a>(&self) -> Option<&'a T> {
        // SAFETY: The pointer is null or that of a registered device, which the caller promises
        // to stay.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

/// A page of a mapping.
pub(crate) enum Frame<'a> {
    /// A page of the kernel.
    Page(&'a Page),
    /// A page of memory that is not the kernel's.
    Public(PublicFrame),
}

/// A registered misc device.
///
/// # Invariants
///
/// `misc` is registered, with `groups`, which refers to `attributes`, and `T::registered()` is the
/// address of `operations`.
#[pin_data(PinnedDrop)]
pub(crate) struct MiscDevice<T: Operations> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    operations: Arc<T>,
    attributes: AttributeGroup<T>,
    groups: [*const bindings::attribute_group; 2],
}

// SAFETY: A misc device may be deregistered from another thread than the one that registered it;
// `operations` may be sent, as `T` is `Send` and `Sync`.
unsafe impl<T: Operations> Send for MiscDevice<T> {}
// SAFETY: There is nothing to call through a shared reference.
unsafe impl<T: Operations> Sync for MiscDevice<T> {}

impl<T: Operations> MiscDevice<T> {
    /// Registers the device `/dev/NAME` with a dynamic minor and the given permissions. `EBUSY` if
    /// there is one of this type.
    pub(crate) fn register(
        name: &'static CStr,
        mode: u16,
        operations: Arc<T>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            attributes: AttributeGroup::new(&operations, T::ATTRIBUTES)?,
            groups: [attributes.as_ptr(), core::ptr::null()],
            _: { Self::claim(&operations)? },
            operations,
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let misc = bindings::miscdevice {
                    minor: bindings::MISC_DYNAMIC_MINOR as c_int,
                    name: name.as_char_ptr(),
                    fops: &Vtable::<T>::TABLE,
                    mode,
                    // SAFETY: `this` is the place that is being initialised.
                    groups: unsafe { &raw mut (*this.as_ptr()).groups }.cast(),
                    ..pin_init::zeroed()
                };

                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(misc) };

                // SAFETY: `slot` is an initialised `miscdevice` that stays where it is until it is
                // deregistered when `self` is dropped. All else was initialised above, so that a
                // file may be opened from here on.
                to_result(unsafe { bindings::misc_register(slot) }).inspect_err(|_| Self::clear())?;

                // SAFETY: The device was just registered, and no driver binds it. The domain is
                // taken from it before it is deregistered. Nothing after this can fail.
                unsafe { dev_pm_domain_set((*slot).this_device, Self::pm_domain()) };
                Ok::<(), Error>(())
            }),
        })
    }

    /// Lets open files find the device.
    fn claim(operations: &Arc<T>) -> Result {
        T::registered()
            .0
            .compare_exchange(
                null_mut(),
                (&raw const **operations).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            )
            .map(drop)
            .map_err(|_| EBUSY)
    }

    /// There is no open file any longer.
    fn clear() {
        T::registered().0.store(null_mut(), Ordering::Release);
    }

    /// The device in the device model.
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: By the type invariant the device is registered, as long as `self` is there.
        unsafe { Device::from_raw((*self.misc.get()).this_device) }
    }

    /// Power management of a device that belongs to no bus. Only what comes before user space runs
    /// again is of interest.
    fn pm_domain() -> *mut bindings::dev_pm_domain {
        (&raw const Vtable::<T>::PM_DOMAIN.0).cast_mut()
    }
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for MiscDevice<T> {
    fn drop(self: Pin<&mut Self>) {
        let misc = self.misc.get();

        // SAFETY: By the type invariant the device is registered.
        unsafe {
            dev_pm_domain_set((*misc).this_device, core::ptr::null_mut());
            bindings::misc_deregister(misc);
        }
        Self::clear();
    }
}

/// A domain that is never written, as no driver binds a misc device.
struct PmDomain(bindings::dev_pm_domain);

// SAFETY: Never written.
unsafe impl Sync for PmDomain {}

/// The C side of [`Operations`].
struct Vtable<T: Operations>(PhantomData<T>);

impl<T: Operations> Vtable<T> {
    /// The device, and the file as one of its.
    ///
    /// # Safety
    ///
    /// `file` must be an open file of a `MiscDevice<T>` that is not being opened, as long as `'a`
    /// lasts.
    #[inline]
    unsafe fn borrow<'a>(file: *mut bindings::file) -> (&'a T, OpenFile<'a>) {
        // SAFETY: The device cannot be deregistered as long as a file is open, as the owner of the
        // operations, this module, cannot be unloaded. The file is open during `'a`. Whoever calls
        // its operations at the same time without `f_pos_lock` does so because it is a stream,
        // which has no position that could be used at the same time.
        //
        // INVARIANT: `open()` has taken `private_data` over.
        unsafe { (T::registered().get(), OpenFile(File::from_raw_file(file))) }
    }

    /// # Safety
    ///
    /// For `misc_open()` only, on a file of a `MiscDevice<T>` that is being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The device cannot be deregistered while `misc_open()` runs.
        let device: &T = unsafe { T::registered().get() };

        // It never fails.
        //
        // SAFETY: The file is being opened, and both pointers are valid.
        unsafe { bindings::stream_open(inode, file) };

        // SAFETY: The file is valid during this call.
        let file = unsafe { File::from_raw_file(file) };
        let word = device.open(file);

        // `misc_open()` needs what it has stored there no longer.
        //
        // INVARIANT: Nobody else has a file that is being opened.
        OpenFile(file).word().store(word, Ordering::Relaxed);
        0
    }

    /// # Safety
    ///
    /// For the VFS only, on the last release of a file of a `MiscDevice<T>`.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The caller promises that the file is open until this returns.
        let (device, file) = unsafe { Self::borrow(file) };

        device.release(file);
        0
    }

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        buf: *mut c_char,
        len: usize,
        pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, open_file) = unsafe { Self::borrow(file) };

        let to = Buffer::new(UserPtr::from_ptr(buf.cast()), len);

        match device.read_at_once(open_file, to) {
            Some(answer) => answer.0,
            // SAFETY: As above.
            None => unsafe { Self::prepare_and_read(file, buf, len, pos) },
        }
    }

    /// [`Self::read`] where there is something to be done first. Out of line with the arguments as
    /// they are, so that the common path saves no registers for it; likewise for the others.
    ///
    /// # Safety
    ///
    /// As for [`Self::read`].
    #[cold]
    unsafe extern "C" fn prepare_and_read(
        file: *mut bindings::file,
        buf: *mut c_char,
        len: usize,
        _pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, file) = unsafe { Self::borrow(file) };

        if !device.is_ready() {
            device.prepare();
        }
        device
            .read(file, Buffer::new(UserPtr::from_ptr(buf.cast()), len), false)
            .0
    }

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`, with an iterator over what is to be
    /// written to.
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The caller promises that the file is open, and keeps it so, and that the iterator
        // is valid and not used meanwhile.
        let ((device, file), flags, to) = unsafe {
            (
                Self::borrow((*iocb).ki_filp),
                (*iocb).ki_flags,
                IovIterDest::from_raw(iter),
            )
        };

        if !device.is_ready() {
            device.prepare();
        }
        device.read(file, to, flags & IOCB_NOWAIT != 0).0
    }

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buf: *const c_char,
        len: usize,
        pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, open_file) = unsafe { Self::borrow(file) };

        if !device.is_ready() {
            // SAFETY: As above.
            return unsafe { Self::prepare_and_write(file, buf, len, pos) };
        }
        device
            .write(
                open_file,
                Buffer::new(UserPtr::from_ptr(buf.cast_mut().cast()), len),
            )
            .0
    }

    /// # Safety
    ///
    /// As for [`Self::write`].
    #[cold]
    unsafe extern "C" fn prepare_and_write(
        file: *mut bindings::file,
        buf: *const c_char,
        len: usize,
        _pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, file) = unsafe { Self::borrow(file) };

        device.prepare();
        device
            .write(
                file,
                Buffer::new(UserPtr::from_ptr(buf.cast_mut().cast()), len),
            )
            .0
    }

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`, with an iterator over what is to be
    /// read from.
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The caller promises that the file is open, and keeps it so, and that the iterator
        // is valid and not used meanwhile.
        let ((device, file), from) =
            unsafe { (Self::borrow((*iocb).ki_filp), IovIterSource::from_raw(iter)) };

        if !device.is_ready() {
            device.prepare();
        }
        device.write(file, from).0
    }

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, open_file) = unsafe { Self::borrow(file) };

        // SAFETY: The pointer is null or a poll table that is valid during this call.
        if unsafe { PollTable::from_raw(table) }.is_some() || !device.is_ready() {
            // SAFETY: As above.
            return unsafe { Self::register_and_poll(file, table) };
        }
        device.events(open_file)
    }

    /// # Safety
    ///
    /// As for [`Self::poll`].
    #[cold]
    unsafe extern "C" fn register_and_poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, file) = unsafe { Self::borrow(file) };

        // Also where the answer is known already: an edge-triggered waiter wants to hear of what
        // comes after it.
        //
        // SAFETY: The pointer is null or a poll table that is valid during this call.
        if let Some(table) = unsafe { PollTable::from_raw(table) } {
            device.register(file, table);
        }
        if !device.is_ready() {
            device.prepare();
        }
        device.events(file)
    }

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, _) = unsafe { Self::borrow(file) };
        // SAFETY: `vma` is being set up by `mmap()`.
        let (vma, offset) = unsafe { (VmaNew::from_raw(vma), (*vma).vm_pgoff) };

        from_result(|| {
            device.mmap(vma, offset)?;
            vma.set_dontexpand();
            vma.set_mixedmap();

            // SAFETY: `vma` is being set up, so that nobody else uses it. It is a mapping of this
            // file, which is what `fault()` asks for.
            unsafe { (*vma.as_ptr()).vm_ops = &Self::MAPPING };

            // Whoever maps a page looks at it, which costs far more by a fault.
            for page in 0..(vma.end() - vma.start()) / PAGE_SIZE {
                let address = vma.start() + page * PAGE_SIZE;

                // SAFETY: `mmap()` holds the lock of the mapping.
                match unsafe { Self::insert(device, vma.as_ptr(), address, offset + page) } {
                    bindings::vm_fault_reason_VM_FAULT_NOPAGE => (),
                    _ => return Err(ENOMEM),
                }
            }
            Ok(0)
        })
    }

    /// Lets a mapping show a page at an address. Returns what a fault returns.
    ///
    /// # Safety
    ///
    /// `vma` must be a mapping of an open file of a `MiscDevice<T>`, locked, with `address` in it.
    unsafe fn insert(
        device: &T,
        vma: *mut bindings::vm_area_struct,
        address: usize,
        offset: usize,
    ) -> bindings::vm_fault_t {
        match device.frame(offset) {
            Some(Frame::Page(page)) => {
                // SAFETY: The caller holds the lock of the mapping.
                let vma = unsafe { VmaRef::from_raw(vma) };
                match vma
                    .as_mixedmap_vma()
                    .map(|vma| vma.vm_insert_page(address, page))
                {
                    // Another thread may have been faster.
                    Some(Ok(()) | Err(EBUSY)) => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
                    Some(Err(ENOMEM)) => bindings::vm_fault_reason_VM_FAULT_OOM,
                    _ => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
                }
            }
            // SAFETY: The caller holds the lock of the mapping, and `address` is in it. The frame
            // is one that any process may see.
            Some(Frame::Public(frame)) => unsafe {
                bindings::vmf_insert_mixed(vma, address, frame.pfn())
            },
            None => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    /// # Safety
    ///
    /// For the memory management only, on a fault in a mapping of an open file of a
    /// `MiscDevice<T>`.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The caller promises that `vmf` is valid.
        let (vma, offset, address) = unsafe {
            let fault = &(*vmf).__bindgen_anon_1;
            (fault.vma, fault.pgoff, fault.address)
        };
        // SAFETY: A mapping keeps its file open, and so the device registered.
        let device: &T = unsafe { T::registered().get() };

        // SAFETY: A fault holds the lock of the mapping for reading, and is in it.
        unsafe { Self::insert(device, vma, address, offset) }
    }

    /// # Safety
    ///
    /// For `/proc` only, on an open file of a `MiscDevice<T>`.
    unsafe extern "C" fn show_fdinfo(seq: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, file) = unsafe { Self::borrow(file) };

        // SAFETY: The caller promises that `seq` is valid and not used meanwhile.
        device.show_fdinfo(file, unsafe { SeqFile::from_raw(seq) });
    }

    /// # Safety
    ///
    /// For power management only, on the device of a `MiscDevice<T>`.
    unsafe extern "C" fn resume(_dev: *mut bindings::device) -> c_int {
        // SAFETY: The power domain is taken from the device before it is deregistered.
        let device: &T = unsafe { T::registered().get() };

        device.resume();
        0
    }

    /// Suspend to RAM, to idle and from a failed hibernation end in `resume` or `thaw`, a restored
    /// hibernation image in `restore`.
    const PM_DOMAIN: &'static PmDomain = &PmDomain(bindings::dev_pm_domain {
        ops: bindings::dev_pm_ops {
            resume: Some(Self::resume),
            thaw: Some(Self::resume),
            restore: Some(Self::resume),
            ..pin_init::zeroed()
        },
        ..pin_init::zeroed()
    });

    const MAPPING: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// For the VFS only, on an open file of a `MiscDevice<T>`.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, open_file) = unsafe { Self::borrow(file) };

        if !device.is_ready() {
            // SAFETY: As above.
            return unsafe { Self::prepare_and_ioctl(file, cmd, arg) };
        }
        device.ioctl(open_file, cmd, arg).0
    }

    /// # Safety
    ///
    /// As for [`Self::ioctl`].
    #[cold]
    unsafe extern "C" fn prepare_and_ioctl(
        file: *mut bindings::file,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: The caller promises that the file is open, and keeps it so.
        let (device, file) = unsafe { Self::borrow(file) };

        device.prepare();
        device.ioctl(file, cmd, arg).0
    }

    const TABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module(),
        open: Some(Self::open),
        release: Some(Self::release),
        read: Some(Self::read),
        read_iter: Some(Self::read_iter),
        write: Some(Self::write),
        write_iter: Some(Self::write_iter),
        poll: Some(Self::poll),
        mmap: Some(Self::mmap),
        show_fdinfo: Some(Self::show_fdinfo),
        unlocked_ioctl: Some(Self::ioctl),
        // The argument of a 32-bit program, number or pointer, comes zero-extended.
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(Self::ioctl),
        ..pin_init::zeroed()
    };
}

/// `THIS_MODULE` of C, in a constant, which the `kernel` crate has only since Linux 7.3.
const fn this_module() -> *mut bindings::module {
    #[cfg(MODULE)]
    {
        // Only for its address; what is in it does not matter.
        #[allow(improper_ctypes)]
        extern "C" {
            static __this_module: Opaque<bindings::module>;
        }

        // SAFETY: The module loader provides `__this_module`; only its address is taken.
        unsafe { __this_module.get() }
    }

    #[cfg(not(MODULE))]
    core::ptr::null_mut()
}
