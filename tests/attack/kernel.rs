//! The kernel: what it offers beyond files and processes. Every call that the policy
//! refuses is made in tests/syscalls.rs, with senseless arguments and by the other ways
//! into the kernel; here some are made so that they would do something.

use crate::kit::*;

/// Attempt, what it gives inside, and what an unprivileged user gets of it outside,
/// where this shows that the attempt is none in vain.
const ATTEMPTS: &[(&str, &str, &str)] = &[
    // UFFD_USER_MODE_ONLY.
    ("call('userfaultfd', 1)", "EPERM", "done"),
    ("call('io_uring_setup', 4, bytes(120))", "EPERM", "done|EPERM"),
    // A socket filter that says "accept": what an unprivileged user could once load.
    (
        "call('bpf', 5, struct.pack('IIPPIIP', 1, 2, addr(FILTER), addr(LICENSE), 0, 0, 0) + bytes(80), 120)",
        "EPERM",
        "done|EPERM",
    ),
    ("call('bpf', 0, struct.pack('IIII', 2, 4, 4, 1) + bytes(100), 116)", "EPERM", "done|EPERM"),
    // A count of context switches of one's own, without the kernel.
    ("call('perf_event_open', PERF, 0, -1, -1, 0)", "EPERM", "done|EACCES|ENOENT"),
    ("call('add_key', b'user', b'jail-test', b'secret', 6, -2)", "EPERM", "done"),
    ("call('keyctl', 0, -3, 1)", "EPERM", "done"),
    ("call('request_key', b'user', b'jail-test', None, 0)", "EPERM", "done|ENOKEY"),
    ("call('personality', 0x400000)", "EPERM", "done"),
    ("call('personality', 0x100000)", "EPERM", "done"),
    ("call('adjtimex', bytes(208))", "EPERM", "done"),
    ("call('clock_adjtime', 0, bytes(208))", "EPERM", "done"),
    // FAN_REPORT_FID, as anybody may have it.
    ("call('fanotify_init', 0x200, 0)", "EPERM", "done"),
    ("call('name_to_handle_at', -100, b'/etc/passwd', struct.pack('II', 128, 0) + bytes(128), bytes(8), 0)", "EPERM", "done"),
    ("call('unshare', 0x10000000)", "EPERM", "done"),
    ("call('mount', b'x', b'/tmp', b'tmpfs', 0, None)", "EPERM", "EPERM|done"),
    ("call('fsopen', b'tmpfs', 0)", "EPERM", "EPERM|done"),
    ("call('open_tree', -100, b'/', 0)", "EPERM", "done"),
    ("call('memfd_secret', 0)", "ENOSYS", "done|ENOSYS"),
    ("call('quotactl', 0x800003 << 8, None, 0, None)", "EPERM", "EPERM|EINVAL|ENOSYS|ENODEV|ESRCH"),
    ("call('syslog', 10, None, 0)", "EPERM", "done|EPERM"),
    ("call('clock_settime', 0, struct.pack('ll', 0, 0))", "EPERM", "EPERM"),
    ("call('settimeofday', struct.pack('ll', 0, 0), None)", "EPERM", "EPERM"),
    ("call('swapon', b'/tmp/swap', 0)", "EPERM", "EPERM"),
    ("call('acct', b'/tmp/acct')", "EPERM", "EPERM|ENOSYS"),
    ("call('init_module', b'x', 1, b'')", "EPERM", "EPERM|ENOSYS"),
    ("call('finit_module', 0, b'', 0)", "EPERM", "EPERM|ENOSYS"),
    ("call('delete_module', b'loop', 0)", "EPERM", "EPERM|ENOSYS"),
    ("call('kexec_load', 0, 0, None, 0)", "EPERM", "EPERM|ENOSYS"),
    ("call('reboot', 0xfee1dead, 672274793, 0, None)", "EPERM", "EPERM"),
    ("call('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0)", "EPERM", "EPERM"),
    ("call('sethostname', b'x', 1)", "EPERM", "EPERM|done"),
    ("call('pivot_root', b'/tmp', b'/tmp')", "EPERM", "EPERM|EINVAL|EBUSY"),
    ("call('chroot', b'/tmp')", "EPERM", "EPERM|done"),
];

