//! Capability names and sets, by number as in capability.h.

/// The name of every capability known, in the kernel's order: the index is the number.
pub fn all() -> impl Iterator<Item = &'static str> {
    NAMES.split(' ')
}

const NAMES: &str = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable \
     net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio \
     sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time \
     sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog \
     wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore";

/// A set of capabilities: bit N is capability N.
pub type Set = u64;

/// The number of the capability called `name`, with or without `CAP_`, in any case.
pub fn number(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("cap_").unwrap_or(&name);
    (0..).zip(all()).find(|(_, known)| *known == name).map(|(number, _)| number)
}

/// The set of one.
pub const fn only(number: u32) -> Set {
    1 << number
}

/// CAP_NET_RAW: sockets below TCP and UDP.
pub const NET_RAW: u32 = 13;

/// CAP_SYS_BOOT: ending a process table.
pub const SYS_BOOT: u32 = 22;

/// CAP_SYS_ADMIN: mounting, and much else.
pub const SYS_ADMIN: u32 = 21;

/// CAP_SYS_RESOURCE: raising limits, those of namespaces too.
pub const SYS_RESOURCE: u32 = 24;

/// What a jailed root may do (Kamp and Watson, SANE 2000): act on any file of its
/// tree, change its ids, signal its processes, bind low ports, chroot further.
/// Out: mounting and the rest of SYS_ADMIN, network set-up, raw sockets, devices,
/// tracing, and DAC_READ_SEARCH, which opens files by handle.
pub const JAILED_ROOT: Set = only(0) // chown
    | only(1) // dac_override
    | only(3) // fowner
    | only(4) // fsetid
    | only(5) // kill
    | only(6) // setgid
    | only(7) // setuid
    | only(8) // setpcap
    | only(10) // net_bind_service
    | only(18) // sys_chroot
    | only(31); // setfcap

/// The names in `set`, in the kernel's order.
pub fn names(set: Set) -> Vec<&'static str> {
    (0..).zip(all()).filter(|(n, _)| set & only(*n) != 0).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(number("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
        assert_eq!(number("CAP_SYS_RESOURCE"), Some(SYS_RESOURCE));
        assert_eq!(number("net_raw"), Some(NET_RAW));
        assert_eq!(number("sys_boot"), Some(SYS_BOOT));
        assert_eq!(number("checkpoint_restore"), Some(40));
        assert_eq!(number("sysadmin"), None);
    }

    #[test]
    fn a_jailed_root_cannot_mount_trace_or_make_devices() {
        let names = names(JAILED_ROOT);
        assert!(names.contains(&"chown") && names.contains(&"sys_chroot"));
        for no in ["sys_admin", "sys_ptrace", "mknod", "net_raw", "net_admin", "dac_read_search"] {
            assert!(!names.contains(&no), "{no}");
        }
    }
}
