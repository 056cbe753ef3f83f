"""Calls whose caller is gone before anybody can look: each by a process of its own, which sends and ends.

usage: vanishing_call.py '{"address": …, "port": 80, "host": …, "target": …, "count": 20, "reset": bool}'
`reset` ends each connection with it, else its end is left to the kernel. stdout: one line of JSON: {"sent"}
"""

import os
import socket
import struct

from report import arguments, tell


def call(asked):
    request = f"GET {asked['target']} HTTP/1.1\r\nHost: {asked['host']}\r\nAuthorization: Bearer sk-lab\r\n\r\n".encode()
    connection = socket.socket(socket.AF_INET6 if ":" in asked["address"] else socket.AF_INET)
    connection.settimeout(2)
    connection.connect((asked["address"], asked["port"]))
    connection.send(request)
    if asked.get("reset"):
        # SO_LINGER with no time: a reset at once.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def main():
    asked, sent = arguments(), 0
    for _ in range(asked["count"]):
        child = os.fork()
        if child == 0:
            try:
                call(asked)
                os._exit(0)
            except OSError:
                os._exit(1)
        sent += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    tell(sent=sent)


main()
