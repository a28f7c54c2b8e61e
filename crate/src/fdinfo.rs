// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who has not acknowledged, from `/proc/PID/fdinfo`.

#![forbid(unsafe_code)]

use crate::{
    Error,
    Result, //
};
use std::{
    fmt,
    fs,
    path::Path, //
};

/// A descriptor that control planes wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OutdatedWatcher {
    /// The process.
    pub pid: u32,
    /// Its descriptor.
    pub fd: u32,
    /// The name of its program, cut short by the kernel to 15 bytes.
    pub name: String,
    /// The generation that it has acknowledged last.
    pub acknowledged: u32,
}

impl fmt::Display for OutdatedWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            fd,
            name,
            acknowledged,
        } = self;

        write!(
            f,
            "process {pid} ({name}), descriptor {fd}, which has acknowledged generation \
             {acknowledged}"
        )
    }
}

/// All that `/proc` shows to this process, by process and descriptor.
pub(crate) fn outdated_watchers() -> Result<Vec<OutdatedWatcher>> {
    let mut watchers = Vec::new();

    for (pid, process) in numbered(Path::new("/proc"))? {
        // Processes and descriptors come and go, and those of other users are not ours to see.
        for (fd, file) in numbered(&process.join("fdinfo")).unwrap_or_default() {
            let acknowledged = fs::read_to_string(file)
                .ok()
                .and_then(|info| acknowledged_if_outdated(&info));

            if let Some(acknowledged) = acknowledged {
                let name = fs::read(process.join("comm")).unwrap_or_default();

                watchers.push(OutdatedWatcher {
                    pid,
                    fd,
                    name: String::from_utf8_lossy(&name).trim_end().into(),
                    acknowledged,
                });
            }
        }
    }
    watchers.sort_unstable_by_key(|watcher| (watcher.pid, watcher.fd));
    Ok(watchers)
}

/// The entries of a folder whose names are numbers.
fn numbered(folder: &Path) -> Result<Vec<(u32, std::path::PathBuf)>> {
    let entries = fs::read_dir(folder).map_err(|source| Error::File {
        path: folder.into(),
        source,
    })?;

    Ok(entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect())
}

/// What the descriptor has acknowledged, if it is one of the device, tracked, and outdated.
fn acknowledged_if_outdated(info: &str) -> Option<u32> {
    let field = |name: &str| -> Option<u32> {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let acknowledged = field("sysgenid_acked:")?;
    let is_outdated = acknowledged != field("sysgenid_generation:")?;
    let is_tracked = field("sysgenid_tracked:")? == 1;

    (is_outdated && is_tracked).then_some(acknowledged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(generation: u32, acknowledged: u32, tracked: u32) -> String {
        format!(
            "pos:\t0\nflags:\t0100002\nmnt_id:\t31\nino:\t120\n\
             sysgenid_generation:\t{generation}\nsysgenid_acked:\t{acknowledged}\n\
             sysgenid_tracked:\t{tracked}\n"
        )
    }

    #[test]
    fn a_watcher_is_outdated_if_it_is_tracked_and_has_not_acknowledged() {
        assert_eq!(acknowledged_if_outdated(&info(3, 2, 1)), Some(2));
        assert_eq!(acknowledged_if_outdated(&info(3, 3, 1)), None);
        assert_eq!(acknowledged_if_outdated(&info(3, 2, 0)), None);
    }

    #[test]
    fn other_files_are_no_watchers() {
        assert_eq!(acknowledged_if_outdated("pos:\t0\nflags:\t02\n"), None);
        assert_eq!(acknowledged_if_outdated(""), None);
    }

    #[test]
    fn a_watcher_is_shown_in_a_line() {
        let watcher = OutdatedWatcher {
            pid: 17,
            fd: 3,
            name: "nginx".into(),
            acknowledged: 2,
        };

        assert_eq!(
            watcher.to_string(),
            "process 17 (nginx), descriptor 3, which has acknowledged generation 2"
        );
    }

    #[test]
    fn all_that_is_shown_can_be_read() {
        outdated_watchers().expect("there is /proc");
    }
}
