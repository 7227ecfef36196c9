/* What the kernel must do for the default jail, and nothing else: `floor PAYLOAD
   [SOURCE NAME]... -- [ARG]...` shows PAYLOAD as /payload and each SOURCE as /NAME, as
   jail does with --ro-bind, and executes the payload.

   It is no jail to use. It reads no flag, looks at nothing first, knows this one view,
   passes no signal on and says nothing of what fails but by its status: it is there to
   be measured. The namespaces, the mounts with their attributes, Landlock's rules, the
   filter, process 1 and what it gives up are those of the default policy; the order is
   the cheapest that is known. It has no C library, whose start-up takes time.

   filter.h, which the benchmark writes, has the default filter's instructions. With
   -DHOST_NETWORK it is the floor of --net host: no network namespace, no loopback. With
   -DTREE it is that of --root: the only word before "--" is a tree that has /payload.
   -DEPHEMERAL, too, makes it that of --ephemeral: the tree's path begins with a slash. */

#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <stddef.h>

#include "bare.h"

static const struct sock_filter filter[] = {
#include "filter.h"
};

/* Where it failed, as the status. */
#define MUST(what) must(what, __LINE__)
static inline long must(long result, int line) {
    if (result < 0) CALL1(exit_group, line % 250 + 1);
    return result;
}

static unsigned length(const char *text) {
    unsigned n = 0;
    while (text[n]) n++;
    return n;
}

static void put(const char *path, const char *text) {
    int fd = MUST(CALL4(openat, AT_FDCWD, path, O_WRONLY, 0));
    MUST(CALL3(write, fd, text, length(text)));
    CALL1(close, fd);
}

/* "N N 1", as an id map has it. */
static void map(const char *path, unsigned id) {
    char digits[10], line[32];
    unsigned n = 0, at = 0;
    do digits[n++] = '0' + id % 10; while (id /= 10);
    for (int twice = 0; twice < 2; twice++) {
        for (unsigned i = n; i-- > 0;) line[at++] = digits[i];
        line[at++] = ' ';
    }
    line[at++] = '1';
    line[at] = 0;
    put(path, line);
}

static int root;

#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static int new_mount(const char *type, const char *mode, unsigned attributes) {
    int config = MUST(CALL2(fsopen, type, FSOPEN_CLOEXEC));
    if (mode) MUST(CALL5(fsconfig, config, FSCONFIG_SET_STRING, "mode", mode, 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_CMD_CREATE, 0, 0, 0));
    int mount = MUST(CALL3(fsmount, config, FSMOUNT_CLOEXEC, attributes));
    CALL1(close, config);
    return mount;
}

static void attach(int mount, const char *name) {
    MUST(CALL5(move_mount, mount, "", root, name, MOVE_MOUNT_F_EMPTY_PATH));
    CALL1(close, mount);
}

