"""A resolver whose owner answers some names as he likes, and asks another one for the rest.

usage: own_resolver.py '{"address": where it listens, "upstream": …}'
stdin: a line of JSON replaces what it says itself: {name: {"a": […], "aaaa": […]}}; stdout: `ready`, then `taken` for each
"""

import ipaddress
import json
import socket
import struct
import sys
import threading

TYPE_A, TYPE_AAAA, TTL = 1, 28, 1


def question(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), struct.unpack("!H", query[at + 1 : at + 3])[0], at + 5


def answer(query, name, kind, end, own):
    addresses = own[name]["a" if kind == TYPE_A else "aaaa"] if kind in (TYPE_A, TYPE_AAAA) else []
    records = b"".join(
        struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(packed)) + packed
        for packed in (ipaddress.ip_address(each).packed for each in addresses)
    )
    return query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(addresses), 0, 0) + query[12:end] + records


def ask(upstream, query):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.sendto(query, (upstream, 53))
        return sock.recv(4096)


def main():
    asked = json.loads(sys.argv[1])
    own = {}
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((asked["address"], 53))

    def serve():
        while True:
            query, client = sock.recvfrom(4096)
            try:
                name, kind, end = question(query)
                known = name in own
                sock.sendto(answer(query, name, kind, end, own) if known else ask(asked["upstream"], query), client)
            except (OSError, IndexError, struct.error):
                continue

    threading.Thread(target=serve, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        own.clear()
        own.update(json.loads(line))
        print("taken", flush=True)


main()
