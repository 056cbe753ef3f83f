"""One HTTPS call with aiohttp."""

import asyncio
import sys

import aiohttp


async def main():
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk-trust"}) as session:
        async with session.get(sys.argv[1]) as response:
            print(await response.text())


asyncio.run(main())
