"""Connections that are held, as many as asked for, each with one byte sent, until stdin ends.

usage: many_connections.py '{"address": …, "port": 443, "count": 100}'
stdout: one line of JSON: {"opened"} once all were tried
"""

import socket
import sys

from report import arguments, tell


def main():
    asked = arguments()
    held = []
    for _ in range(asked["count"]):
        try:
            connection = socket.create_connection((asked["address"], asked["port"]), timeout=2)
            connection.send(b"\x16")
            held.append(connection)
        except OSError:
            pass
    tell(opened=len(held))
    sys.stdin.read()


main()