/// What the attempts are made with.
const MEANS: &str = r#"
def addr(buffer): return ctypes.addressof(buffer)
FILTER = ctypes.create_string_buffer(struct.pack('BBhiBBhi', 0xb7, 0, 0, 1, 0x95, 0, 0, 0))
LICENSE = ctypes.create_string_buffer(b'BSD')
# PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, exclude_kernel and exclude_hv.
PERF = struct.pack('IIQQQQQ', 1, 112, 3, 0, 0, 0, 1 << 5 | 1 << 6) + bytes(72)
def ldt(): return call('modify_ldt', 0, ctypes.create_string_buffer(16), 16)
"#;

#[test]
fn what_the_kernel_offers_beside_is_refused() {
    let kit = Kit::with(MEANS);
    // Each outside in a process of its own, for some change what comes after.
    for (attempt, _, outside) in ATTEMPTS {
        kit.outside(&[(attempt, outside)]);
    }
    let cases: Vec<Case> = ATTEMPTS.iter().map(|(attempt, inside, _)| (*attempt, *inside)).collect();
    kit.inside("", &cases);
    // What a jailed root may beside, a few open, and nothing more.
    let but = |words: &[&str]| {
        let stays = |case: &&Case| !words.iter().any(|word| case.0.contains(&format!("'{word}'")));
        cases.iter().filter(stays).copied().collect::<Vec<_>>()
    };
    kit.inside("--as-root", &but(&["chroot"]));
    let mounting = ["mount", "fsopen", "open_tree", "pivot_root", "sethostname", "chroot"];
    kit.inside(
        "--as-root --cap sys_admin --cap sys_ptrace --cap sys_resource --nested",
        &but(&[&mounting[..], &["unshare", "setns"]].concat()),
    );
    if cfg!(target_arch = "x86_64") {
        kit.outside(&[("ldt()", "done|ENOSYS")]);
        kit.inside("", &[("ldt()", "EPERM")]);
        kit.inside("", &[("call('iopl', 3)", "EPERM"), ("call('ioperm', 0x80, 1, 1)", "EPERM")]);
    }
}

#[test]
fn the_kernels_settings_are_not_changed() {
    let kit = Kit::new();
    let settings = [
        "kernel/core_pattern",
        "kernel/modprobe",
        "kernel/hostname",
        "kernel/sysrq",
        "kernel/ns_last_pid",
        "kernel/panic",
        "kernel/pid_max",
        "kernel/randomize_va_space",
        "kernel/yama/ptrace_scope",
        "vm/overcommit_memory",
        "vm/drop_caches",
        "fs/file-max",
        "fs/suid_dumpable",
        "fs/protected_symlinks",
        "net/ipv4/ip_forward",
        "net/ipv4/ping_group_range",
        "user/max_user_namespaces",
        "user/max_net_namespaces",
    ];
    let mut attempts: Vec<String> = settings.iter().map(|setting| format!("write('/proc/sys/{setting}', b'1')")).collect();
    attempts.extend(
        ["/proc/sysrq-trigger", "/proc/timer_list", "/proc/irq/default_smp_affinity"]
            .map(|file| format!("write('{file}', b'1')")),
    );
    attempts.extend(
        [
            "/proc/kcore",
            "/proc/kmsg",
            "/proc/keys",
            "/proc/kpagecount",
            "/proc/kpageflags",
            "/sys/kernel/notes",
            "/sys/kernel/debug/x",
        ]
        .map(|file| format!("text('{file}')")),
    );
    let cases: Vec<Case> = attempts.iter().map(|attempt| (attempt.as_str(), "EACCES|EPERM|EROFS|ENOENT")).collect();
    for flags in ["", "--nested", "--pid host", "--net host", "--seccomp none --landlock none"] {
        kit.inside(flags, &cases);
    }
    // A jailed root's are those of its own namespaces, where the kernel gives it any:
    // pid_max is one from Linux 6.14.
    let own = ["/net/", "/pid_max"];
    let global: Vec<Case> = cases.iter().filter(|case| !own.iter().any(|own| case.0.contains(own))).copied().collect();
    kit.inside("--as-root", &global);
    // The allowed twin: they are read.
    kit.inside(
        "",
        &[
            ("text('/proc/sys/kernel/ostype')", "read"),
            ("text('/proc/sys/net/ipv4/ip_forward')", "read"),
            ("text('/proc/meminfo')", "read"),
        ],
    );
}

#[test]
fn harmless_personalities_are_there() {
    let kit = Kit::new();
    kit.inside(
        "",
        &[
            ("call('personality', 0x40000)", "done"),
            ("call('personality', 8)", "done"),
            ("str(call('personality', 0xffffffff))", "8"),
        ],
    );
}
