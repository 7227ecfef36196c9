# Completes jail(1) in fish: flags, their values, then the command's own words.

function __jail_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -e words[1]

    set -l left 0
    set -l given
    set -l kinds
    set -l after
    set -l once
    while set -q words[1]
        set -l word $words[1]
        set -l flag (string split -m 1 -- = $word)[1]
        if test $left -gt 0
            set left (math $left - 1)
        else if test "$word" = --
            set -e words[1]
            __jail_command $words
            return
        else if string match -q -- '-*' $word
            __jail_row $flag
            set -a given $flag
            set left (count $kinds)
            if string match -q -- '*=*' $word; and test -z "$after" -a $left -gt 0
                set left (math $left - 1)
            end
        else
            __jail_command $words
            return
        end
        set -e words[1]
    end

    if test $left -gt 0
        set -l nth (math 1 + (count $kinds) - $left)
        __jail_values "$kinds[$nth]" "$cur" ''
    else if string match -q -- '--*=*' $cur
        set -l parts (string split -m 1 -- = $cur)
        __jail_row $parts[1]
        test -n "$after"; or set after $kinds[1]
        __jail_values "$after" "$parts[2]" "$parts[1]="
    else if string match -q -- '-*' $cur
        for line in (__jail_flags)
            set -l flag (string split \t -- $line)[1]
            __jail_row $flag
            if test -z "$once"; or not contains -- $flag $given
                echo $line
            end
        end
    else
        __jail_command
    end
end

# The values of a kind, after what stands before them in the word.
function __jail_values --argument-names kind value head
    set -l words
    switch $kind
        case @path
            set words (__fish_complete_path "$value")
        case @dir
            set words (__fish_complete_directories "$value" '')
        case @endpoint
            if string match -q -- 'unix:*' $value
                set head "$head"unix:
                set words (__fish_complete_path (string replace unix: '' -- $value))
            else
                set words unix: localhost: (__fish_print_hostnames):
            end
        case @variable
            set words (set --export --names)
        case @limit
            set words $__jail_limits=
            if string match -q -- '*=*' $value
                set words (string split -m 1 -- = $value)[1]=unlimited
            end
        case @capability
            set words $__jail_capabilities
        case @call
            set words $__jail_groups $__jail_calls
        case @refusal
            set words $__jail_groups $__jail_calls
            if string match -q -- '*:*' $value
                set head $head(string split -m 1 -- : $value)[1]:
                set words $__jail_errors
            end
        case @layers
            set words $__jail_layers
            set -l named (string split -- , $value)
            set -e named[-1]
            for layer in $named
                set head $head$layer,
                contains -- $layer $words; and set -e words[(contains -i -- $layer $words)]
            end
        case '*'
            set words (string split -n -- ' ' $kind)
    end
    for word in $words
        echo $head$word
    end
end

# The words of the command of which these are the first.
function __jail_command
    complete -C (string join -- ' ' (string escape -- $argv) (commandline -ct))
end

complete -c jail -f -a '(__jail_complete)'

# begin: made of the flags' table
set -g __jail_groups @aio @basic-io @chown @clock @cpu-emulation @debug @default @file-system @io-event @ipc @keyring \
    @memlock @module @mount @network-io @obsolete @pkey @privileged @process @raw-io @reboot @resources \
    @sandbox @setuid @signal @swap @sync @system-service @timer
