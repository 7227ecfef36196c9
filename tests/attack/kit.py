"""Tries the expressions that are its arguments, and says of each how it ended: the
name of the error, the text that it gave, or "done". Before it stand the numbers of
all system calls, CALLS."""

import ctypes, errno, fcntl, mmap, os, resource, select, signal, socket, struct, sys, termios, time

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *words):
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    done = libc.syscall(ctypes.c_long(CALLS[name]), *words)
    if done < 0:
        raise OSError(ctypes.get_errno(), name)
    return done


def text(path, size=100):
    with open(path, "rb", buffering=0) as file:
        return "read" if file.read(size) else "empty"


def write(path, content=b"x", flags=os.O_WRONLY):
    file = os.open(path, flags)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def child():
    """A process of one's own that waits to be killed, and can be looked into."""
    pid = os.fork()
    if pid == 0:
        libc.prctl(0x59616D61, -1)
        libc.prctl(1, 9)
        signal.pause()
    return pid


def vector(size=8):
    """An iovec of memory that is surely there."""
    vector.kept = ctypes.create_string_buffer(size)
    at = ctypes.addressof(vector.kept)
    return struct.pack("PN", at, size)


def attach(pid):
    """PTRACE_ATTACH, the stop, PTRACE_DETACH."""
    call("ptrace", 16, pid, 0, 0)
    os.waitpid(pid, 0)
    call("ptrace", 17, pid, 0, 0)


def tried(expression):
    try:
        value = eval(expression, globals())
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return value if isinstance(value, str) else "done"


if __name__ == "__main__":
    for expression in sys.argv[1:]:
        print(tried(expression), flush=True)
