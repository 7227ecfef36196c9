# Runs a program under a system-call filter such as others put around a process:
#   filter.py NAMESPACES PRCTL ENOSYS EPERM -- PROGRAM [ARG]...
# NAMESPACES: the numbers of clone and unshare, refused with namespace flags, or -.
# PRCTL: the number of prctl, refused with PR_SET_SECCOMP, or -.
# ENOSYS, EPERM: the numbers of calls that are refused so, commas between, or -.
import ctypes, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = 1, 38
NEW_NAMESPACES, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 0x7E020000, 22, 2


def bpf(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)


def numbers(word):
    return [] if word == "-" else [int(number) for number in word.split(",")]


namespaces, prctl, absent, refused = (numbers(word) for word in sys.argv[1:5])
program = [bpf(LOAD, 0, 0, 0)]
for number in absent:
    program += [bpf(EQUAL, 0, 1, number), bpf(RETURN, 0, 0, ERRNO | ENOSYS)]
for number in refused:
    program += [bpf(EQUAL, 0, 1, number), bpf(RETURN, 0, 0, ERRNO | EPERM)]
for group, test, value in [(namespaces, ANY_BIT, NEW_NAMESPACES), (prctl, EQUAL, PR_SET_SECCOMP)]:
    for number in group:
        program += [
            bpf(EQUAL, 0, 4, number),
            bpf(LOAD, 0, 0, 16),  # its first argument
            bpf(test, 0, 1, value),
            bpf(RETURN, 0, 0, ERRNO | EPERM),
            bpf(RETURN, 0, 0, ALLOW),
        ]
program.append(bpf(RETURN, 0, 0, ALLOW))
code = ctypes.create_string_buffer(b"".join(program))
given = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, given, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[6], sys.argv[6:])
