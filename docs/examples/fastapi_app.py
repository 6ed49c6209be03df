"""Orders as CSV files: requested over HTTP, written in the background.

The worker in a process of its own, over one SQLite file:

    QUEUE_URL=sqlite:///exports.db uvicorn fastapi_app:app
    QUEUE_URL=sqlite:///exports.db python -m asyncqueue.worker fastapi_app:queue

Or inside the application, one process in all:

    EMBEDDED_WORKER=1 uvicorn fastapi_app:app
"""

import asyncio
import csv
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field

from asyncqueue import Context, DriverUnavailable, Job, JobInfo, JobNotFound, Queue, Worker

EXPORTS = Path(os.environ.get("EXPORTS", "exports"))
SECONDS_PER_MONTH = float(os.environ.get("SECONDS_PER_MONTH", "0.1"))

queue = Queue.from_env()


class ExportOrders(Job, max_attempts=5, timeout=600, backoff=[1, 5, 30]):
    customer: int
    months: int

    async def handle(self, ctx: Context) -> str:
        record_run(ctx)
        rows: list[tuple[int, int]] = []
        for month in range(1, self.months + 1):
            rows.append((month, await total_of(self.customer, month)))
            await ctx.progress(month, self.months)
        # A second run writes the same file again, and nobody ever sees half of one.
        path = EXPORTS / f"{ctx.job_id}.csv"
        await asyncio.to_thread(write, path, rows)
        return path.name


def record_run(ctx: Context) -> None:
    """Who touched a customer's data, and when: one line for each run, even a second one."""
    EXPORTS.mkdir(parents=True, exist_ok=True)
    with (EXPORTS / "audit.log").open("a") as log:
        log.write(f"{ctx.job_id} {ctx.attempt} {os.getpid()}\n")


async def total_of(customer: int, month: int) -> int:
    """Stand-in for a slow query."""
    await asyncio.sleep(SECONDS_PER_MONTH)
    return customer * month


def write(path: Path, rows: list[tuple[int, int]]) -> None:
    """All of it or nothing, whenever the process ends."""
    draft = path.with_suffix(f".{os.getpid()}.draft")
    with draft.open("w", newline="") as file:
        csv.writer(file).writerows([("month", "total"), *rows])
    draft.replace(path)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(queue)
        if os.environ.get("EMBEDDED_WORKER") == "1":
            await stack.enter_async_context(Worker(queue, concurrency=4))
        yield


app = FastAPI(lifespan=lifespan)


class ExportRequest(BaseModel):
    customer: int = Field(gt=0)
    months: int = Field(default=12, gt=0, le=1200)


class Export(BaseModel):
    id: str
    state: str
    percent: float = 0
    error: str | None = None


@app.post("/exports", status_code=202)
async def request_export(
    wanted: ExportRequest,
    idempotency_key: Annotated[str | None, Header(pattern=r"^[\w-]{8,64}$")] = None,
) -> Export:
    job = ExportOrders(customer=wanted.customer, months=wanted.months)
    # With a key the client may ask again, after a timeout say, without a second export.
    handle = await queue.dispatch(job, id=idempotency_key)
    return Export(id=handle.id, state="pending")


@app.get("/exports/{id}")
async def show_export(id: str) -> Export:
    info = await find(id)
    return Export(id=id, state=info.state, percent=info.progress, error=info.error)


@app.get("/exports/{id}/file")
async def download_export(id: str) -> FileResponse:
    info = await find(id)
    if info.state != "completed":
        raise HTTPException(409, f"the export is {info.state}")
    return FileResponse(EXPORTS / info.result, media_type="text/csv")


@app.delete("/exports/{id}")
async def cancel_export(id: str) -> Export:
    await queue.cancel(id)
    return await show_export(id)


class FailedExport(BaseModel):
    id: str
    error: str
    attempts: int
    failed_at: datetime


class FailedExports(BaseModel):
    items: list[FailedExport]
    total: int


@app.get("/failed")
async def list_failed(
    limit: Annotated[int, Query(gt=0, le=500)] = 50, offset: Annotated[int, Query(ge=0)] = 0
) -> FailedExports:
    page = await queue.failed.list(limit=limit, offset=offset)
    items = [
        FailedExport(id=job.id, error=job.error, attempts=job.attempts, failed_at=job.failed_at)
        for job in page.items
    ]
    return FailedExports(items=items, total=page.total)


@app.post("/failed/{id}/retry")
async def retry_failed(id: str) -> dict[str, str]:
    try:
        await queue.failed.retry(id)
    except JobNotFound as error:
        raise HTTPException(404, "there is no such failed export") from error
    return {"message": f"{id} is back on its queue"}


async def find(id: str) -> JobInfo:
    try:
        return await queue.status(id)
    except JobNotFound as error:
        raise HTTPException(404, "there is no such export") from error


@app.exception_handler(DriverUnavailable)
async def busy(_: Request, __: Exception) -> JSONResponse:
    """Nothing was stored, so the client should try again."""
    return JSONResponse({"detail": "try again later"}, 503, headers={"Retry-After": "5"})
