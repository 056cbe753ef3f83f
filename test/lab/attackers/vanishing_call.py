"""Calls whose caller is gone before anybody can look: sends, resets and ends, as often as asked for.

usage: vanishing_call.py '{"address": …, "port": 80, "host": …, "target": …, "count": 20}'
stdout: one line of JSON: {"sent"}
"""

import socket
import struct

from report import arguments, tell


def main():
    asked = arguments()
    request = f"GET {asked['target']} HTTP/1.1\r\nHost: {asked['host']}\r\nAuthorization: Bearer sk-lab\r\n\r\n".encode()
    sent = 0
    for _ in range(asked["count"]):
        connection = socket.socket(socket.AF_INET6 if ":" in asked["address"] else socket.AF_INET)
        connection.settimeout(2)
        try:
            connection.connect((asked["address"], asked["port"]))
            connection.send(request)
            # SO_LINGER with no time: a reset at once.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sent += 1
        except OSError:
            pass
        connection.close()
    tell(sent=sent)


main()
