"""The web application of the demo: takes files to index, and tells how far the indexing is."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from asyncqueue.demo.jobs import IndexFile, folder, queue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

known = frozenset(folder.manifest.paths)


class Files(BaseModel):
    """Files to index, by their paths below the root."""

    paths: list[str]


class Accepted(BaseModel):
    """How many of the files are new, and how many were posted before."""

    new: int
    known: int


class Progress(BaseModel):
    """How many jobs are in which state."""

    waiting: int
    running: int
    completed: int
    failed: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """The queue is open as long as the application is up."""
    async with queue:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/files", status_code=202)
async def post_files(files: Files) -> Accepted:
    """Dispatch one job for each file. Posting a file again changes nothing."""
    foreign = [path for path in files.paths if path not in known]
    if foreign:
        raise HTTPException(422, f"not in the manifest: {foreign[0]!r}")
    handles = await asyncio.gather(
        *(queue.dispatch(IndexFile(path=path), id=job_id(path)) for path in files.paths)
    )
    duplicates = sum(handle.duplicate for handle in handles)
    return Accepted(new=len(handles) - duplicates, known=duplicates)


@app.get("/progress")
async def progress() -> Progress:
    """Count the jobs."""
    counts = (await queue.stats()).get("files")
    if counts is None:
        return Progress(waiting=0, running=0, completed=0, failed=0)
    return Progress(
        waiting=counts.pending + counts.delayed,
        running=counts.processing,
        completed=counts.completed,
        failed=counts.failed,
    )


def job_id(path: str) -> str:
    """The id of the job for a file: known in advance, so that a repeated post is recognised."""
    return f"index-{hashlib.sha256(path.encode()).hexdigest()[:32]}"


def serve(descriptor: int) -> None:
    """Serve on a listening socket that was inherited."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    with socket.socket(fileno=descriptor) as listening:
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
