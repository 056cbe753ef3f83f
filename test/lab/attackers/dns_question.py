"""One DNS question, by any way to any server.

usage: dns_question.py '{"server": …, "port": 53, "name": …, "type": 1 | 28 | 65, "by": "udp" | "tcp" | "tls"}'
stdout: one line of JSON: {"ok": true, "rcode", "answers": [address, or {"keys": [SvcParamKey…]}]} or
        {"ok": false, "error"}
"""

import ipaddress
import socket
import ssl
import struct

from report import arguments, tell, told


def question(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 4242, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def exactly(sock, length):
    data = b""
    while len(data) < length:
        chunk = sock.recv(length - len(data))
        if not chunk:
            raise OSError("closed without an answer")
        data += chunk
    return data


def ask(asked, message):
    where = (asked["server"], asked.get("port", 853 if asked["by"] == "tls" else 53))
    if asked["by"] == "udp":
        family = socket.AF_INET6 if ":" in asked["server"] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(5)
        sock.connect(where)
        sock.send(message)
        return sock.recv(4096)
    sock = socket.create_connection(where, timeout=5)
    if asked["by"] == "tls":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    sock.sendall(struct.pack("!H", len(message)) + message)
    return exactly(sock, struct.unpack("!H", exactly(sock, 2))[0])


def after_name(message, at):
    while message[at]:
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1


def service_keys(data):
    at = 2
    while data[at]:
        at += 1 + data[at]
    at, keys = at + 1, []
    while at < len(data):
        key, length = struct.unpack("!HH", data[at : at + 4])
        keys.append(key)
        at += 4 + length
    return keys


def read(message):
    flags, questions, answers = struct.unpack("!HHH", message[2:8])
    at = 12
    for _ in range(questions):
        at = after_name(message, at) + 4
    found = []
    for _ in range(answers):
        at = after_name(message, at)
        kind, _, _, length = struct.unpack("!HHIH", message[at : at + 10])
        data = message[at + 10 : at + 10 + length]
        at += 10 + length
        if kind in (1, 28):
            found.append(str(ipaddress.ip_address(data)))
        if kind == 65:
            found.append({"keys": service_keys(data)})
    return {"ok": True, "rcode": flags & 15, "answers": found}


def main():
    asked = arguments()
    try:
        tell(**read(ask(asked, question(asked["name"], asked["type"]))))
    except OSError as error:
        tell(ok=False, error=told(error))


main()
