"""One HTTP call with Python's standard library: no certificates, proxies or anything else configured.

usage: urllib_call.py '{"url": "https://…", "headers": {…}, "body": "…"}'     (a body makes it a POST)
stdout: one line of JSON: {"ok", "status", "headers": [[name, value]…], "body": base64} or {"ok": false, "error"}
"""

import base64
import json
import sys
import urllib.error
import urllib.request


def call(asked):
    body = asked.get("body")
    request = urllib.request.Request(
        asked["url"],
        data=None if body is None else body.encode(),
        headers=asked.get("headers", {}),
    )
    try:
        response = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as refused:
        response = refused
    except OSError as error:
        return {"ok": False, "error": str(error)}
    with response:
        return {
            "ok": response.status < 400,
            "status": response.status,
            "headers": response.getheaders(),
            "body": base64.b64encode(response.read()).decode(),
        }


result = call(json.loads(sys.argv[1]))
print(json.dumps(result))
sys.exit(0 if result["ok"] else 1)
