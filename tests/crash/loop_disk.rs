//! A small file system of its own in a file, which can run full and lose its power.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system; unmounted when dropped.
pub(crate) struct LoopDisk {
    folder: tempfile::TempDir,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}

impl LoopDisk {
    /// Makes and mounts one of so many MiB; or says why that cannot be, loudly.
    pub(crate) fn or_skip(mib: u64) -> Option<Self> {
        match Self::new(mib) {
            Ok(disk) => Some(disk),
            Err(reason) => {
                eprintln!("SKIPPED: a file system of its own cannot be mounted here: {reason}");
                None
            }
        }
    }

    fn new(mib: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = Self { folder };
        let made = File::create(disk.image()).and_then(|image| image.set_len(mib << 20));
        made.and_then(|()| std::fs::create_dir(disk.mounted()))
            .map_err(|error| error.to_string())?;
        let image = disk.image();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-b", "4096", &image.to_string_lossy()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// The root of the file system.
    pub(crate) fn root(&self) -> PathBuf {
        self.mounted()
    }

    fn mount(&self) -> Result<(), String> {
        let (image, at) = (self.image(), self.mounted());
        run("mount", &["-o", "loop", &image.to_string_lossy(), &at.to_string_lossy()])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[&self.mounted().to_string_lossy()])
    }

    /// From now on nothing more reaches the disk, and all calls fail.
    pub(crate) fn cut_power(&self) -> io::Result<()> {
        shut_down(&self.mounted())
    }

    /// Mounts it again, as after a power cut.
    pub(crate) fn start_again(&self) {
        // A process that another test is just starting may still have a handle.
        let unmounted = (0..200).any(|_| self.unmount().is_ok());
        assert!(unmounted, "{:?}", self.unmount());
        self.mount().unwrap();
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // It is not mounted if mounting failed. A process that still works there does not keep
        // the name alive.
        let _ =
            self.unmount().or_else(|_| run("umount", &["-l", &self.mounted().to_string_lossy()]));
    }
}

/// Linux: `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: the journal is not written out.
#[expect(unsafe_code, reason = "the power cut is an ioctl that no crate wraps")]
fn shut_down(mounted: &Path) -> io::Result<()> {
    use rustix::ioctl::{Setter, ioctl, opcode};
    const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
    const NO_LOG_FLUSH: u32 = 2;
    let folder = File::open(mounted)?;
    // SAFETY: the kernel reads one u32 behind the pointer that `Setter` passes, and writes nothing.
    unsafe { ioctl(&folder, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH))? };
    Ok(())
}
