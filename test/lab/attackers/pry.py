"""Tries to get at the gateway's secrets: its files, its processes' memory, its sockets.

usage: pry.py '{"files": […], "pids": […], "sockets": […]}'
stdout: one line of JSON: {"opened": whatever could be, "refused": count}
"""

import ctypes
import os
import socket

from report import arguments, tell

PTRACE_ATTACH = 16


def attempts(asked):
    for path in asked["files"]:
        yield path, lambda path=path: os.close(os.open(path, os.O_RDONLY))
        yield f"{path} for writing", lambda path=path: os.close(os.open(path, os.O_WRONLY))
        yield f"names in {os.path.dirname(path)}", lambda path=path: os.listdir(os.path.dirname(path))
    for pid in asked["pids"]:
        for name in ("mem", "environ", "maps", "auxv"):
            yield f"/proc/{pid}/{name}", lambda pid=pid, name=name: open(f"/proc/{pid}/{name}", "rb").read(1)
        yield f"descriptors of {pid}", lambda pid=pid: os.listdir(f"/proc/{pid}/fd")
        yield f"ptrace {pid}", lambda pid=pid: ptrace(pid)
        yield f"signal {pid}", lambda pid=pid: os.kill(pid, 0)
        yield f"descriptor of {pid}", lambda pid=pid: os.pidfd_open(pid) and steal(pid)
    for path in asked["sockets"]:
        yield path, lambda path=path: socket.socket(socket.AF_UNIX).connect(path)


def ptrace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def steal(pid):
    """pidfd_getfd(2), number 438 on every architecture but Alpha."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(438, os.pidfd_open(pid), 3, 0) < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")


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
