"""Tries to get at the gateway's secrets: its files, its processes' memory, its sockets.

usage: pry.py '{"files": […], "directories": […], "pids": […], "sockets": […]}'; a socket that begins with @ is an abstract one
stdout: one line of JSON: {"opened": whatever could be, "refused": count}
"""

import ctypes
import os
import socket

from report import arguments, tell

PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
# Descriptors that are tried for a copy: listeners, channels to other processes, capture handles.
DESCRIPTORS = 48
# /proc/PID/…: what proc(5) guards by ptrace(2)'s rules, and what is its owner's alone.
PRIVATE = ("mem", "environ", "maps", "smaps", "auxv", "stack", "syscall", "pagemap", "io", "personality", "wchan")
# Names that only lead somewhere: followed, they would be the process's own view of the machine.
LINKS = ("exe", "cwd", "root", "ns/net", "map_files", "fd", "fdinfo")

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def attempts(asked):
    for path in asked["files"]:
        yield path, lambda path=path: os.close(os.open(path, os.O_RDONLY))
        yield f"{path} for writing", lambda path=path: os.close(os.open(path, os.O_WRONLY))
        yield f"a link to {path}", lambda path=path: linked(path)
        yield f"{path} in place of it", lambda path=path: os.rename(path, f"{path}.moved")
    for path in asked["directories"]:
        yield f"names in {path}", lambda path=path: os.listdir(path)
    for pid in asked["pids"]:
        for name in PRIVATE:
            yield f"/proc/{pid}/{name}", lambda pid=pid, name=name: read(f"/proc/{pid}/{name}")
            yield f"/proc/{pid}/task/{pid}/{name}", lambda pid=pid, name=name: read(f"/proc/{pid}/task/{pid}/{name}")
        for name in LINKS:
            yield f"/proc/{pid}/{name}", lambda pid=pid, name=name: follow(f"/proc/{pid}/{name}")
        yield f"ptrace {pid}", lambda pid=pid: ptrace(PTRACE_ATTACH, pid)
        yield f"seize {pid}", lambda pid=pid: ptrace(PTRACE_SEIZE, pid)
        yield f"memory of {pid}", lambda pid=pid: memory(pid)
        yield f"signal {pid}", lambda pid=pid: os.kill(pid, 0)
        yield f"limits of {pid}", lambda pid=pid: limits(pid)
        yield f"descriptors of {pid}", lambda pid=pid: steal(pid)
    for path in asked["sockets"]:
        yield path, lambda path=path: connect(path)


def read(path):
    """Empty is nothing gained: some are there for everybody and show nothing to strangers."""
    with open(path, "rb") as file:
        if path.endswith("/mem"):
            return
        if not file.read(64).strip(b"\0\n0 "):
            raise OSError(0, "nothing in it")


def follow(path):
    return os.listdir(path) if os.path.isdir(path) else os.readlink(path)


def linked(path):
    name = f"/tmp/link-{os.getuid()}"
    os.link(path, name)
    os.unlink(name)


def ptrace(how, pid):
    if libc.ptrace(how, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def memory(pid):
    """process_vm_readv(2). The first page of nothing would do: what is asked first is whether it may be asked."""
    there = ctypes.create_string_buffer(8)
    local = Vector(ctypes.cast(there, ctypes.c_void_p), 8)
    remote = Vector(ctypes.addressof(there), 8)
    if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) < 0:
        error = ctypes.get_errno()
        # EFAULT: it may be read, only not there.
        if error != 14:
            raise OSError(error, "process_vm_readv")


def limits(pid):
    """prlimit(2): with a limit on core files raised, its memory would be written out when it crashes."""
    import resource

    resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def steal(pid):
    """pidfd_getfd(2), number 438 on every architecture but Alpha."""
    handle = os.pidfd_open(pid)
    for fd in range(DESCRIPTORS):
        if libc.syscall(438, handle, fd, 0) >= 0:
            return
    raise OSError(ctypes.get_errno(), "pidfd_getfd")


def connect(path):
    address = "\0" + path[1:] if path.startswith("@") else path
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as sock:
                sock.connect(address)
            return
        except OSError as error:
            refused = error
    raise refused


def main():
    opened, refused = [], 0
    for what, act in attempts(arguments()):
        try:
            act()
            opened.append(what)
        except OSError:
            refused += 1
    tell(opened=opened, refused=refused)


main()
