// SPDX-License-Identifier: GPL-2.0

//! Attributes of devices in sysfs that are only read.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use core::fmt;
use kernel::{
    bindings,
    container_of,
    device::Device,
    error::from_result,
    ffi::c_char,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter,
    sync::Arc, //
};

/// What an attribute of a `T` is called, who may read it, and what it says.
pub(crate) struct AttributeInfo<T> {
    /// The name of the file.
    pub(crate) name: &'static CStr,
    /// Its permissions.
    pub(crate) mode: u16,
    /// Writes its content, at most a page. May sleep.
    pub(crate) show: fn(&T, &mut Formatter<'_>) -> fmt::Result,
}

/// An attribute of one `T`.
struct Attribute<T: 'static> {
    raw: bindings::device_attribute,
    info: &'static AttributeInfo<T>,
    target: Arc<T>,
}

impl<T: Send + Sync> Attribute<T> {
    fn new(target: &Arc<T>, info: &'static AttributeInfo<T>) -> Self {
        let mut raw = bindings::device_attribute::default();

        raw.attr.name = info.name.as_char_ptr();
        raw.attr.mode = info.mode;
        // lockdep wants a key that is static, which an attribute in allocated memory is not.
        #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
        {
            raw.attr.key = kernel::static_lock_class!().as_ptr();
        }
        raw.__bindgen_anon_1.show = Some(Self::show);

        Self {
            raw,
            info,
            target: target.clone(),
        }
    }

    /// # Safety
    ///
    /// For sysfs only, with the `raw` of a `Self` and a buffer of a page.
    unsafe extern "C" fn show(
        _dev: *mut bindings::device,
        raw: *mut bindings::device_attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: The caller promises it. sysfs waits for readers before the attribute goes.
        let attribute = unsafe { &*container_of!(raw, Self, raw) };

        // SAFETY: The buffer is a page, cleared, that nobody else uses meanwhile.
        let buf = unsafe { core::slice::from_raw_parts_mut(buf.cast(), PAGE_SIZE) };

        from_result(|| {
            let mut text = Formatter::new(buf);
            (attribute.info.show)(&attribute.target, &mut text).map_err(|_| EIO)?;
            Ok(text.bytes_written() as isize)
        })
    }
}

/// A few attributes of one `T`.
///
/// # Invariants
///
/// `group` refers to `pointers`, which ends with null and refers to `attributes` before that. None
/// of them changes, so that the content of the vectors stays where it is.
pub(crate) struct AttributeGroup<T: 'static> {
    group: KBox<bindings::attribute_group>,
    _pointers: KVec<*mut bindings::attribute>,
    _attributes: KVec<Attribute<T>>,
}

// SAFETY: Nothing but sysfs uses what the pointers refer to, from any thread.
unsafe impl<T: Send + Sync> Send for AttributeGroup<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for AttributeGroup<T> {}

impl<T: Send + Sync> AttributeGroup<T> {
    /// The attributes that `infos` describes, of `target`. May sleep.
    pub(crate) fn new(target: &Arc<T>, infos: &'static [AttributeInfo<T>]) -> Result<Self> {
        let mut attributes = KVec::with_capacity(infos.len(), GFP_KERNEL)?;
        for info in infos {
            attributes.push(Attribute::new(target, info), GFP_KERNEL)?;
        }

        let mut pointers = KVec::with_capacity(infos.len() + 1, GFP_KERNEL)?;
        for attribute in &mut attributes {
            pointers.push(&raw mut attribute.raw.attr, GFP_KERNEL)?;
        }
        pointers.push(core::ptr::null_mut(), GFP_KERNEL)?;

        let mut group = KBox::new(bindings::attribute_group::default(), GFP_KERNEL)?;
        group.__bindgen_anon_2.attrs = pointers.as_mut_ptr();

        // INVARIANT: Moving the vectors does not move their content.
        Ok(Self {
            group,
            _pointers: pointers,
            _attributes: attributes,
        })
    }

    /// The group, valid as long as `self`.
    pub(crate) fn as_ptr(&self) -> *const bindings::attribute_group {
        &raw const *self.group
    }
}

/// The `kobj` of a device.
pub(crate) fn kobject(dev: &Device) -> *mut bindings::kobject {
    let dev: *mut bindings::device = (&raw const *dev).cast_mut().cast();

    // SAFETY: `Device` is a transparent wrapper of a valid `struct device`.
    unsafe { &raw mut (*dev).kobj }
}
