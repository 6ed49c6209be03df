from fastapi import FastAPI

from asyncqueue import Context, Job, Queue

app = FastAPI()
queue = Queue("sqlite:///queue.db")


class SendWelcome(Job, max_attempts=5, timeout=45, backoff=[1, 5, 30]):
    email: str

    async def handle(self, ctx: Context) -> str:
        return f"Welcome, {self.email}!"


@app.post("/users", status_code=202)
async def sign_up(email: str):
    job = await queue.dispatch(SendWelcome(email=email))
    return {"job": job.id}


@app.get("/jobs/{id}")
async def show(id: str):
    info = await queue.status(id)
    return {"state": info.state, "result": info.result}
