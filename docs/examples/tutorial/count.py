import asyncio

from app import Count, queue


async def main() -> None:
    async with queue:
        handle = await queue.dispatch(Count(3))
        print(await handle.result(timeout=60))


asyncio.run(main())
