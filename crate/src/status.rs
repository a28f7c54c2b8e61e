// SPDX-License-Identifier: MIT OR Apache-2.0

//! How things stand, from sysfs.

#![forbid(unsafe_code)]

use crate::{
    Device,
    Error,
    Result, //
};
use rustix::fs::{
    major,
    minor,
    stat, //
};
use std::{
    fmt, fs,
    path::{
        Path,
        PathBuf, //
    },
    str::FromStr,
};

/// How clones are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// There is no source: the generation changes only when a program asks for it.
    Alone,
    /// `sysgenid_vmgenid` watches the ID beside the kernel's own driver.
    Observing,
    /// `sysgenid_vmgenid` has the VMGENID device for itself.
    Bound,
    /// There is a source of another kind.
    Attached,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Observing => "observing",
            Self::Bound => "bound",
            Self::Attached => "attached",
        })
    }
}

/// How things stand with a device. The values are read one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The current generation.
    pub generation: u32,
    /// The device whose ID is followed. Without one, no clone is noticed.
    pub source: Option<String>,
    /// How clones are noticed.
    pub mode: Mode,
    /// How many descriptors control planes wait for.
    pub watchers: u32,
    /// How many of these have not acknowledged the current generation.
    pub outdated_watchers: u32,
    /// Whether libraries can check without a system call, see
    /// [`Generation::has_live_id`](crate::Generation::has_live_id).
    pub live_id: bool,
}

impl Status {
    /// That of `/dev/sysgenid`.
    pub fn read() -> Result<Self> {
        Device::default().status()
    }

    pub(crate) fn of_device(device: &Device) -> Result<Self> {
        let generation = device.generation()?;
        let path = device.path();
        let number = stat(path)
            .map_err(|errno| Error::File {
                path: path.into(),
                source: errno.into(),
            })?
            .st_rdev;
        let folder = PathBuf::from(format!("/sys/dev/char/{}:{}", major(number), minor(number)));
        let source = read(&folder.join("source"))?;
        let source = (source != "none").then_some(source);

        Ok(Self {
            generation: generation.current()?,
            mode: source.as_deref().map_or(Mode::Alone, mode),
            source,
            watchers: read_number(&folder.join("watchers"))?,
            outdated_watchers: read_number(&folder.join("outdated_watchers"))?,
            live_id: generation.has_live_id(),
        })
    }
}

/// Whose the device of that name is. VMGENID's is one of the platform.
fn mode(source: &str) -> Mode {
    let driver = Path::new("/sys/bus/platform/devices")
        .join(source)
        .join("driver");

    match fs::read_link(driver) {
        Ok(driver) if driver.ends_with("sysgenid_vmgenid") => Mode::Bound,
        Ok(_) => Mode::Observing,
        Err(_) => Mode::Attached,
    }
}

fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end().into()),
        Err(source) => Err(Error::File {
            path: path.into(),
            source,
        }),
    }
}

fn read_number(path: &Path) -> Result<u32> {
    u32::from_str(&read(path)?).map_err(|error| Error::File {
        path: path.into(),
        source: std::io::Error::other(error),
    })
}
