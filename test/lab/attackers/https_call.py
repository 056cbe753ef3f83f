"""HTTPS with everything chosen by hand: the address, the name in the ClientHello, the Host.

usage: https_call.py '{"address": "203.0.113.10", "port": 443, "sni": name or null, "host": name, "target": "/v1/models",
                       "headers": {…}, "body": text, "plain": bool, "hold": bool}'
With `hold` the first call is followed by a line `{"held": true}`, and a line on stdin by a second call on the same
connection. stdout: a line of JSON for each call: {"ok", "status", "body"} or {"ok": false, "error"}
"""

import socket
import ssl
import sys

from report import arguments, tell, told


def request(asked):
    headers = {"Host": asked["host"], "Authorization": "Bearer sk-lab", **asked.get("headers", {})}
    body = asked.get("body", "").encode()
    if body:
        headers["Content-Length"] = str(len(body))
        headers.setdefault("Content-Type", "application/json")
    method = "POST" if body else "GET"
    lines = [f"{method} {asked.get('target', '/v1/models')} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def answer(stream):
    status = stream.readline().split()
    if len(status) < 2:
        raise OSError("closed without an answer")
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return {"ok": status[1] == b"200", "status": int(status[1]), "body": stream.read(length).decode()}


def main():
    asked = arguments()
    try:
        connection = socket.create_connection((asked["address"], asked.get("port", 443)), timeout=10)
        if not asked.get("plain"):
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            connection = context.wrap_socket(connection, server_hostname=asked.get("sni"))
        stream = connection.makefile("rb")
        connection.sendall(request(asked))
        tell(**answer(stream))
        if asked.get("hold"):
            tell(held=True)
            sys.stdin.readline()
            connection.sendall(request(asked))
            tell(**answer(stream))
    except (OSError, ValueError) as error:
        tell(ok=False, error=told(error))
        sys.exit(1)


main()
