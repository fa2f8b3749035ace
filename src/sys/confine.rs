//! The sandbox of the process that speaks with the network: no new rights, another user, no other
//! program, no file to write, no look into other processes, no terminal, no word to another program of
//! this device. It keeps sockets of the network, threads, and reading what everybody may read (names
//! of hosts).
#![allow(unsafe_code)]

use super::cage;
use super::filter::{self, Rule};
use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::resource::Resource;
use nix::unistd::{Gid, Uid, setgid, setgroups, setsid, setuid};
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
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_personality,
    libc::SYS_pkey_mprotect,
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
    libc::SYS_fchmod,
    libc::SYS_fchown,
    FCHMODAT2,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_flock,
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
    libc::SYS_accept,
    libc::SYS_accept4,
    // What outlives the process.
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_memfd_create,
    #[cfg(not(target_arch = "riscv64"))]
    libc::SYS_renameat,
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
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_rmdir,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_mknod,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_chmod,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_chown,
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    libc::SYS_lchown,
];

/// `fchmodat2` (Linux 6.6), the same number everywhere.
const FCHMODAT2: c_long = 452;

/// What the C library does without, where it is told that there is none.
const MISSING: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

fn rules() -> Vec<Rule> {
    let writes = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).unsigned_abs();
    let exec = libc::PROT_EXEC.unsigned_abs();
    // Memory that is shared does not count as its own.
    let shared = libc::MAP_SHARED.unsigned_abs();
    // Programs of this device are spoken with over the sockets that were given, and no others.
    let network = [libc::AF_INET.unsigned_abs(), libc::AF_INET6.unsigned_abs()];
    let mut rules = vec![
        Rule::UnlessBits {
            number: libc::SYS_clone,
            argument: 0,
            bits: libc::CLONE_THREAD.unsigned_abs(),
        },
        Rule::IfBits { number: libc::SYS_openat, argument: 2, bits: writes },
        #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
        Rule::IfBits { number: libc::SYS_open, argument: 1, bits: writes },
        Rule::UnlessEither { number: libc::SYS_socket, argument: 0, values: network },
        Rule::IfBits { number: libc::SYS_prlimit64, argument: 0, bits: u32::MAX },
        Rule::IfBits { number: libc::SYS_mprotect, argument: 2, bits: exec },
        #[cfg(not(target_arch = "arm"))]
        Rule::IfBits { number: libc::SYS_mmap, argument: 2, bits: exec },
        #[cfg(not(target_arch = "arm"))]
        Rule::IfBits { number: libc::SYS_mmap, argument: 3, bits: shared },
        #[cfg(target_arch = "arm")]
        Rule::IfBits { number: libc::SYS_mmap2, argument: 2, bits: exec },
        #[cfg(target_arch = "arm")]
        Rule::IfBits { number: libc::SYS_mmap2, argument: 3, bits: shared },
    ];
    rules.extend(REFUSED.iter().map(|number| Rule::Always { number: *number, errno: libc::EPERM }));
    rules
        .extend(MISSING.iter().map(|number| Rule::Always { number: *number, errno: libc::ENOSYS }));
    rules
}

/// Locks this process in, for good. For a process that has one thread yet. An error means that
/// nothing may be fetched by it.
pub fn enter() -> Result<()> {
    cage::close_others()?;
    // Without a terminal: what is pushed into one's input counts as typed. A process
    // that leads its group already has none that it did not begin itself.
    match setsid() {
        Ok(_) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno.into()),
    }
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
        cage::limit(resource, most)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    filter::refuse(&rules())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const INSIDE: &str = "SUREFOOT_TEST_CONFINED";

    /// Calls that would go well in any other process, each on its own thing.
    fn is_refused(call: &str, number: c_long, arguments: [c_long; 6]) {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: the calls read no memory but the name, and what a mapping would give is not used.
        let done = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        assert_eq!((done, Errno::last()), (-1, Errno::EPERM), "{call}");
    }

    fn calls_are_refused() {
        let own = c_long::from(std::process::id());
        // SAFETY: it has no arguments.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        let name = c_long::try_from(c"x".as_ptr().addr()).unwrap();
        let data = c_long::from(libc::PROT_READ | libc::PROT_WRITE);
        let code = c_long::from(libc::PROT_READ | libc::PROT_EXEC);
        let own_memory = c_long::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let shared = c_long::from(libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        let new = c_long::from(libc::IPC_CREAT | 0o600);
        #[cfg(not(target_arch = "arm"))]
        let map = libc::SYS_mmap;
        #[cfg(target_arch = "arm")]
        let map = libc::SYS_mmap2;
        for (call, number, arguments) in [
            ("tgkill", libc::SYS_tgkill, [own, thread, 0, 0, 0, 0]),
            ("tkill", libc::SYS_tkill, [thread, 0, 0, 0, 0, 0]),
            ("pidfd_open", libc::SYS_pidfd_open, [own, 0, 0, 0, 0, 0]),
            ("personality", libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]),
            ("memfd_create", libc::SYS_memfd_create, [name, 0, 0, 0, 0, 0]),
            ("shmget", libc::SYS_shmget, [0, 4096, new, 0, 0, 0]),
            ("msgget", libc::SYS_msgget, [0, new, 0, 0, 0, 0]),
            ("semget", libc::SYS_semget, [0, 1, new, 0, 0, 0]),
            ("flock", libc::SYS_flock, [0, 0, 0, 0, 0, 0]),
            ("accept", libc::SYS_accept, [0, 0, 0, 0, 0, 0]),
            ("code", map, [0, 4096, code, own_memory, -1, 0]),
            ("shared memory", map, [0, 4096, data, shared, -1, 0]),
            ("another's limits", libc::SYS_prlimit64, [1, 7, 0, 0, 0, 0]),
            ("a local socket", libc::SYS_socket, [1, 1, 0, 0, 0, 0]),
            ("a socket to the kernel", libc::SYS_socket, [16, 3, 0, 0, 0, 0]),
        ] {
            is_refused(call, number, arguments);
        }
    }

    /// Runs in a process of its own, which the test starts.
    fn look_around(folder: &str) {
        let inherited = std::fs::File::open("/dev/zero").unwrap();
        enter().unwrap();
        let closed = std::io::Read::read(&mut &inherited, &mut [0]);
        assert_eq!(closed.unwrap_err().raw_os_error(), Some(libc::EBADF), "a descriptor");
        std::mem::forget(inherited);
        assert_eq!(nix::unistd::getsid(None), Ok(nix::unistd::getpid()), "a terminal");
        calls_are_refused();
        assert!(std::os::unix::net::UnixStream::pair().is_ok(), "between its own threads");
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
