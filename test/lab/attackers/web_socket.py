"""A WebSocket whose one message goes out in many fragments, a ping between them.

usage: web_socket.py '{"host": "api.openai.com", "target": "/v1/responses", "message": text, "fragment": 3}'
stdout: one line of JSON: {"ok": true, "answer": text} or {"ok": false, "status" or "error"}
"""

import base64
import os
import socket
import ssl
import struct

from report import arguments, tell, told

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10


def frame(opcode, payload, final=True):
    mask = os.urandom(4)
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([(0x80 if final else 0) | opcode]) + length + mask + masked


def read_frame(stream):
    head = stream.read(2)
    if len(head) < 2:
        raise OSError("closed in the middle")
    length = head[1] & 0x7F
    if length == 126:
        length = struct.unpack("!H", stream.read(2))[0]
    return head[0] & 15, stream.read(length)


def main():
    asked = arguments()
    host = asked["host"]
    try:
        connection = socket.create_connection((host, 443), timeout=10)
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        connection = context.wrap_socket(connection, server_hostname=host)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {asked['target']} HTTP/1.1",
            f"Host: {host}",
            "Authorization: Bearer sk-lab",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        stream = connection.makefile("rb")
        status = int(stream.readline().split()[1])
        while stream.readline() not in (b"\r\n", b""):
            pass
        if status != 101:
            tell(ok=False, status=status)
            return
        message, size = asked["message"].encode(), asked["fragment"]
        pieces = [message[at : at + size] for at in range(0, len(message), size)]
        for at, piece in enumerate(pieces):
            connection.sendall(frame(TEXT if at == 0 else CONTINUATION, piece, at == len(pieces) - 1))
            if at == 0:
                connection.sendall(frame(PING, b"between"))
        opcode, payload = read_frame(stream)
        # The last event of a turn has all of the answer.
        while opcode != CLOSE and b'"response.completed"' not in payload:
            opcode, payload = read_frame(stream)
        connection.sendall(frame(CLOSE, b"\x03\xe8"))
        tell(ok=True, answer=payload.decode())
    except (OSError, IndexError, ValueError) as error:
        tell(ok=False, error=told(error))


main()
