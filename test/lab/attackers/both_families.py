"""An HTTP server on all of the machine's addresses, IPv4 and IPv6."""

import http.server
import socket


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def __init__(self, port, handler):
        super().__init__(("::", port), handler)

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
