"""Whole packets from a packet's own maker: IP_HDRINCL, and AF_PACKET below all of IP.

usage: raw_packets.py '{"how": "hdrincl" | "packet", "what": "syn" | "udp" | "icmp", "source": …, "address": …, "port": …,
                        "device": "eth0", "text": …, "sourcePort": …, "flags": of a segment, "corrupt": a segment that its receiver
                        drops, "gateway": address of the next hop}'
stdout: one line of JSON: {"sent": bool, "error"}. Takes CAP_NET_RAW.
"""

import fcntl
import ipaddress
import socket
import struct
import subprocess
import time

from checksums import internet_checksum
from report import arguments, tell, told

SIOCGIFHWADDR = 0x8927
SYN = 2


def above(asked, source, destination):
    port, own = asked.get("port", 443), asked.get("sourcePort", 40404)
    text = asked.get("text", "").encode()
    if asked["what"] == "icmp":
        kind = 128 if source.version == 6 else 8
        bare = struct.pack("!BBHHH", kind, 0, 0, 7, 1) + text
        pseudo = b"" if source.version == 4 else pseudo_header(source, destination, 58, len(bare))
        return (58 if source.version == 6 else 1), bare[:2] + struct.pack("!H", internet_checksum(pseudo + bare)) + bare[4:]
    if asked["what"] == "udp":
        bare = struct.pack("!HHHH", own, port, 8 + len(text), 0) + text
        pseudo = pseudo_header(source, destination, 17, len(bare))
        return 17, bare[:6] + struct.pack("!H", internet_checksum(pseudo + bare)) + bare[8:]
    bare = struct.pack("!HHIIBBHHH", own, port, 1, 0, 5 << 4, asked.get("flags", SYN), 64240, 0, 0)
    pseudo = pseudo_header(source, destination, 6, len(bare))
    checksum = internet_checksum(pseudo + bare) ^ (1 if asked.get("corrupt") else 0)
    return 6, bare[:16] + struct.pack("!H", checksum) + bare[18:]


def pseudo_header(source, destination, protocol, length):
    if source.version == 4:
        return source.packed + destination.packed + struct.pack("!BBH", 0, protocol, length)
    return source.packed + destination.packed + struct.pack("!II", length, protocol)


def packet(asked):
    source = ipaddress.ip_address(asked["source"])
    destination = ipaddress.ip_address(asked["address"])
    protocol, body = above(asked, source, destination)
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source.packed + destination.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, protocol, 0)
    head += source.packed + destination.packed
    return head[:10] + struct.pack("!H", internet_checksum(head)) + head[12:] + body


def hardware_address(sock, device):
    return fcntl.ioctl(sock.fileno(), SIOCGIFHWADDR, struct.pack("256s", device.encode()))[18:24]


def neighbour(gateway):
    """The next hop's hardware address, which the kernel looks up for an ordinary datagram to it."""
    family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"", (gateway, 9))
    time.sleep(0.1)
    line = subprocess.run(["ip", "neigh", "show", gateway], capture_output=True, text=True).stdout
    return bytes.fromhex(line.split("lladdr ")[1].split()[0].replace(":", ""))


def main():
    asked = arguments()
    whole = packet(asked)
    six = ":" in asked["address"]
    try:
        if asked["how"] == "hdrincl":
            sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            sock.sendto(whole, (asked["address"], 0))
        else:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            device = asked.get("device", "eth0")
            sock.bind((device, 0))
            own = hardware_address(sock, device)
            kind = 0x86DD if six else 0x0800
            sock.send(neighbour(asked["gateway"]) + own + struct.pack("!H", kind) + whole)
        tell(sent=True)
    except (OSError, IndexError) as error:
        tell(sent=False, error=told(error))


if __name__ == "__main__":
    main()
