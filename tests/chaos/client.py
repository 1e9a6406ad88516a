"""Clients that never give up: they submit through a list of hosts with a key, steer their jobs, and write down every request.

A request that gets no answer, or a refusal that invites to try again, goes to another host under the same key. What was
asked and what was answered stands in the history; nothing here decides whether that was right.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import urllib3

from tests.chaos.history import History
from tests.chaos.orders import Order, Steering

ANSWER_S: Final = 12.0
FETCH_S: Final = 90.0
AGAIN_S: Final = (0.2, 1.5)
LOOK_S: Final = 0.7
AGAIN: Final = frozenset({0, 404, 408, 422, 429, 500, 502, 503, 504})
"""Statuses after which another host is asked; 422 is one that knows no output root at present, 404 one that was cut off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0: nothing, `text` says why."""

    status: int
    text: str
    host: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            return {}


@dataclass(slots=True)
class Errand:
    """A job on its way. `steering` is what is still to be done to it, the first of it at `due_at` of the history's clock."""

    order: Order
    steering: list[Steering] = field(default_factory=list)
    job: str = ""
    due_at: float = 0.0


class Client:
    """One client. Used by one thread; `hosts` are (name, URL)."""

    def __init__(self, name: str, hosts: Sequence[tuple[str, str]], random: Random, history: History) -> None:
        self.name = name
        self._hosts = list(hosts)
        self._random = random
        self._history = history
        timeout = urllib3.Timeout(connect=2.0, read=ANSWER_S)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout, num_pools=len(self._hosts), maxsize=1)

    def close(self) -> None:
        """Close its connections."""
        self._pool.clear()

    def ask(self, host: tuple[str, str], method: str, path: str, **body: Any) -> Answer:
        """One request, not written down."""
        try:
            reply = self._pool.request(method, host[1] + path, **body)
            return Answer(reply.status, reply.data.decode(errors="replace"), host[0])
        except urllib3.exceptions.HTTPError as error:
            return Answer(0, f"{type(error).__name__}: {error}"[:300], host[0])

    def fetch(self, host: tuple[str, str], path: str) -> tuple[int, bytes]:
        """The status and the bytes of a GET, with more patience than clients have."""
        try:
            reply = self._pool.request("GET", host[1] + path, timeout=FETCH_S)
            return reply.status, reply.data
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error).encode()

    def submit(self, order: Order, scene: Path | None) -> Answer:
        """Try once, at some host, and write it down."""
        fields = order.fields
        headers = {"Idempotency-Key": order.key}
        if scene is None:
            return self._noted("submit", order.key, "", "POST", "/api/v1/jobs", json=fields, headers=headers)
        parts = [*((name, str(value)) for name, value in fields.items()), ("scene", (scene.name, scene.read_bytes()))]
        return self._noted("submit", order.key, "", "POST", "/api/v1/jobs", fields=parts, headers=headers)

    def steer(self, key: str, job: str, step: Steering) -> Answer:
        """Try once, at some host, and write it down."""
        if step.action == "rerender":
            body = {"frames": f"{step.frames[0]}-{step.frames[1]}", "include_done": True}
            return self._noted("rerender", key, job, "POST", f"/api/v1/jobs/{job}/retry", json=body, frames=step.frames)
        return self._noted(step.action, key, job, "POST", f"/api/v1/jobs/{job}/{step.action}", json={})

    def look(self, job: str) -> Answer:
        """The job as some host sees it; not written down."""
        return self.ask(self._random.choice(self._hosts), "GET", f"/api/v1/jobs/{job}")

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs as some host sees them; none when it does not answer."""
        answer = self.ask(self._random.choice(self._hosts), "GET", "/api/v1/jobs?limit=1000")
        return list(answer.json["jobs"]) if answer.status == 200 else []

    def _noted(self, op: str, key: str, job: str, method: str, path: str, *, frames: Any = None, **body: Any) -> Answer:
        began = self._history.now
        answer = self.ask(self._random.choice(self._hosts), method, path, **body)
        said = answer.json if isinstance(answer.json, dict) else {}
        kept = {name: said[name] for name in ("id", "state", "code", "durability") if name in said}
        line = {"who": self.name, "key": key, "job": job or kept.get("id", ""), "host": answer.host, "began": began}
        text = "" if answer.status in (200, 202) else answer.text[:300]
        extra = {} if frames is None else {"frames": list(frames)}
        self._history.add(op, **line, status=answer.status, answer=kept, text=text, **extra)
        return answer


class Artist:
    """A thread that sees its orders through: submitted, steered, one after another as they fall due.

    `orders` gives the next one or None for now; after `closing` nothing new is begun, and `errands` that are left over at
    `give_up` stay undone."""

    def __init__(self, client: Client, orders: Callable[[], Order | None], steering: Callable[[Order], list[Steering]],
                 scene: Path | None, history: History) -> None:  # fmt: skip
        self.client = client
        self._orders = orders
        self._steering = steering
        self._scene = scene
        self._history = history
        self.errands: list[Errand] = []
        self.closing = threading.Event()
        self.give_up = threading.Event()
        self.thread = threading.Thread(target=self._run, name=client.name, daemon=True)

    def _run(self) -> None:
        try:
            while not self.give_up.is_set() and not (self.closing.is_set() and not self.errands):
                self._begin()
                self._go_on()
                self.give_up.wait(0.05)
        except Exception as error:
            self._history.add("client_broke", who=self.client.name, text=repr(error))
            raise
        finally:
            self.client.close()

    def _begin(self) -> None:
        order = None if self.closing.is_set() else self._orders()
        if order is not None:
            self._history.add("intend", who=self.client.name, key=order.key, order=order.document())
            self.errands.append(Errand(order, self._steering(order)))

    def _go_on(self) -> None:
        for errand in [one for one in self.errands if one.due_at <= self._history.now]:
            self._step(errand)
            if errand.job and not errand.steering:
                self.errands.remove(errand)

    def _step(self, errand: Errand) -> None:
        later = self._history.now + self.client._random.uniform(*AGAIN_S)
        if not errand.job:
            scene = self._scene if errand.order.renderer == "blender" else None
            answer = self.client.submit(errand.order, scene)
            if answer.status == 202:
                errand.job = str(answer.json["id"])
                errand.due_at = self._history.now + (errand.steering[0].wait_s if errand.steering else 0.0)
            elif answer.status in AGAIN:
                errand.due_at = later
            else:
                self._history.add("refused", key=errand.order.key, status=answer.status, text=answer.text[:300])
                self.errands.remove(errand)
            return
        step = errand.steering[0]
        if step.action == "rerender" and not self._may_render_again(errand):
            return
        answer = self.client.steer(errand.order.key, errand.job, step)
        if answer.status in AGAIN and answer.status != 422:
            errand.due_at = later
            return
        del errand.steering[0]
        errand.due_at = self._history.now + (errand.steering[0].wait_s if errand.steering else 0.0)

    def _may_render_again(self, errand: Errand) -> bool:
        """Whether some host says that the job is completed; one that was cancelled or failed is left alone."""
        said = self.client.look(errand.job).json
        state = said.get("state") if isinstance(said, dict) else None
        if state in ("cancelled", "failed"):
            errand.steering.clear()
        errand.due_at = self._history.now + LOOK_S
        return bool(state == "completed")


def paced(
    draw: Callable[[int], Order], apart_s: Callable[[], float], *, most: int, may_begin: Callable[[], bool]
) -> Callable[[], Order | None]:
    """A supply of at most `most` orders, the n-th `draw(n)`, apart by so many seconds, while `may_begin`."""
    state = {"count": 0, "next_at": 0.0}

    def supply() -> Order | None:
        if state["count"] >= most or time.monotonic() < state["next_at"] or not may_begin():
            return None
        state["count"] += 1
        state["next_at"] = time.monotonic() + apart_s()
        return draw(int(state["count"]))

    return supply
