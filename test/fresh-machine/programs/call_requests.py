"""One HTTPS call with requests."""

import sys

import requests

print(requests.get(sys.argv[1], headers={"Authorization": "Bearer sk-trust"}).text)
