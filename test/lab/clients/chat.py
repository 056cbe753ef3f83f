"""Calls with one of Python's HTTP libraries as an agent would make them: nothing is configured but the key.

usage: chat.py 'requests' | 'httpx' | 'httpx, HTTP/2' | 'aiohttp'
               '[{"url": "https://…", "headers": {…}, "body": "…", "stream": bool}…]'         (all on one session)
stdout: one line of JSON: [{"protocol", "status", "body"}…]; a stream is read line by line
"""

import asyncio
import json
import sys


def with_requests(calls):
    import requests

    protocols = {10: "HTTP/1.0", 11: "HTTP/1.1"}
    with requests.Session() as session:
        for call in calls:
            with session.post(
                call["url"], headers=call["headers"], data=call["body"].encode(), stream=call["stream"]
            ) as answer:
                if call["stream"]:
                    body = b"".join(line + b"\n" for line in answer.iter_lines())
                else:
                    body = answer.content
                yield protocols[answer.raw.version], answer.status_code, body.decode()


def with_httpx(calls, http2):
    import httpx

    with httpx.Client(http2=http2) as client:
        for call in calls:
            if call["stream"]:
                with client.stream(
                    "POST", call["url"], headers=call["headers"], content=call["body"]
                ) as answer:
                    body = "".join(f"{line.rstrip()}\n" for line in answer.iter_lines())
            else:
                answer = client.post(call["url"], headers=call["headers"], content=call["body"])
                body = answer.text
            yield answer.http_version, answer.status_code, body


async def with_aiohttp(calls):
    import aiohttp

    answers = []
    async with aiohttp.ClientSession() as session:
        for call in calls:
            async with session.post(call["url"], headers=call["headers"], data=call["body"]) as answer:
                if call["stream"]:
                    body = b"".join([line async for line in answer.content]).decode()
                else:
                    body = await answer.text()
                protocol = f"HTTP/{answer.version.major}.{answer.version.minor}"
                answers.append((protocol, answer.status, body))
    return answers


library = sys.argv[1]
calls = json.loads(sys.argv[2])
if library == "requests":
    made = with_requests(calls)
elif library == "aiohttp":
    made = asyncio.run(with_aiohttp(calls))
else:
    made = with_httpx(calls, http2=library != "httpx")
print(json.dumps([{"protocol": protocol, "status": status, "body": body} for protocol, status, body in made]))
