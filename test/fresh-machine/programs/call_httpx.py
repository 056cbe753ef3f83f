"""One HTTPS call with httpx, which the SDKs of OpenAI and Anthropic call with."""

import sys

import httpx

print(httpx.get(sys.argv[1], headers={"Authorization": "Bearer sk-trust"}).text)
