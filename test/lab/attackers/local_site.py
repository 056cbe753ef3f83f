"""A web site on all of the machine's addresses, for whoever comes: it tells of each request.

usage: local_site.py '{"port": 80}'; stdout: `ready`, then a line of JSON a request: {"host", "path"}
"""

import http.server

from both_families import Server
from report import arguments, tell


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        tell(host=self.headers.get("Host"), path=self.path)
        body = b"a service of this machine\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    server = Server(arguments()["port"], Site)
    print("ready", flush=True)
    server.serve_forever()


main()
