"""A tunnel device of one's own: packets that come out of it as if from a peer, and datagrams to the tunnel's far end.

usage: tun_packets.py '{"device": "tun9", "address4": …, "address6": …, "packets": [as in raw_packets.py…],
                       "peers": [{"address", "port"}…], "vxlan": {"address": of the far end, "inner": …}, "settle": seconds}'
stdout: a line of JSON each: {"what", "sent": bool, "error"}. Takes CAP_NET_ADMIN.
"""

import fcntl
import os
import socket
import struct
import subprocess
import time

from raw_packets import packet
from report import arguments, tell, told

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def run(command):
    subprocess.run(command.split(), check=True, capture_output=True)


def attempt(what, act):
    try:
        act()
        tell(what=what, sent=True)
    except (OSError, subprocess.CalledProcessError) as error:
        tell(what=what, sent=False, error=told(error))


def datagram(peer):
    family = socket.AF_INET6 if ":" in peer["address"] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((peer["address"], peer["port"]))
    sock.send(b"a packet, encrypted")


def main():
    asked = arguments()
    device, far = asked["device"], asked["vxlan"]
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    run(f"ip link add vx9 type vxlan id 9 remote {far['address']} dstport 4789")
    neighbour = far["inner"].rsplit(".", 1)[0] + ".99"
    for command in (
        f"addr add {asked['address4']}/24 dev {device}",
        f"addr add {asked['address6']}/64 dev {device} nodad",
        f"link set {device} up",
        f"addr add {far['inner']}/24 dev vx9",
        "link set vx9 up",
        f"neigh replace {neighbour} lladdr 02:00:00:00:00:01 dev vx9",
    ):
        run(f"ip {command}")
    # Whoever watches devices has seen these by then.
    time.sleep(asked["settle"])
    for each in asked["packets"]:
        attempt("packet", lambda: os.write(tun, packet(each)))
    for peer in asked["peers"]:
        attempt("datagram", lambda: datagram(peer))
    attempt("vxlan", lambda: datagram({"address": neighbour, "port": 9}))
    time.sleep(0.1)
    run("ip link del vx9")


main()