set -g __jail_calls _sysctl accept accept4 access acct add_key adjtimex afs_syscall alarm arch_prctl bind bpf brk \
    cachestat capget capset chdir chmod chown chroot clock_adjtime clock_getres clock_gettime \
    clock_nanosleep clock_settime clone clone3 close close_range connect copy_file_range creat \
    create_module delete_module dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group \
    faccessat faccessat2 fadvise64 fallocate fanotify_init fanotify_mark fchdir fchmod fchmodat \
    fchmodat2 fchown fchownat fcntl fdatasync fgetxattr file_getattr file_setattr finit_module \
    flistxattr flock fork fremovexattr fsconfig fsetxattr fsmount fsopen fspick fstat fstatfs fsync \
    ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_kernel_syms \
    get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid \
    getgid getgroups getitimer getpeername getpgid getpgrp getpid getpmsg getppid getpriority getrandom \
    getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid \
    getxattr getxattrat init_module inotify_add_watch inotify_init inotify_init1 inotify_rm_watch \
    io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter io_uring_register \
    io_uring_setup ioctl ioperm iopl ioprio_get ioprio_set kcmp kexec_file_load kexec_load keyctl kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen \
    listmount listns listxattr listxattrat llistxattr lookup_dcookie lremovexattr lseek lsetxattr \
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat madvise map_shadow_stack mbind membarrier \
    memfd_create memfd_secret migrate_pages mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall \
    mmap modify_ldt mount mount_setattr move_mount move_pages mprotect mq_getsetattr mq_notify mq_open \
    mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock \
    munlockall munmap name_to_handle_at nanosleep newfstatat nfsservctl open open_by_handle_at open_tree \
    open_tree_attr openat openat2 pause perf_event_open personality pidfd_getfd pidfd_open \
    pidfd_send_signal pipe pipe2 pivot_root pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 \
    preadv preadv2 prlimit64 process_madvise process_mrelease process_vm_readv process_vm_writev \
    pselect6 ptrace putpmsg pwrite64 pwritev pwritev2 query_module quotactl quotactl_fd read readahead \
    readlink readlinkat readv reboot recvfrom recvmmsg recvmsg remap_file_pages removexattr \
    removexattrat rename renameat renameat2 request_key restart_syscall rmdir rseq rseq_slice_yield \
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp security select semctl semget semop semtimedop \
    sendfile sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node set_robust_list \
    set_thread_area set_tid_address setdomainname setfsgid setfsuid setgid setgroups sethostname \
    setitimer setns setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid \
    setsockopt settimeofday setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack \
    signalfd signalfd4 socket socketpair splice stat statfs statmount statx swapoff swapon symlink \
    symlinkat sync sync_file_range syncfs sysfs sysinfo syslog tee tgkill time timer_create timer_delete \
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times \
    tkill truncate tuxcall umask umount2 uname unlink unlinkat unshare uprobe uretprobe uselib \
    userfaultfd ustat utime utimensat utimes vfork vhangup vmsplice vserver wait4 waitid write writev
set -g __jail_errors E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY ECANCELED \
    ECHILD ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDQUOT EEXIST EFAULT EFBIG \
    EHOSTDOWN EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR \
    EKEYEXPIRED EKEYREJECTED EKEYREVOKED ELOOP EMEDIUMTYPE EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG \
    ENETDOWN ENETRESET ENETUNREACH ENFILE ENOBUFS ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOLCK ENOLINK \
    ENOMEDIUM ENOMEM ENOMSG ENOPROTOOPT ENOSPC ENOSR ENOSTR ENOSYS ENOTBLK ENOTCONN ENOTDIR ENOTEMPTY \
    ENOTRECOVERABLE ENOTSOCK ENOTTY ENXIO EOPNOTSUPP EOVERFLOW EOWNERDEAD EPERM EPFNOSUPPORT EPIPE \
    EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMOTE ERFKILL EROFS ESHUTDOWN ESOCKTNOSUPPORT ESPIPE \
    ESRCH ESTALE ETIME ETIMEDOUT ETOOMANYREFS ETXTBSY EUSERS EXDEV
set -g __jail_capabilities chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable \
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot \
    sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease \
    audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read \
    perfmon bpf checkpoint_restore
set -g __jail_limits as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
set -g __jail_layers namespaces net pid ipc cgroup hostname proc userns-limit seccomp landlock root

