"""One HTTPS call with Python's standard library."""

import sys
import urllib.request

request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer sk-trust"})
print(urllib.request.urlopen(request).read().decode())
