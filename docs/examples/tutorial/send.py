import asyncio

from app import Greet, queue


async def main() -> None:
    async with queue:
        for name in ("Ada", "Grace", ""):
            handle = await queue.dispatch(Greet(name), backoff=0.5)
            print("dispatched", handle.id)


asyncio.run(main())
