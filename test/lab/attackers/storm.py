"""Agents of one account, a thread each, that try one way to a provider again and again with pauses of random length.

usage: storm.py '{"agents": [{"way": a name in WAYS, "agent": number, "seed": number}…], "four": …, "six": …: a provider's
                  addresses, "name": its name, "source4", "source6": own addresses, "gateway4", "gateway6": of the next hop,
                  "relay": address, "doors": [[address, port]…]: the gateway's own, "count": attempts, none: until stdin ends}'
stdout: a line of JSON for each at the end: {"way", "agent", "attempts", "answered", "errors": {name: times}}
"""

import collections
import random
import socket
import ssl
import struct
import sys
import threading

from frames import send_packet
from raw_packets import hardware_address, neighbour, packet
from report import arguments, tell, told

ASKED = arguments()
FOUR, SIX = ASKED["four"], ASKED["six"]
WAIT = 3
PAUSE = (0.3, 1.0)
# Not of the ports that the kernel gives to others, the proxy among them.
OWN_PORTS = (10000, 30000)
ACK = 0x10
# A long header of QUIC version 1 (RFC 9000 section 17.2).
QUIC = bytes([0xC3, 0, 0, 0, 1, 8]) + bytes(1194)
UDP_PORTS = (443, 8443, 9999, 5000)
over = threading.Event()
MINE = threading.local()


def encrypted(connection, name=None):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(connection, server_hostname=name or ASKED["name"])


def ask(connection):
    target = f"/v1/storm-{MINE.agent}-{MINE.attempts}"
    head = f"GET {target} HTTP/1.1\r\nHost: {ASKED['name']}\r\nAuthorization: Bearer sk-lab\r\n\r\n"
    connection.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        chunk = connection.recv(65536)
        if not chunk:
            raise OSError("closed without an answer")
        answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (chunk := connection.recv(65536)):
        body += chunk
    return True


def call(address, port=443, plain=False, device=None, own_port=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bare:
        bare.settimeout(WAIT)
        if device is not None:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if own_port is not None:
            bare.bind(("", own_port))
        bare.connect((address, port))
        if plain:
            return ask(bare)
        with encrypted(bare) as connection:
            return ask(connection)


def ports():
    address, port = MINE.dice.choice((FOUR, SIX)), MINE.dice.choice((8443, 8080, 9999))
    return call(address, port, plain=port != 8443)


def kept_open(address):
    if address not in MINE.kept:
        MINE.kept[address] = encrypted(socket.create_connection((address, 443), timeout=WAIT))
    try:
        return ask(MINE.kept[address])
    except OSError:
        MINE.kept.pop(address).close()
        raise


def datagram(protocol=0):
    address, port = MINE.dice.choice((FOUR, SIX)), MINE.dice.choice(UDP_PORTS)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM, protocol) as sock:
        sock.connect((address, port))
        sock.send(MINE.dice.choice((QUIC, b"anything")))
    return False


def other_protocol():
    address, protocol = MINE.dice.choice((FOUR, SIX)), MINE.dice.choice((132, 47, 253))
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_RAW, protocol) as sock:
        sock.sendto(struct.pack("!HHII", 40000, 443, 0, 0), (address, 0))
    return False


def made(**more):
    six = MINE.dice.choice((False, True))
    return {
        "what": MINE.dice.choice(("syn", "udp")),
        "source": ASKED["source6"] if six else ASKED["source4"],
        "address": SIX if six else FOUR,
        "gateway": ASKED["gateway6"] if six else ASKED["gateway4"],
        "port": MINE.dice.choice(UDP_PORTS),
        "sourcePort": MINE.dice.randrange(*OWN_PORTS),
        "text": "raw",
        **more,
    }


def own_header(asked):
    six = ":" in asked["address"]
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(packet(asked), (asked["address"], 0))
    return False


def feigned():
    """Makes connection tracking know the connection before it begins, by a segment that its receiver drops."""
    asked = made(what="syn", flags=ACK, corrupt=True, port=443)
    try:
        own_header(asked)
    except OSError:
        pass
    return call(asked["address"], own_port=asked["sourcePort"])


def frame(*how):
    asked = made()
    if asked["gateway"] not in MINE.kept:
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        MINE.kept[asked["gateway"]] = neighbour(asked["gateway"]) + hardware_address(probe, "eth0")
    kind = 0x86DD if ":" in asked["address"] else 0x0800
    send_packet(MINE.dice.choice(how), "eth0", MINE.kept[asked["gateway"]] + struct.pack("!H", kind) + packet(asked), kind)
    return False


def through_relay(greet):
    with socket.create_connection((ASKED["relay"], greet["port"]), timeout=WAIT) as bare:
        for line in greet["lines"]:
            bare.sendall(line)
            if not bare.recv(4096):
                raise OSError("the relay closed")
        with encrypted(bare) as connection:
            return ask(connection)


def connect_greeting():
    end = f"{MINE.dice.choice((ASKED['name'], FOUR))}:443"
    return {"port": 3128, "lines": [f"CONNECT {end} HTTP/1.1\r\nHost: {end}\r\n\r\n".encode()]}


def socks_greeting():
    name = ASKED["name"].encode()
    end = MINE.dice.choice((b"\3" + bytes([len(name)]) + name, b"\1" + socket.inet_aton(FOUR)))
    return {"port": 1080, "lines": [b"\5\1\0", b"\5\1\0" + end + struct.pack("!H", 443)]}


WAYS = {
    "IPv4": lambda: call(FOUR),
    "IPv6": lambda: call(SIX),
    "mapped": lambda: call(f"::ffff:{FOUR}"),
    "plain HTTP": lambda: call(MINE.dice.choice((FOUR, SIX)), 80, plain=True),
    "other ports": ports,
    "kept open": lambda: kept_open(MINE.dice.choice((FOUR, SIX))),
    "bound to the device": lambda: call(MINE.dice.choice((FOUR, SIX)), device="eth0"),
    "UDP and QUIC": datagram,
    "UDP-Lite": lambda: datagram(136),
    "other protocols": other_protocol,
    "IP_HDRINCL": lambda: own_header(made()),
    "feigned": feigned,
    "AF_PACKET": lambda: frame("packet", "bypass", "datagram", "disguised", "tagged"),
    "AF_PACKET, routed": lambda: frame("packet", "bypass", "datagram"),
    "CONNECT": lambda: through_relay(connect_greeting()),
    "SOCKS": lambda: through_relay(socks_greeting()),
    "the proxy's own port": lambda: call(*MINE.dice.choice(ASKED["doors"])),
}


def attempt(asked):
    MINE.agent, MINE.dice, MINE.kept, MINE.attempts = asked["agent"], random.Random(asked["seed"]), {}, 0
    errors = collections.Counter()
    answered = 0
    while MINE.attempts < ASKED.get("count", sys.maxsize):
        MINE.attempts += 1
        try:
            answered += WAYS[asked["way"]]()
        except (OSError, ValueError, IndexError) as error:
            errors[str(told(error))] += 1
        if "count" not in ASKED and over.wait(MINE.dice.uniform(*PAUSE)):
            break
    outcomes.append(dict(way=asked["way"], agent=asked["agent"], attempts=MINE.attempts, answered=answered, errors=errors))


outcomes = []
agents = [threading.Thread(target=attempt, args=(each,)) for each in ASKED["agents"]]
for each in agents:
    each.start()
if "count" not in ASKED:
    sys.stdin.read()
    over.set()
for each in agents:
    each.join()
for outcome in outcomes:
    tell(**outcome)