function __jail_flags
    printf '%s\t%s\n' --net 'own loopback only; the host\'s; or own, by pasta(1)'
    printf '%s\t%s\n' --reach 'this alone is reached from inside'
    printf '%s\t%s\n' --publish 'PORT outside reaches PORT inside'
    printf '%s\t%s\n' --pid 'own process table, or the host\'s'
    printf '%s\t%s\n' --ipc 'own System V and POSIX IPC, or the host\'s'
    printf '%s\t%s\n' --cgroup 'own view of the cgroup tree, or the host\'s'
    printf '%s\t%s\n' --proc 'what /proc is'
    printf '%s\t%s\n' --dev 'what /dev is'
    printf '%s\t%s\n' --tmp 'what /tmp is'
    printf '%s\t%s\n' --run 'what /run is'
    printf '%s\t%s\n' --home 'an empty directory at $HOME, or none'
    printf '%s\t%s\n' --hostname 'the hostname inside (default: jail)'
    printf '%s\t%s\n' --uptime 'how long the machine seems to be up already'
    printf '%s\t%s\n' --uid 'the user id inside (default: the caller\'s)'
    printf '%s\t%s\n' --gid 'the group id inside (default: the caller\'s)'
    printf '%s\t%s\n' --as-root 'uid and gid 0 inside, with a jailed root\'s powers'
    printf '%s\t%s\n' --subids 'the same, with the caller\'s subordinate ids'
    printf '%s\t%s\n' --fakeroot 'the same; what one id cannot do is answered as done'
    printf '%s\t%s\n' --root 'DIR is /, read-only, instead of the host\'s system'
    printf '%s\t%s\n' --writable 'the --root tree may be changed'
    printf '%s\t%s\n' --ephemeral 'changes of the --root tree vanish with the jail'
    printf '%s\t%s\n' --overlay 'changes of the --root tree are kept in DIR'
    printf '%s\t%s\n' --ro 'the host\'s PATH, read-only, at the same place'
    printf '%s\t%s\n' --rw 'the host\'s PATH, writable, at the same place'
    printf '%s\t%s\n' --ro-bind 'the host\'s SRC, read-only, at DST'
    printf '%s\t%s\n' --rw-bind 'the host\'s SRC, writable, at DST'
    printf '%s\t%s\n' --ro-try '--ro unless PATH is missing'
    printf '%s\t%s\n' --rw-try '--rw unless PATH is missing'
    printf '%s\t%s\n' --ro-bind-try '--ro-bind unless SRC is missing'
    printf '%s\t%s\n' --rw-bind-try '--rw-bind unless SRC is missing'
    printf '%s\t%s\n' --tmpfs 'an empty writable directory in memory'
    printf '%s\t%s\n' --dir 'an empty directory, made inside'
    printf '%s\t%s\n' --symlink 'a symbolic link, made inside'
    printf '%s\t%s\n' --file 'a file with what is read from descriptor FD'
    printf '%s\t%s\n' --hide 'an empty, unreadable thing over PATH'
    printf '%s\t%s\n' --hide-try '--hide unless PATH is missing'
    printf '%s\t%s\n' --noexec 'nothing under PATH can be executed'
    printf '%s\t%s\n' --device 'one host device node, e.g. /dev/kvm'
    printf '%s\t%s\n' --device-try '--device unless PATH is missing'
    printf '%s\t%s\n' --env 'pass NAME (or all that match a glob), or set it'
    printf '%s\t%s\n' --fd 'keep descriptor N; all others from 3 up are closed'
    printf '%s\t%s\n' --chdir 'start in DIR (default: here if visible, else /)'
    printf '%s\t%s\n' --umask 'the file mode mask (default: the caller\'s)'
    printf '%s\t%s\n' --processors 'run on N of the caller\'s processors, the first ones'
    printf '%s\t%s\n' --args 'read further flags from FILE, one word a line'
    printf '%s\t%s\n' --allow-syscall 'allow a system call that is refused by default'
    printf '%s\t%s\n' --deny-syscall 'refuse a system call: EPERM, or ERRNO'
    printf '%s\t%s\n' --seccomp 'the system-call policy, or none'
    printf '%s\t%s\n' --landlock 'a second fence for files, signals and sockets'
    printf '%s\t%s\n' --connect 'with --net host: the only TCP ports to reach'
    printf '%s\t%s\n' --listen 'with --net host: the only TCP ports to listen on'
    printf '%s\t%s\n' --degrade 'do without a layer that this machine lacks'
    printf '%s\t%s\n' --nested 'user namespaces, and so jails, may be made inside'
    printf '%s\t%s\n' --cap 'keep one capability over the jail\'s own namespaces'
    printf '%s\t%s\n' --timeout 'then SIGTERM, and SIGKILL to all after --grace'
    printf '%s\t%s\n' --grace 'from SIGTERM to SIGKILL (default: 5s)'
    printf '%s\t%s\n' --rlimit 'a limit of each process, named as in prlimit(1)'
    printf '%s\t%s\n' --memory 'the most memory that the whole jail may use'
    printf '%s\t%s\n' --tasks 'the most processes and threads that it may have'
    printf '%s\t%s\n' --cpus 'the most processors\' time that it may use'
    printf '%s\t%s\n' --pty 'a terminal of the jail\'s own, relayed'
    printf '%s\t%s\n' --new-session 'start the command in a session of its own'
    printf '%s\t%s\n' --init 'what is process 1: a reaper, or the command itself'
    printf '%s\t%s\n' --explain 'what would be done; with time: how long it takes'
    printf '%s\t%s\n' --check 'try what this machine offers, layer by layer'
    printf '%s\t%s\n' --diff 'list the changes that --overlay has kept in DIR'
    printf '%s\t%s\n' --status-fd 'write a record of start and end to descriptor N'
    printf '%s\t%s\n' --trace-denied 'say on stderr which system calls are refused'
    printf '%s\t%s\n' --version 'print the version'
    printf '%s\t%s\n' --help 'print this'
