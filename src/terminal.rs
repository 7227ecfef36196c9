//! The terminal that the jail shares with its caller: what a command must not do
//! to it.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, sock_filter,
};

/// Refuses ioctl(2) with TIOCSTI and TIOCLINUX, with which a command types into
/// the terminal what the caller's shell then executes (CVE-2017-5226 and older;
/// Linux 6.2 can be built or set to refuse TIOCSTI itself).
///
/// The kernel looks at the low 32 bits of the request alone (CVE-2019-10063 came
/// of comparing 64), and there are two to three ways into it, with other numbers.
pub(crate) const FILTER: &[sock_filter] = &filter();

/// Offsets into seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// The second argument's low half.
const REQUEST: u32 = if cfg!(target_endian = "big") { 28 } else { 24 };

const fn load(at: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: at }
}
/// Goes `yes` on where the value is `k`, else `no`.
const fn equal(k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: yes, jf: no, k }
}
const fn and(k: u32) -> sock_filter {
    sock_filter { code: (BPF_ALU | BPF_AND | BPF_K) as u16, jt: 0, jf: 0, k }
}
const fn answer(k: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k }
}

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const REFUSED: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// x86-64: its own calls, those with the x32 bit (ioctl is 514 there), and i386's.
#[cfg(target_arch = "x86_64")]
const fn filter() -> [sock_filter; 13] {
    const X86_64: u32 = 0xc000_003e;
    const X32_BIT: u32 = 0x4000_0000;
    [
        load(ARCH),
        equal(X86_64, 2, 0),
        load(NUMBER),
        equal(54, 4, 8),
        load(NUMBER),
        and(!X32_BIT),
        equal(libc::SYS_ioctl as u32, 1, 0),
        equal(514, 0, 4),
        load(REQUEST),
        equal(TIOCSTI, 1, 0),
        equal(TIOCLINUX, 0, 1),
        answer(REFUSED),
        answer(SECCOMP_RET_ALLOW),
    ]
}

/// arm64: its own calls, and those of 32-bit ARM.
#[cfg(target_arch = "aarch64")]
const fn filter() -> [sock_filter; 11] {
    const AARCH64: u32 = 0xc000_00b7;
    [
        load(ARCH),
        equal(AARCH64, 2, 0),
        load(NUMBER),
        equal(54, 2, 6),
        load(NUMBER),
        equal(libc::SYS_ioctl as u32, 0, 4),
        load(REQUEST),
        equal(TIOCSTI, 1, 0),
        equal(TIOCLINUX, 0, 1),
        answer(REFUSED),
        answer(SECCOMP_RET_ALLOW),
    ]
}
