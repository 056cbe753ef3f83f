"""A server of local models: Ollama's chat interface on all addresses.

usage: local_llm.py PORT
"""

import http.server
import json
import sys

from both_families import Server


class Chat(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": "hello from here"}
        body = json.dumps({"model": asked["model"], "message": message, "done": True, "done_reason": "stop"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


Server(int(sys.argv[1]), Chat).serve_forever()
