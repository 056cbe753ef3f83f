"""Packets of protocols that no client speaks, by the sockets that the kernel has for them.

usage: datagrams.py '[{"kind": "udp" | "udplite" | "icmp" | "sctp" | "gre" | number, "address": …, "port": …, "text": …}…]'
stdout: a line of JSON each: {"kind", "address", "sent": bool, "error"}
`udp` and `udplite` are anybody's; the others take CAP_NET_RAW.
"""

import socket
import struct

from checksums import crc32c, internet_checksum
from report import arguments, tell, told

UDPLITE = 136
PROTOCOLS = {"icmp": 1, "icmpv6": 58, "sctp": 132, "gre": 47}


def payload_of(kind, port, text, family):
    if kind == "icmp" and family == socket.AF_INET6:
        return struct.pack("!BBHHH", 128, 0, 0, 7, 1) + text
    if kind == "icmp":
        text += b"\0" * (len(text) % 2)
        head = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
        return struct.pack("!BBHHH", 8, 0, internet_checksum(head + text), 7, 1) + text
    if kind == "sctp":
        # An INIT chunk (RFC 9260 section 3.3.2) under the common header.
        init = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65535, 1, 1, 1)
        head = struct.pack("!HHI", 40000, port, 0)
        sum_ = crc32c(head + b"\0\0\0\0" + init)
        return head + struct.pack("<I", sum_) + init
    if kind == "gre":
        return struct.pack("!HH", 0, 0x0800) + text
    return text


def send(asked):
    kind, address, port = asked["kind"], asked["address"], asked.get("port", 443)
    text = asked.get("text", "out of band").encode()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind in ("udp", "udplite"):
        sock = socket.socket(family, socket.SOCK_DGRAM, UDPLITE if kind == "udplite" else 0)
        sock.connect((address, port))
        sock.send(text)
        return
    protocol = PROTOCOLS.get(kind, kind)
    if kind == "icmp" and family == socket.AF_INET6:
        protocol = PROTOCOLS["icmpv6"]
    sock = socket.socket(family, socket.SOCK_RAW, protocol)
    sock.sendto(payload_of(kind, port, text, family), (address, 0))


for each in arguments():
    try:
        send(each)
        tell(kind=each["kind"], address=each["address"], sent=True)
    except OSError as error:
        tell(kind=each["kind"], address=each["address"], sent=False, error=told(error))