static void show(const char *source, const char *name, unsigned attributes) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | attributes, .propagation = 1 << 18};
    int tree = MUST(CALL3(open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    MUST(CALL5(mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr));
    attach(tree, name);
}

static void device(const char *source) {
    MUST(CALL4(mknodat, root, source + 1, S_IFREG | 0644, 0));
    show(source, source + 1, MOUNT_ATTR_NOEXEC);
}

/* A directory in the memory that is there already, or memory of its own, as a mount. */
static int memory(const char *path, const char *digits, unsigned mode, int own) {
    int mount;
    if (own) {
        mount = new_mount("tmpfs", digits, QUIET);
    } else {
        MUST(CALL3(mkdirat, root, path, mode));
        mount = MUST(CALL3(open_tree, root, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    }
    MUST(CALL5(move_mount, mount, "", root, path, MOVE_MOUNT_F_EMPTY_PATH));
    return mount;
}

static void directory(const char *path) { MUST(CALL3(mkdirat, root, path, 0755)); }

#define READ (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ALL_FILES 0xffffULL
#define WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | (1 << 14))
#define MAKE (ALL_FILES & ~(LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | (1 << 15)))

static void allow(int ruleset, int fd, unsigned long long rights) {
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    MUST(CALL4(landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
}

static void allow_below(int ruleset, const char *path, unsigned long long rights) {
    int fd = MUST(CALL4(openat, root, path, O_PATH | O_CLOEXEC, 0));
    allow(ruleset, fd, rights);
    CALL1(close, fd);
}

static int rules(void) {
    struct { unsigned long long files, ports, scoped; } handled = {ALL_FILES, 0, 3};
    int ruleset = MUST(CALL3(landlock_create_ruleset, &handled, sizeof handled, 0));
#ifdef EPHEMERAL
    allow_below(ruleset, ".", MAKE);
#else
    allow_below(ruleset, ".", READ);
#endif
    allow_below(ruleset, "dev", READ | WRITE | 1 << 15);
    allow_below(ruleset, "dev/pts", READ | WRITE | 1 << 15);
    allow_below(ruleset, "dev/shm", MAKE);
#ifndef TREE
    allow_below(ruleset, "home/tester", MAKE);
#endif
    allow_below(ruleset, "proc", READ | WRITE);
    allow_below(ruleset, "run", MAKE);
    allow_below(ruleset, "tmp", MAKE);
    int queues = new_mount("mqueue", 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    allow(ruleset, queues, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
    CALL1(close, queues);
    /* The standard streams, where they are files: of a pipe there is no rule to make. */
    for (int fd = 0; fd < 3; fd++) {
        struct landlock_path_beneath_attr rule = {LANDLOCK_ACCESS_FS_READ_FILE, fd};
        CALL4(landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    return ruleset;
}

#ifdef EPHEMERAL
/* An overlay is the root: the tree below, and a file system in memory for changes. */
static char **files(char **words) {
    int layers = new_mount("tmpfs", "0700", QUIET);
    MUST(CALL5(move_mount, layers, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
    MUST(CALL3(mkdirat, layers, "changes", 0700));
    MUST(CALL3(mkdirat, layers, "work", 0700));
    MUST(CALL1(fchdir, layers));
    CALL1(close, layers);
    int config = MUST(CALL2(fsopen, "overlay", FSOPEN_CLOEXEC));
    MUST(CALL5(fsconfig, config, FSCONFIG_SET_STRING, "lowerdir", words[0], 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_SET_STRING, "upperdir", "changes", 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_SET_STRING, "workdir", "work", 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_SET_FLAG, "userxattr", 0, 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_CMD_CREATE, 0, 0, 0));
    root = MUST(CALL3(fsmount, config, FSMOUNT_CLOEXEC, QUIET));
    CALL1(close, config);
    MUST(CALL5(move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
    return words + 1;
}
#elif defined(TREE)
/* The tree is the root, with the places for what is mounted in it. */
static char **files(char **words) {
    struct mount_attr attr = {.attr_set = QUIET | MOUNT_ATTR_RDONLY, .propagation = 1 << 18};
    root = MUST(CALL3(open_tree, AT_FDCWD, words[0], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    MUST(CALL5(mount_setattr, root, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr));
    MUST(CALL5(move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
    return words + 1;
}
#else
/* What the host shows unasked: a directory, or a link to one. */
static void system_directory(const char *path) {
    char target[256];
    long n = CALL4(readlinkat, AT_FDCWD, path, target, sizeof target - 1);
    if (n > 0) {
        target[n] = 0;
        MUST(CALL3(symlinkat, target, root, path + 1));
    } else if (CALL3(mkdirat, root, path + 1, 0755) == 0) {
        show(path, path + 1, MOUNT_ATTR_NODEV);
    }
}

/* A file or a directory, read-only, at a name not deeper than two. */
static void bind(const char *source, const char *name) {
    struct statx about;
    MUST(CALL5(statx, AT_FDCWD, source, 0, STATX_TYPE, &about));
    int is_directory = (about.stx_mode & S_IFMT) == S_IFDIR;
    for (;;) {
        long made = is_directory ? CALL3(mkdirat, root, name, 0755) : CALL4(mknodat, root, name, S_IFREG | 0644, 0);
        if (made == 0) break;
        char above[64];
        unsigned n = 0;
        while (name[n] && name[n] != '/' && n < sizeof above - 1) { above[n] = name[n]; n++; }
        above[n] = 0;
        MUST(CALL3(mkdirat, root, above, 0755));
    }
    show(source, name, MOUNT_ATTR_NODEV);
}

/* The payload, and what is shown beside it: up to "--". Gives the place of that. */
static char **binds(char **words) {
    bind(words[0], "payload");
    for (words++; words[0] && !(words[0][0] == '-' && words[0][1] == '-'); words += 2) bind(words[0], words[1]);
    return words;
}

/* An empty root, the host's system directories and the binds. */
static char **files(char **words) {
    root = new_mount("tmpfs", "0755", QUIET);
    MUST(CALL5(move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
    static const char *const system[] = {"/usr", "/etc", "/opt", "/nix/store", "/gnu/store", "/bin",
                                         "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    for (unsigned i = 0; i < sizeof system / sizeof *system; i++) {
        struct statx about;
        if (CALL5(statx, AT_FDCWD, system[i], AT_SYMLINK_NOFOLLOW, STATX_TYPE, &about) == 0) system_directory(system[i]);
    }
    directory("home");
    directory("proc");
    return binds(words);
}
#endif

static char **view(char **words) {
    words = files(words);
#ifdef TREE
    int own = 1;
#else
    int own = 0;
#endif
    int dev = memory("dev", "0755", 0755, own);
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
    for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++) device(devices[i]);
    MUST(CALL3(symlinkat, "/proc/self/fd", root, "dev/fd"));
    MUST(CALL3(symlinkat, "/proc/self/fd/0", root, "dev/stdin"));
    MUST(CALL3(symlinkat, "/proc/self/fd/1", root, "dev/stdout"));
    MUST(CALL3(symlinkat, "/proc/self/fd/2", root, "dev/stderr"));
    MUST(CALL3(symlinkat, "pts/ptmx", root, "dev/ptmx"));
    directory("dev/pts");
    int config = MUST(CALL2(fsopen, "devpts", FSOPEN_CLOEXEC));
    MUST(CALL5(fsconfig, config, FSCONFIG_SET_STRING, "ptmxmode", "0666", 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_SET_STRING, "mode", "0620", 0));
    MUST(CALL5(fsconfig, config, FSCONFIG_CMD_CREATE, 0, 0, 0));
    attach(MUST(CALL3(fsmount, config, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)), "dev/pts");
    CALL1(close, config);

    CALL1(close, memory("dev/shm", "1777", 01777, 0));
#ifndef TREE
    CALL1(close, memory("home/tester", "0700", 0700, 0));
#endif
    CALL1(close, memory("run", "0755", 0755, own));
    CALL1(close, memory("tmp", "1777", 01777, own));
    attach(new_mount("proc", 0, QUIET | MOUNT_ATTR_NOEXEC), "proc");
    show("/dev/null", "proc/keys", MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
    MUST(CALL5(mount_setattr, dev, "", AT_EMPTY_PATH, &sealed, sizeof sealed));
#ifndef TREE
    MUST(CALL5(mount_setattr, root, "", AT_EMPTY_PATH, &sealed, sizeof sealed));
#endif
    return words;
}

static void hold_nothing(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {};
    MUST(CALL2(capset, &header, none));
}

__attribute__((noreturn)) static void command(int ruleset, char **words, char **environment) {
    unsigned long long none = 0;
    struct sock_fprog program = {sizeof filter / sizeof *filter, (struct sock_filter *)filter};
    hold_nothing();
    MUST(CALL2(landlock_restrict_self, ruleset, 0));
    CALL3(close_range, 3, ~0U, 0);
    MUST(CALL3(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    CALL4(rt_sigprocmask, 2, &none, 0, 8);
    MUST(CALL3(execve, "/payload", words, environment));
    __builtin_unreachable();
}

__attribute__((noreturn)) static void process_one(unsigned user, unsigned group, char **words, char **environment) {
    MUST(CALL2(prctl, PR_SET_PDEATHSIG, 9));
    put("/proc/self/setgroups", "deny");
    map("/proc/self/uid_map", user);
    map("/proc/self/gid_map", group);
    MUST(CALL2(keyctl, 1, 0));
    MUST(CALL2(sethostname, "jail", 4));
#ifndef HOST_NETWORK
    int socket = MUST(CALL3(socket, 2, 2, 0));
    struct { char name[16]; short flags; char rest[22]; } lo = {"lo", 0x41, ""};
    MUST(CALL3(ioctl, socket, 0x8914, &lo));
    CALL1(close, socket);
#endif
    CALL1(umask, 0);
    int limit = MUST(CALL4(openat, AT_FDCWD, "/proc/sys/user/max_user_namespaces", O_WRONLY, 0));
    MUST(CALL3(write, limit, "0", 1));
    CALL1(close, limit);
    words = view(words);
    /* In the place of "--" is what the command is called. */
    if (words[0]) words[0] = "/payload";
    int ruleset = rules();
    MUST(CALL1(fchdir, root));
    MUST(CALL2(pivot_root, ".", "."));
    MUST(CALL2(umount2, ".", 2));
#ifdef EPHEMERAL
    /* That was the memory for changes, which lay on the old root: the overlay has its own. */
    MUST(CALL2(umount2, ".", 2));
#endif
    CALL1(chdir, "/");
    CALL1(umask, 022);
    CALL2(prctl, PR_SET_NAME, "reaper");
    MUST(CALL2(prctl, PR_SET_DUMPABLE, 0));
    for (int capability = 0; CALL2(prctl, PR_CAPBSET_DROP, capability) == 0; capability++) {}
    MUST(CALL5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    /* The child runs on this stack while this process waits for its exec; nothing
       that it writes there is read afterwards. */
    long child = MUST(CALL5(clone, CLONE_VM | CLONE_VFORK | 17, 0, 0, 0, 0));
    if (child == 0) command(ruleset, words, environment);
    hold_nothing();
    CALL3(close_range, 0, ~0U, 0);
    for (;;) {
        int status;
        if (MUST(CALL4(wait4, -1, &status, 0, 0)) == child) CALL1(exit_group, status >> 8 & 0xff);
    }
}

__attribute__((noreturn, used)) static void start(long *stack) {
    char **words = (char **)(stack + 1), **environment = words + stack[0] + 1;
    unsigned user = CALL1(getuid, 0), group = CALL1(getgid, 0);
    unsigned long long all = ~0ULL;
    CALL4(rt_sigprocmask, 2, &all, 0, 8);
    long namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
#ifndef HOST_NETWORK
    namespaces |= CLONE_NEWNET;
#endif
    long child = MUST(CALL5(clone, namespaces | 17, 0, 0, 0, 0));
    if (child == 0) process_one(user, group, words + 1, environment);
    int status = 0;
    MUST(CALL4(wait4, child, &status, 0, 0));
    CALL1(exit_group, status & 0x7f ? 125 : status >> 8 & 0xff);
    __builtin_unreachable();
}
