"""Frames by every door below the IP stack that CAP_NET_RAW opens.

usage: frames.py '[{"how": …, "what", "source", "address", "port", "sourcePort", "flags", "text", "device", "gateway"}…]'
`what` and the fields beside it are those of raw_packets.py; `how` is one of
    packet     a packet socket
    bypass     the same past the queueing discipline (PACKET_QDISC_BYPASS)
    datagram   a packet socket that leaves the frame's header to the kernel
    disguised  the frame says IP, the address beside it (sll_protocol) something else
    tagged     with a priority tag (VLAN 0, IEEE 802.1Q), which receivers take off
    xdp        an AF_XDP socket in copy mode, which takes no program to send
stdout: a line of JSON each: {"how", "sent": bool, "error"}
"""

import ctypes
import mmap
import os
import socket
import struct
import time

from raw_packets import hardware_address, neighbour, packet
from report import arguments, tell, told

ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q = 0x0800, 0x86DD, 0x8100
# IEEE 802: local experiments.
ETH_P_EXPERIMENT = 0x88B5
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 1, 3, 4, 5, 6
XDP_PGOFF_TX_RING = 0x80000000
XDP_COPY = 2
CHUNK, ENTRIES = 4096, 4


def send_packet(how, device, frame, kind):
    if how == "datagram":
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        sock.sendto(frame[14:], (device, kind, 0, 0, frame[:6]))
        return
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    if how == "bypass":
        sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    if how == "tagged":
        frame = frame[:12] + struct.pack("!HH", ETH_P_8021Q, 0) + frame[12:]
        kind = ETH_P_8021Q
    sock.sendto(frame, (device, ETH_P_EXPERIMENT if how == "disguised" else kind))


def open_xdp(device, frame=b""):
    """A socket bound to the device's first queue, and its ring. See Documentation/networking/af_xdp.rst; Python knows neither its addresses nor its rings."""
    libc = ctypes.CDLL(None, use_errno=True)
    sock = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
    memory = mmap.mmap(-1, CHUNK * ENTRIES)
    memory[: len(frame)] = frame
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    sock.setsockopt(SOL_XDP, XDP_UMEM_REG, struct.pack("QQII", start, len(memory), CHUNK, 0))
    for ring in (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING):
        sock.setsockopt(SOL_XDP, ring, ENTRIES)
    offsets = struct.unpack("16Q", sock.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, 128))
    producer, _, descriptors, _ = offsets[4:8]
    ring = mmap.mmap(sock.fileno(), descriptors + ENTRIES * 16, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=XDP_PGOFF_TX_RING)
    address = struct.pack("HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex(device), 0, 0)
    if libc.bind(sock.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return sock, memory, ring, descriptors, producer


def send_xdp(device, frame):
    sock, _memory, ring, descriptors, producer = open_xdp(device, frame)
    ring[descriptors : descriptors + 16] = struct.pack("QII", 0, len(frame), 0)
    ring[producer : producer + 4] = struct.pack("I", 1)
    sock.send(b"", socket.MSG_DONTWAIT)
    time.sleep(0.05)


def main():
    for asked in arguments():
        how, device = asked["how"], asked.get("device", "eth0")
        try:
            kind = ETH_P_IPV6 if ":" in asked["address"] else ETH_P_IP
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            head = neighbour(asked["gateway"]) + hardware_address(probe, device) + struct.pack("!H", kind)
            frame = head + packet(asked)
            if how == "xdp":
                send_xdp(device, frame)
            else:
                send_packet(how, device, frame, kind)
            tell(how=how, sent=True)
        except (OSError, IndexError) as error:
            tell(how=how, sent=False, error=told(error))


if __name__ == "__main__":
    main()