end

function __jail_row --no-scope-shadowing
    set kinds
    set after
    set once 1
    switch $argv[1]
        case --net
            set kinds 'none host pasta'
        case --reach
            set once
            set kinds '@endpoint'
        case --publish
            set once
            set kinds ''
        case --pid
            set kinds 'private host'
        case --ipc
            set kinds 'private host'
        case --cgroup
            set kinds 'private host'
        case --proc
            set kinds 'private none host'
        case --dev
            set kinds 'private none host'
        case --tmp
            set kinds 'private none host'
        case --run
            set kinds 'private none host'
        case --home
            set kinds 'private none'
        case --hostname
            set kinds ''
        case --uptime
            set kinds ''
        case --uid
            set kinds ''
        case --gid
            set kinds ''
        case --root
            set kinds '@dir'
        case --ephemeral
            set after ' '
        case --overlay
            set kinds '@dir'
        case --ro
            set once
            set kinds '@path'
        case --rw
            set once
            set kinds '@path'
        case --ro-bind
            set once
            set kinds '@path' '@path'
        case --rw-bind
            set once
            set kinds '@path' '@path'
        case --ro-try
            set once
            set kinds '@path'
        case --rw-try
            set once
            set kinds '@path'
        case --ro-bind-try
            set once
            set kinds '@path' '@path'
        case --rw-bind-try
            set once
            set kinds '@path' '@path'
        case --tmpfs
            set once
            set kinds '@dir'
        case --dir
            set once
            set kinds '@path'
        case --symlink
            set once
            set kinds '@path' '@path'
        case --file
            set once
            set kinds '' '@path'
        case --hide
            set once
            set kinds '@path'
        case --hide-try
            set once
            set kinds '@path'
        case --noexec
            set once
            set kinds '@path'
        case --device
            set once
            set kinds '@path'
        case --device-try
            set once
            set kinds '@path'
        case --env
            set once
            set kinds '@variable'
        case --fd
            set once
            set kinds ''
        case --chdir
            set kinds '@dir'
        case --umask
            set kinds ''
        case --processors
            set kinds ''
        case --args
            set once
            set kinds '@path'
        case --allow-syscall
            set once
            set kinds '@call'
        case --deny-syscall
            set once
            set kinds '@refusal'
        case --seccomp
            set kinds 'default none'
        case --landlock
            set kinds 'default none'
        case --connect
            set once
            set kinds ''
        case --listen
            set once
            set kinds ''
        case --degrade
            set kinds '@layers'
        case --cap
            set once
            set kinds '@capability'
        case --timeout
            set kinds ''
        case --grace
            set kinds ''
        case --rlimit
            set once
            set kinds '@limit'
        case --memory
            set kinds ''
        case --tasks
            set kinds ''
        case --cpus
            set kinds ''
        case --init
            set kinds 'reaper none'
        case --explain
            set after 'text json time'
        case --check
            set after 'text json'
        case --diff
            set after 'text json'
            set kinds '@dir'
        case --status-fd
            set kinds ''
    end
end
# end
