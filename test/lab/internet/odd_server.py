"""A server of a provider's with manners of its own: one that wants the client's certificate, one that sends elsewhere.

usage: odd_server.py '{"address": …, "port": …, "certificate": PEM file with key, "clients": PEM file of their root or absent,
                       "location": URL or absent}'
stdout: `ready`, then a line of JSON a request: {"path", "peer": subject of its certificate or null}
"""

import http.server
import json
import ssl
import sys


def main():
    asked = json.loads(sys.argv[1])

    class Odd(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            peer = self.connection.getpeercert() if asked.get("clients") else None
            print(json.dumps({"path": self.path, "peer": str(peer["subject"]) if peer else None}), flush=True)
            body = b'{"object": "list"}'
            self.send_response(302 if asked.get("location") else 200)
            if asked.get("location"):
                self.send_header("Location", asked["location"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((asked["address"], asked["port"]), Odd)
    if asked.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(asked["certificate"])
        if asked.get("clients"):
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(asked["clients"])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("ready", flush=True)
    server.serve_forever()


main()
