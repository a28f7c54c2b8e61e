// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which device is used, and opening it.

#![forbid(unsafe_code)]

use crate::{
    sys::ioctl,
    ControlPlane,
    Error,
    Generation,
    Observer,
    Result,
    Status,
    Watcher, //
};
use rustix::{
    fd::{
        AsFd,
        OwnedFd, //
    },
    fs::{
        Mode,
        OFlags, //
    },
    io::Errno,
};
use std::path::{
    Path,
    PathBuf, //
};

/// Which device is used: `/dev/sysgenid` if nobody says otherwise.
///
/// ```no_run
/// # fn main() -> sysgenid::Result<()> {
/// let watcher = sysgenid::Device::at("/run/host/dev/sysgenid").watcher()?;
/// # Ok(())
/// # }
/// ```
///
/// This crate does not look at the environment. A variable that names the device would let the
/// caller of a privileged program hide clones from it. A program that wants such a variable reads
/// it itself, as the command `sysgenid` does with `SYSGENID_DEVICE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    path: PathBuf,
}

impl Default for Device {
    fn default() -> Self {
        Self::at("/dev/sysgenid")
    }
}

impl Device {
    /// The device at that path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for a library. See [`Generation`].
    pub fn generation(&self) -> Result<Generation> {
        Generation::open_device(self.clone())
    }

    /// Opens it for a service that reacts to clones. See [`Watcher`].
    pub fn watcher(&self) -> Result<Watcher> {
        Watcher::open_device(self)
    }

    /// Opens it for a program that waits, and for which nobody waits. See [`Observer`].
    pub fn observer(&self) -> Result<Observer> {
        Observer::open_device(self)
    }

    /// Opens it for a control plane. See [`ControlPlane`].
    pub fn control_plane(&self) -> Result<ControlPlane> {
        ControlPlane::open_device(self)
    }

    /// How things stand. See [`Status`].
    pub fn status(&self) -> Result<Status> {
        Status::of_device(self)
    }

    /// Opens it for somebody whom no control plane waits for, whatever the module's parameter
    /// `track` says.
    pub(crate) fn open_untracked(&self) -> Result<OwnedFd> {
        let fd = self.open(OFlags::RDONLY)?;

        // Drivers that refuse this do not track what is open for reading only.
        let _ = ioctl::set_watcher_tracking(fd.as_fd(), false);
        Ok(fd)
    }

    /// Opens it for somebody whom control planes wait for, whatever `track` says.
    pub(crate) fn open_tracked(&self) -> Result<OwnedFd> {
        let fd = self.open(OFlags::RDWR)?;

        ioctl::set_watcher_tracking(fd.as_fd(), true)
            .map_err(Error::call("SYSGENID_SET_WATCHER_TRACKING"))?;
        Ok(fd)
    }

    /// Opens it, and makes sure that it is the device.
    ///
    /// Nonblocking, because who waits here waits in `poll()`.
    fn open(&self, access: OFlags) -> Result<OwnedFd> {
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let path = || self.path.clone();

        let fd = rustix::fs::open(&self.path, flags, Mode::empty()).map_err(|errno| {
            match errno {
                // The second and third: a node whose driver has gone, as a container may have.
                Errno::NOENT | Errno::NXIO | Errno::NODEV => Error::NoDevice { path: path() },
                Errno::ACCESS | Errno::PERM => Error::NotPermitted {
                    path: path(),
                    for_writing: access == OFlags::RDWR,
                },
                errno => Error::File {
                    path: path(),
                    source: errno.into(),
                },
            }
        })?;

        match ioctl::get_generation(fd.as_fd()) {
            Ok(_) => Ok(fd),
            Err(_) => Err(Error::NotSysgenid { path: path() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(path: &str) -> [Error; 5] {
        let device = Device::at(path);

        [
            device.generation().expect_err("no generation"),
            device.watcher().expect_err("no watcher"),
            device.observer().expect_err("no observer"),
            device.control_plane().expect_err("no control plane"),
            device.status().expect_err("no status"),
        ]
    }

    #[test]
    fn a_device_that_is_not_there_is_absent() {
        for error in errors("/dev/no such device") {
            assert!(error.is_absent(), "{error:?}");
            assert!(error
                .to_string()
                .starts_with("no /dev/no such device: is the module loaded?"));
        }
    }

    #[test]
    fn another_file_is_not_taken_for_the_device() {
        for path in ["/dev/null", "/dev/zero"] {
            for error in errors(path) {
                assert!(matches!(error, Error::NotSysgenid { .. }), "{error:?}");
                assert!(!error.is_absent());
            }
        }
    }

    #[test]
    fn a_folder_is_an_error_of_the_system() {
        let error = Device::at("/").watcher().expect_err("no watcher");

        assert!(matches!(error, Error::File { .. }), "{error:?}");
        assert_eq!(error.to_string(), "/: Is a directory (os error 21)");
    }

    #[test]
    fn nobody_says_otherwise() {
        assert_eq!(Device::default().path(), Path::new("/dev/sysgenid"));
    }
}
