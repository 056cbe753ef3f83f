"""A TCP connection with any bytes, held open until the other side ends it or the time is over.

usage: bytes_call.py '{"address": …, "port": 443, "hex": "16" or "text": "…", "seconds": 5}'
stdout: one line of JSON: {"connected", "ended": how or null, "received": hex, "seconds"}
"""

import socket
import time

from report import arguments, tell, told


def main():
    asked = arguments()
    payload = bytes.fromhex(asked["hex"]) if "hex" in asked else asked.get("text", "").encode()
    received, ended, connected = b"", None, False
    began = time.monotonic()
    end = began + asked.get("seconds", 5)
    try:
        connection = socket.create_connection((asked["address"], asked["port"]), timeout=5)
        connected = True
        connection.sendall(payload)
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            chunk = connection.recv(65536)
            if not chunk:
                ended = "closed"
                break
            received += chunk
    except TimeoutError:
        ended = None
    except OSError as error:
        ended = told(error)
    seconds = round(time.monotonic() - began, 1)
    tell(connected=connected, ended=ended, received=received[:4096].hex(), seconds=seconds)


main()
