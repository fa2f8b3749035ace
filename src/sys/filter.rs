//! The list of system calls that a caged process may make (seccomp(2), `SECCOMP_MODE_FILTER`).
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc::{self, c_long, sock_filter};
use std::io::{Error, Result};

/// `linux/audit.h`: by which numbers this program calls.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;
#[cfg(target_arch = "arm")]
const ARCH: u32 = 0x4000_0028;
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "arm"
)))]
const ARCH: u32 = 0;

/// What a C library with 64 bits of time calls first where a word has 32 bits; the crate does not name them.
#[cfg(target_arch = "arm")]
const CLOCK_GETTIME64: c_long = 403;
#[cfg(target_arch = "arm")]
const FUTEX_TIME64: c_long = 422;

/// Reading at an offset, answering, memory, and ending.
const ALWAYS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_restart_syscall,
    #[cfg(not(target_arch = "arm"))]
    libc::SYS_lseek,
    #[cfg(target_arch = "arm")]
    libc::SYS__llseek,
    #[cfg(target_arch = "arm")]
    CLOCK_GETTIME64,
    #[cfg(target_arch = "arm")]
    FUTEX_TIME64,
    #[cfg(target_arch = "arm")]
    libc::SYS_sigreturn,
];

/// Only for who may write: at an offset, and to the medium.
const WRITING: &[c_long] = &[libc::SYS_pwrite64, libc::SYS_fsync, libc::SYS_fdatasync];

/// New memory is never code.
const WITHOUT_EXEC: &[c_long] = &[
    #[cfg(not(target_arch = "arm"))]
    libc::SYS_mmap,
    #[cfg(target_arch = "arm")]
    libc::SYS_mmap2,
    libc::SYS_mprotect,
];

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const END: u16 = 0x06; // BPF_RET | BPF_K

/// `struct seccomp_data`: the number, the architecture, and the low half of the third argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const THIRD: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };

const ALLOW: sock_filter = line(END, 0x7fff_0000, 0, 0);
/// SECCOMP_RET_KILL_PROCESS; a kernel before 4.14 takes it for the end of the thread.
const KILL: sock_filter = line(END, 0x8000_0000, 0, 0);

const fn line(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The program. A call by the numbers of another architecture (32 bits, x32) is on no list.
fn program(writes: bool) -> Result<Vec<sock_filter>> {
    let mut lines = vec![line(LOAD, ARCHITECTURE, 0, 0), line(IF_EQUAL, ARCH, 1, 0), KILL];
    lines.push(line(LOAD, NUMBER, 0, 0));
    let writing = if writes { WRITING } else { &[] };
    for number in ALWAYS.iter().chain(writing) {
        let number = u32::try_from(*number).map_err(Error::other)?;
        lines.extend([line(IF_EQUAL, number, 0, 1), ALLOW]);
    }
    let exec = libc::PROT_EXEC.unsigned_abs();
    for number in WITHOUT_EXEC {
        let number = u32::try_from(*number).map_err(Error::other)?;
        lines.push(line(IF_EQUAL, number, 0, 4));
        lines.extend([line(LOAD, THIRD, 0, 0), line(IF_BITS, exec, 0, 1), KILL, ALLOW]);
    }
    lines.push(KILL);
    Ok(lines)
}

/// One line of a list of what is refused with an error, for a process that may do the rest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// Whatever the arguments are.
    Always { number: c_long, errno: i32 },
    /// Where one of these bits is set in the low half of this argument, from 0.
    IfBits { number: c_long, argument: u32, bits: u32 },
    /// Where none of them is.
    UnlessBits { number: c_long, argument: u32, bits: u32 },
    /// Where it is neither of these.
    UnlessEither { number: c_long, argument: u32, values: [u32; 2] },
}

/// SECCOMP_RET_ERRNO.
const fn error(errno: i32) -> sock_filter {
    line(END, 0x0005_0000 | errno.unsigned_abs(), 0, 0)
}

/// The low half of an argument in `struct seccomp_data`.
const fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "little") { 0 } else { 4 }
}

fn refusals(rules: &[Rule]) -> Result<Vec<sock_filter>> {
    let mut lines = vec![line(LOAD, ARCHITECTURE, 0, 0), line(IF_EQUAL, ARCH, 1, 0), KILL];
    lines.push(line(LOAD, NUMBER, 0, 0));
    // x32: the same calls by other numbers.
    #[cfg(target_arch = "x86_64")]
    lines.extend([line(IF_BITS, 0x4000_0000, 0, 1), KILL]);
    for rule in rules {
        let (Rule::Always { number, .. }
        | Rule::IfBits { number, .. }
        | Rule::UnlessBits { number, .. }
        | Rule::UnlessEither { number, .. }) = rule;
        let number = u32::try_from(*number).map_err(Error::other)?;
        let (refused, back) = (error(libc::EPERM), line(LOAD, NUMBER, 0, 0));
        let look = |index| line(LOAD, argument(index), 0, 0);
        // What one rule does not refuse, another one for the same call may.
        match *rule {
            Rule::Always { errno, .. } => {
                lines.extend([line(IF_EQUAL, number, 0, 1), error(errno)]);
            }
            Rule::IfBits { argument, bits, .. } => {
                lines.extend([line(IF_EQUAL, number, 0, 4), look(argument)]);
                lines.extend([line(IF_BITS, bits, 0, 1), refused, back]);
            }
            Rule::UnlessBits { argument, bits, .. } => {
                lines.extend([line(IF_EQUAL, number, 0, 4), look(argument)]);
                lines.extend([line(IF_BITS, bits, 1, 0), refused, back]);
            }
            Rule::UnlessEither { argument, values: [one, two], .. } => {
                lines.extend([line(IF_EQUAL, number, 0, 5), look(argument)]);
                lines.extend([line(IF_EQUAL, one, 2, 0), line(IF_EQUAL, two, 1, 0), refused, back]);
            }
        }
    }
    lines.push(ALLOW);
    Ok(lines)
}

/// Refuses this thread, and whatever it starts, what these rules name.
pub(super) fn refuse(rules: &[Rule]) -> Result<()> {
    put(refusals(rules)?)
}

/// Puts the filter over this thread and whatever it starts.
pub(super) fn install(writes: bool) -> Result<()> {
    put(program(writes)?)
}

fn put(mut lines: Vec<sock_filter>) -> Result<()> {
    if ARCH == 0 {
        let text = "no list of system calls is known for this architecture";
        return Err(Error::new(std::io::ErrorKind::Unsupported, text));
    }
    let len = u16::try_from(lines.len()).map_err(Error::other)?;
    let program = libc::sock_fprog { len, filter: lines.as_mut_ptr() };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the kernel copies the program, which outlives the call, and writes to no memory.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) };
    Errno::result(set)?;
    Ok(())
}
