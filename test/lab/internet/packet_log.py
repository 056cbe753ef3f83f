"""Tells of every packet that comes in from another machine, and opens something: a lone SYN, or anything that is
not TCP. Router and neighbour discovery are left out.

stdin:  a line `flush` is answered by `flushed` once everything that came before it has been told; its end ends this
stdout: `ready`, then a line of JSON a packet (test/lab/packet-log.ts has its type)
"""

import ipaddress
import json
import selectors
import socket
import sys
import time

ETH_P_ALL = 3
ETH_P_IP = 0x0800
ETH_P_IPV6 = 0x86DD
PACKET_OUTGOING = 4
TCP, UDP, ICMP, ICMPV6, UDPLITE = 6, 17, 1, 58, 136
# RFC 8200 section 4: hop-by-hop, routing, fragment, destination options.
EXTENSIONS = {0, 43, 44, 60}
# Router and neighbour discovery, multicast listeners.
HOUSEKEEPING = {130, 131, 132, 133, 134, 135, 136, 143}


def parse(kind, packet):
    if kind == ETH_P_IP:
        length = (packet[0] & 15) * 4
        return 4, packet[9], packet[12:16], packet[16:20], packet[length:]
    if kind != ETH_P_IPV6:
        return None
    protocol, at = packet[6], 40
    while protocol in EXTENSIONS and at + 8 <= len(packet):
        size = 8 if protocol == 44 else (packet[at + 1] + 1) * 8
        protocol, at = packet[at], at + size
    return 6, protocol, packet[8:24], packet[24:40], packet[at:]


def opens_something(protocol, above):
    if protocol == TCP:
        return len(above) >= 14 and above[13] & 0x17 == 0x02
    return not (protocol == ICMPV6 and above[:1] and above[0] in HOUSEKEEPING)


def tell(kind, packet):
    parsed = parse(kind, packet)
    if parsed is None:
        return
    family, protocol, source, destination, above = parsed
    if not opens_something(protocol, above):
        return
    told = {
        "at": round(time.time() * 1000),
        "family": family,
        "protocol": protocol,
        "source": str(ipaddress.ip_address(source)),
        "destination": str(ipaddress.ip_address(destination)),
        "head": above[:64].hex(),
    }
    if protocol in (TCP, UDP, UDPLITE, 132) and len(above) >= 4:
        told["sourcePort"] = int.from_bytes(above[0:2], "big")
        told["destinationPort"] = int.from_bytes(above[2:4], "big")
    if protocol in (ICMP, ICMPV6) and above:
        told["icmpType"] = above[0]
    sys.stdout.write(json.dumps(told) + "\n")


def drain(tap):
    while True:
        try:
            packet, (device, kind, direction, *_) = tap.recvfrom(65535)
        except BlockingIOError:
            break
        if direction != PACKET_OUTGOING and device != "lo" and len(packet) >= 20:
            tell(kind, packet)
    sys.stdout.flush()


def main():
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    tap.setblocking(False)
    print("ready", flush=True)
    selector = selectors.DefaultSelector()
    selector.register(tap, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is tap:
                drain(tap)
                continue
            if not sys.stdin.readline():
                return
            drain(tap)
            print("flushed", flush=True)


main()
