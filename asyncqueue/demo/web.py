"""The web application of the demo: has files indexed, and tells how far the indexing is."""

from __future__ import annotations

import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from asyncqueue.demo.jobs import IndexAll, folder, queue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Accepted(BaseModel):
    """Whether the indexing begins now, or did before."""

    new: bool


class Progress(BaseModel):
    """How many jobs of the batch are in which state, and whether its report is written, too."""

    waiting: int
    running: int
    completed: int
    failed: int
    over: bool


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """The queue is open as long as the application is up."""
    async with queue:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/index", status_code=202)
async def index() -> Accepted:
    """Have all files indexed. Asking again changes nothing: the job has the same id."""
    handle = await queue.dispatch(IndexAll(), id="index-all")
    return Accepted(new=not handle.duplicate)


@app.get("/progress")
async def progress() -> Progress:
    """Look at the batch."""
    batches = await queue.batches()
    if not batches:
        total = len(folder.manifest.paths)
        return Progress(waiting=total, running=0, completed=0, failed=0, over=False)
    counts = (await queue.stats()).values()
    batch, running = batches[0], sum(count.processing for count in counts)
    open_jobs = running + sum(count.pending + count.delayed for count in counts)
    return Progress(
        waiting=max(batch.pending - running, 0),
        running=running,
        completed=batch.completed,
        failed=batch.failed,
        over=batch.finished and open_jobs == 0,
    )


def serve(descriptor: int) -> None:
    """Serve on a listening socket that was inherited."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    with socket.socket(fileno=descriptor) as listening:
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
