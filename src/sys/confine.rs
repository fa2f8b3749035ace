//! The sandbox of the process that speaks with the network: no new rights, another user, no other
//! program, no file to write, no look into other processes. It keeps sockets, threads, and reading
//! what everybody may read (names of hosts).
#![allow(unsafe_code)]

use super::filter::{self, Rule};
use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use std::io::Result;

/// `nobody`, which owns nothing.
const NOBODY: u32 = 65_534;

/// Bytes that it may write to memory of its own.
const MEMORY: u64 = 64 << 20;

/// What is refused, whatever its arguments are.
const REFUSED: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_quotactl,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    libc::SYS_listen,
    libc::SYS_accept4,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_fork,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_vfork,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_unlink,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_rename,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_mkdir,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_creat,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_link,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_symlink,
];

/// What the C library does without, where it is told that there is none.
const MISSING: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

fn rules() -> Vec<Rule> {
    let writes = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).unsigned_abs();
    let exec = libc::PROT_EXEC.unsigned_abs();
    let mut rules = vec![
        Rule::UnlessBits {
            number: libc::SYS_clone,
            argument: 0,
            bits: libc::CLONE_THREAD.unsigned_abs(),
        },
        Rule::IfBits { number: libc::SYS_openat, argument: 2, bits: writes },
        #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
        Rule::IfBits { number: libc::SYS_open, argument: 1, bits: writes },
        Rule::IfBits { number: libc::SYS_mprotect, argument: 2, bits: exec },
        #[cfg(not(target_arch = "arm"))]
        Rule::IfBits { number: libc::SYS_mmap, argument: 2, bits: exec },
        #[cfg(target_arch = "arm")]
        Rule::IfBits { number: libc::SYS_mmap2, argument: 2, bits: exec },
    ];
    rules.extend(REFUSED.iter().map(|number| Rule::Always { number: *number, errno: libc::EPERM }));
    rules
        .extend(MISSING.iter().map(|number| Rule::Always { number: *number, errno: libc::ENOSYS }));
    rules
}

/// Locks this process in, for good. For a process that has one thread yet. An error means that
/// nothing may be fetched by it.
pub fn enter() -> Result<()> {
    if Uid::effective().is_root() {
        // In a namespace of users that has no such user, root is none either.
        let done = setgroups(&[Gid::from_raw(NOBODY)])
            .and_then(|()| setgid(Gid::from_raw(NOBODY)))
            .and_then(|()| setuid(Uid::from_raw(NOBODY)));
        match done {
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    for (resource, most) in [
        (Resource::RLIMIT_DATA, MEMORY),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, 64),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, most, most)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    filter::refuse(&rules())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const INSIDE: &str = "SUREFOOT_TEST_CONFINED";

    /// Runs in a process of its own, which the test starts.
    fn look_around(folder: &str) {
        enter().unwrap();
        let denied = |done: std::io::Result<()>| {
            done.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
        };
        assert!(denied(std::fs::write(format!("{folder}/new"), b"x")), "a new file");
        assert!(denied(std::fs::create_dir(format!("{folder}/dir"))), "a folder");
        assert!(denied(std::fs::remove_file(format!("{folder}/old"))), "a file gone");
        assert!(Command::new("/bin/true").spawn().is_err(), "a program");
        let other = nix::sys::signal::kill(nix::unistd::getppid(), None);
        assert_eq!(other, Err(Errno::EPERM), "a signal");
        assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err(), "a server");
        assert!(!Uid::effective().is_root());
        let old = format!("{folder}/old");
        let thread = std::thread::spawn(move || std::fs::remove_file(old).is_err());
        assert!(thread.join().unwrap(), "threads are confined too");
        assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_ok(), "names are asked for");
        assert!(std::fs::read("/proc/self/status").is_ok());
    }

    #[test]
    fn a_confined_process_reads_and_connects_and_nothing_else() {
        if let Some(folder) = std::env::var_os(INSIDE) {
            return look_around(folder.to_str().unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old"), b"x").unwrap();
        let name = "sys::confine::tests::a_confined_process_reads_and_connects_and_nothing_else";
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(INSIDE, folder.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        assert!(folder.path().join("old").exists());
    }
}
