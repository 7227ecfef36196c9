# Completes jail(1) in bash: flags, their values, then the command's own words.
# bash-completion knows those of other commands; without it there are files.

_jail()
{
    local line=${COMP_LINE:0:COMP_POINT} piece='' cur='' head='' given=' ' word i left=0 command='' after once
    local -a words=() starts=() kinds=()
    COMPREPLY=()

    # Readline cuts at = : and @, too; what no blank parts was typed as one word.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $line == [[:blank:]]* ]]; then
            line=${line#"${line%%[![:blank:]]*}"}
            words+=('')
            starts+=("$i")
        fi
        ((i < COMP_CWORD)) || piece=$line
        line=${line#"$piece"}
        words[${#words[@]} - 1]+=$piece
    done
    cur=${words[${#words[@]} - 1]}

    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if ((left > 0)); then
            ((left--))
        elif [[ $word == -- ]]; then
            command=${starts[i + 1]}
            break
        elif [[ $word == -* ]]; then
            _jail_row "${word%%=*}"
            given+="${word%%=*} "
            left=${#kinds[@]}
            [[ $word != *=* || -n $after || $left == 0 ]] || ((left--))
        else
            command=${starts[i]}
            break
        fi
    done

    if [[ -n $command ]]; then
        _jail_command "$command"
        return
    elif ((left > 0)); then
        _jail_values "${kinds[${#kinds[@]} - left]}" "$cur"
    elif [[ $cur == --*=* ]]; then
        _jail_row "${cur%%=*}"
        head=${cur%%=*}=
        _jail_values "${after:-${kinds[0]-}}" "${cur#*=}"
    elif [[ $cur == -* ]]; then
        for word in $_jail_flags; do
            _jail_row "$word"
            [[ $once && $given == *" $word "* || $word != "$cur"* ]] || COMPREPLY+=("$word")
        done
    else
        _jail_command "${starts[${#words[@]} - 1]}"
        return
    fi

    # Readline puts the answer where it cut last; before an @ that it knows as a host's.
    case $piece in
    [=:]*) piece=${piece#?} ;;
    esac
    line=${cur%"$piece"}
    line=${line%@}
    for i in "${!COMPREPLY[@]}"; do
        word=$head${COMPREPLY[i]}
        COMPREPLY[i]=${word#"$line"}
    done
}

# The values of kind $1 that begin with $2.
_jail_values()
{
    local kind=$1 value=$2 words
    case $kind in
    @path) _jail_files -f ;;
    @dir) _jail_files -d ;;
    @endpoint)
        if [[ $value == unix:* ]]; then
            head+=unix:
            value=${value#unix:}
            _jail_files -f
        else
            compopt -o nospace 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -S : -W unix -A hostname -- "$value")
        fi
        ;;
    @variable) mapfile -t COMPREPLY < <(compgen -e -- "$value") ;;
    @limit)
        words=${_jail_limits// /= }=
        [[ $value != *=* ]] || words=${value%%=*}=unlimited
        compopt -o nospace 2>/dev/null
        ;;
    @capability) words=$_jail_capabilities ;;
    @call) words="$_jail_groups $_jail_calls" ;;
    @refusal)
        words="$_jail_groups $_jail_calls"
        if [[ $value == *:* ]]; then
            head+=${value%%:*}:
            value=${value#*:}
            words=$_jail_errors
        fi
        ;;
    @layers)
        words=" $_jail_layers "
        while [[ $value == *,* ]]; do
            words=${words/ ${value%%,*} / }
            head+=${value%%,*},
            value=${value#*,}
        done
        ;;
    *) words=$kind ;;
    esac
    [[ -z ${words-} ]] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$value")
}

# Files, or directories alone, that begin with the value.
_jail_files()
{
    local cur=$value
    if declare -F _filedir >/dev/null; then
        [[ $1 == -f ]] && _filedir || _filedir -d
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen "$1" -- "$value")
    fi
}

# The words of the command that begins at word $1 of readline's.
_jail_command()
{
    local offset
    for offset in _comp_command_offset _command_offset; do
        if declare -F "$offset" >/dev/null; then
            "$offset" "$1"
            return
        fi
    done
    compopt -o filenames 2>/dev/null
    if (($1 == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

complete -F _jail jail

# begin: made of the flags' table
_jail_flags='--net --reach --publish --pid --ipc --cgroup --proc --dev --tmp --run --home --hostname --uptime
--uid --gid --as-root --subids --fakeroot --root --writable --ephemeral --overlay --ro --rw
--ro-bind --rw-bind --ro-try --rw-try --ro-bind-try --rw-bind-try --tmpfs --dir --symlink --file
--hide --hide-try --noexec --device --device-try --env --fd --chdir --umask --processors --args
--allow-syscall --deny-syscall --seccomp --landlock --connect --listen --degrade --nested --cap
--timeout --grace --rlimit --memory --tasks --cpus --pty --new-session --init --explain --check
--diff --status-fd --trace-denied --version --help'
_jail_groups='@aio @basic-io @chown @clock @cpu-emulation @debug @default @file-system @io-event @ipc @keyring
@memlock @module @mount @network-io @obsolete @pkey @privileged @process @raw-io @reboot @resources
@sandbox @setuid @signal @swap @sync @system-service @timer'
_jail_calls='_sysctl accept accept4 access acct add_key adjtimex afs_syscall alarm arch_prctl bind bpf brk
cachestat capget capset chdir chmod chown chroot clock_adjtime clock_getres clock_gettime
clock_nanosleep clock_settime clone clone3 close close_range connect copy_file_range creat
create_module delete_module dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group
faccessat faccessat2 fadvise64 fallocate fanotify_init fanotify_mark fchdir fchmod fchmodat
fchmodat2 fchown fchownat fcntl fdatasync fgetxattr file_getattr file_setattr finit_module
flistxattr flock fork fremovexattr fsconfig fsetxattr fsmount fsopen fspick fstat fstatfs fsync
ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_kernel_syms
get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpeername getpgid getpgrp getpid getpmsg getppid getpriority getrandom
getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
getxattr getxattrat init_module inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter io_uring_register
io_uring_setup ioctl ioperm iopl ioprio_get ioprio_set kcmp kexec_file_load kexec_load keyctl kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen
listmount listns listxattr listxattrat llistxattr lookup_dcookie lremovexattr lseek lsetxattr
lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat madvise map_shadow_stack mbind membarrier
memfd_create memfd_secret migrate_pages mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
mmap modify_ldt mount mount_setattr move_mount move_pages mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap name_to_handle_at nanosleep newfstatat nfsservctl open open_by_handle_at open_tree
open_tree_attr openat openat2 pause perf_event_open personality pidfd_getfd pidfd_open
pidfd_send_signal pipe pipe2 pivot_root pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64
preadv preadv2 prlimit64 process_madvise process_mrelease process_vm_readv process_vm_writev
pselect6 ptrace putpmsg pwrite64 pwritev pwritev2 query_module quotactl quotactl_fd read readahead
readlink readlinkat readv reboot recvfrom recvmmsg recvmsg remap_file_pages removexattr
removexattrat rename renameat renameat2 request_key restart_syscall rmdir rseq rseq_slice_yield
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield seccomp security select semctl semget semop semtimedop
sendfile sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node set_robust_list
set_thread_area set_tid_address setdomainname setfsgid setfsuid setgid setgroups sethostname
setitimer setns setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid
setsockopt settimeofday setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack
signalfd signalfd4 socket socketpair splice stat statfs statmount statx swapoff swapon symlink
symlinkat sync sync_file_range syncfs sysfs sysinfo syslog tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
tkill truncate tuxcall umask umount2 uname unlink unlinkat unshare uprobe uretprobe uselib
userfaultfd ustat utime utimensat utimes vfork vhangup vmsplice vserver wait4 waitid write writev'
_jail_errors='E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY ECANCELED
ECHILD ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDQUOT EEXIST EFAULT EFBIG
EHOSTDOWN EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR
EKEYEXPIRED EKEYREJECTED EKEYREVOKED ELOOP EMEDIUMTYPE EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG
ENETDOWN ENETRESET ENETUNREACH ENFILE ENOBUFS ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOLCK ENOLINK
ENOMEDIUM ENOMEM ENOMSG ENOPROTOOPT ENOSPC ENOSR ENOSTR ENOSYS ENOTBLK ENOTCONN ENOTDIR ENOTEMPTY
ENOTRECOVERABLE ENOTSOCK ENOTTY ENXIO EOPNOTSUPP EOVERFLOW EOWNERDEAD EPERM EPFNOSUPPORT EPIPE
EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMOTE ERFKILL EROFS ESHUTDOWN ESOCKTNOSUPPORT ESPIPE
ESRCH ESTALE ETIME ETIMEDOUT ETOOMANYREFS ETXTBSY EUSERS EXDEV'
_jail_capabilities='chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease
audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read
perfmon bpf checkpoint_restore'
_jail_limits='as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'
_jail_layers='namespaces net pid ipc cgroup hostname proc userns-limit seccomp landlock root'

_jail_row()
{
    once=1 after='' kinds=()
    case $1 in
    --net) kinds=('none host pasta') ;;
    --reach) once='' kinds=('@endpoint') ;;
    --publish) once='' kinds=('') ;;
    --pid) kinds=('private host') ;;
    --ipc) kinds=('private host') ;;
    --cgroup) kinds=('private host') ;;
    --proc) kinds=('private none host') ;;
    --dev) kinds=('private none host') ;;
    --tmp) kinds=('private none host') ;;
    --run) kinds=('private none host') ;;
    --home) kinds=('private none') ;;
    --hostname) kinds=('') ;;
    --uptime) kinds=('') ;;
    --uid) kinds=('') ;;
    --gid) kinds=('') ;;
    --root) kinds=('@dir') ;;
    --ephemeral) after=' ' ;;
    --overlay) kinds=('@dir') ;;
    --ro) once='' kinds=('@path') ;;
    --rw) once='' kinds=('@path') ;;
    --ro-bind) once='' kinds=('@path' '@path') ;;
    --rw-bind) once='' kinds=('@path' '@path') ;;
    --ro-try) once='' kinds=('@path') ;;
    --rw-try) once='' kinds=('@path') ;;
    --ro-bind-try) once='' kinds=('@path' '@path') ;;
    --rw-bind-try) once='' kinds=('@path' '@path') ;;
    --tmpfs) once='' kinds=('@dir') ;;
    --dir) once='' kinds=('@path') ;;
    --symlink) once='' kinds=('@path' '@path') ;;
    --file) once='' kinds=('' '@path') ;;
    --hide) once='' kinds=('@path') ;;
    --hide-try) once='' kinds=('@path') ;;
    --noexec) once='' kinds=('@path') ;;
    --device) once='' kinds=('@path') ;;
    --device-try) once='' kinds=('@path') ;;
    --env) once='' kinds=('@variable') ;;
    --fd) once='' kinds=('') ;;
    --chdir) kinds=('@dir') ;;
    --umask) kinds=('') ;;
    --processors) kinds=('') ;;
    --args) once='' kinds=('@path') ;;
    --allow-syscall) once='' kinds=('@call') ;;
    --deny-syscall) once='' kinds=('@refusal') ;;
    --seccomp) kinds=('default none') ;;
    --landlock) kinds=('default none') ;;
    --connect) once='' kinds=('') ;;
    --listen) once='' kinds=('') ;;
    --degrade) kinds=('@layers') ;;
    --cap) once='' kinds=('@capability') ;;
    --timeout) kinds=('') ;;
    --grace) kinds=('') ;;
    --rlimit) once='' kinds=('@limit') ;;
    --memory) kinds=('') ;;
    --tasks) kinds=('') ;;
    --cpus) kinds=('') ;;
    --init) kinds=('reaper none') ;;
    --explain) after='text json time' ;;
    --check) after='text json' ;;
    --diff) after='text json' kinds=('@dir') ;;
    --status-fd) kinds=('') ;;
    esac
}
# end
