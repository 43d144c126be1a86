//! Going to the background, saying who one is, and giving up what one was born with.
//!
//! The process forks before any thread runs. The parent waits until the child has started (or has said why it cannot)
//! and leaves with the child's answer, so that `fastlb -D` fails visibly.

use crate::stdx::sys::{self, Fork};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Which side of the fork this is.
pub enum Side {
    /// The process that was started; the child has started (`Ok`) or failed with this text.
    Parent(Result<(), String>),
    /// The one that stays.
    Child(Starting),
}

/// A child that still has to tell its parent how starting went.
pub struct Starting {
    tell: File,
}

impl Starting {
    /// Lets go of the terminal and tells the parent that it may leave.
    pub fn succeed(mut self) -> io::Result<()> {
        sys::to_dev_null(&[0, 1, 2])?;
        self.tell.write_all(b"+")
    }

    /// Tells the parent that starting failed and was explained already.
    pub fn fail(mut self) {
        // Without a parent nobody is left to tell.
        let _ = self.tell.write_all(b"-");
    }
}

/// Forks into the background.
///
/// # Errors
/// When the kernel refuses, or threads run already.
pub fn detach() -> io::Result<Side> {
    let (mut hear, tell) = io::pipe()?;
    match sys::fork()? {
        Fork::Parent(_) => {
            drop(tell);
            let mut answer = Vec::new();
            hear.read_to_end(&mut answer)?;
            Ok(Side::Parent(match answer.as_slice() {
                b"+" => Ok(()),
                b"-" => Err(String::new()),
                _ => Err("the background process ended before it had started".to_owned()),
            }))
        }
        Fork::Child => {
            drop(hear);
            sys::new_session()?;
            Ok(Side::Child(Starting { tell: File::from(OwnedFd::from(tell)) }))
        }
    }
}

/// Writes the process id into a file.
pub fn write_pid(path: &Path) -> io::Result<()> {
    std::fs::write(path, format!("{}\n", std::process::id()))
}

/// Changes the root, then the group, then the user.
///
/// # Errors
/// What was refused, in words.
pub fn confine(root: Option<&Path>, uid: Option<u32>, gid: Option<u32>) -> Result<(), String> {
    // The log's dates need the time zone, which lies outside of the new root.
    let _ = sys::local_time(0);
    if let Some(root) = root {
        std::os::unix::fs::chroot(root)
            .and_then(|()| std::env::set_current_dir("/"))
            .map_err(|error| format!("cannot chroot to `{}`: {error}", root.display()))?;
    }
    sys::become_user(uid, gid).map_err(|error| {
        let name = |id: Option<u32>| id.map_or("unchanged".to_owned(), |id| id.to_string());
        format!("cannot become uid {} and gid {}: {error}", name(uid), name(gid))
    })
}

/// Tells the service manager something, when one asked to be told.
pub fn notify(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let path = path.as_encoded_bytes();
    let address = match path.strip_prefix(b"@") {
        Some(name) => std::os::unix::net::SocketAddr::from_abstract_name(name),
        None => {
            std::os::unix::net::SocketAddr::from_pathname(String::from_utf8_lossy(path).as_ref())
        }
    };
    // A service manager that does not listen is not our trouble.
    let _ = address.and_then(|address| socket.send_to_addr(state.as_bytes(), &address));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_holds_the_process_id_and_a_newline() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        write_pid(&path).expect("a file");
        let text = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_root_that_does_not_exist_is_named() {
        let error = confine(Some(Path::new("/nowhere/at/all")), None, None);
        assert!(error.expect_err("no such folder").contains("`/nowhere/at/all`"));
    }
}
