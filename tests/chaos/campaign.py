"""One campaign: peers, clients, faults, then peace, and what is there at the end."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos import evidence as looks
from tests.chaos.accounts import accounts
from tests.chaos.checker import FINAL, Verdict, disagreements, judge
from tests.chaos.client import Artist, Client, paced
from tests.chaos.director import Director
from tests.chaos.faults import draw
from tests.chaos.fleet import Fleet, fleet, wait_for
from tests.chaos.history import History
from tests.chaos.orders import FILM_FRAMES, FILM_FRAMES_PER_JOB, Order, Steering, draw_film, draw_order, draw_steering
from tests.chaos.pixels import decoded_file, null_picture
from tests.chaos.watcher import Watcher
from tests.scenes.build import build, run_blender

FILM_SIZE: Final = (64, 64)
FILM_SAMPLES: Final = 2
ARTISTS: Final = 3
OPEN_FRAMES_MAX: Final = 250  # clients hold back while so many frames are not done
QUIET: Final = 0.1  # share of the time, at its end, in which no fault strikes and nothing new is submitted
TOGETHER_S: Final = 90.0
SETTLE_S: Final = 180.0
AGREE_S: Final = 30.0
IDLE_S: Final = 30.0
LEAVE_S: Final = 75.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a campaign is told. `kinds` restricts the faults to some kinds; empty: all."""

    folder: Path
    seconds: float
    seed: int
    peers: int
    film_frames: int
    kinds: frozenset[str] = frozenset()
    apart_s: tuple[float, float] = (1.0, 6.0)


@dataclass(slots=True)
class Film:
    """A real scene, and the pixels of each of its frames as one Blender renders them."""

    scene: Path
    pixels: dict[int, str]


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    verdicts: list[Verdict]
    history: History
    left_out: dict[str, str]


def make_film(folder: Path) -> Film:
    """Build the scene and render it once, with nothing of ours in between. Some seconds."""
    frames = folder / "film"
    frames.mkdir()
    source = build("quick", folder / "source", "bpy")
    saved = folder / "film.blend"
    width, height = map(str, FILM_SIZE)
    run_blender(
        "bpy", Path(__file__).with_name("film.py"), str(source), str(saved), str(frames), width, height, str(FILM_SAMPLES)
    )
    pixels = {frame: decoded_file(frames / f"{frame:04d}.png") for frame in range(1, FILM_FRAMES + 1)}
    assert len(set(pixels.values())) == FILM_FRAMES, "frames of the film look alike, or are broken"
    return Film(saved, pixels)


def run(settings: Settings, say: Callable[[str], None] = lambda text: None) -> Outcome:
    """Run it to its end and judge. Everything lies in `settings.folder`."""
    film = make_film(settings.folder) if settings.film_frames else None
    history = History(settings.folder / "history.jsonl")
    renderers = ("null", "bpy") if film else ("null",)
    with fleet(settings.folder, settings.peers, renderers=renderers) as peers:
        found = Campaign(settings, peers, history, film, say).run()
        left_out = peers.left_out

    def truth(order: Order, frame: int) -> str:
        if order.renderer == "null":
            return null_picture(frame, order.size)
        return film.pixels[frame] if film else ""

    (settings.folder / "evidence.json").write_text(json.dumps(found.document()))
    verdicts = judge(history.lines, found, truth)
    history.close()
    return Outcome(verdicts, history, left_out)


class Campaign:
    """The parts of one campaign, in their order."""

    def __init__(self, settings: Settings, peers: Fleet, history: History, film: Film | None, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._fleet = peers
        self._history = history
        self._film = film
        self._say = say
        self._hosts = [(peer.name, peer.url) for peer in peers.peers]
        self._client = Client("director", self._hosts, Random(settings.seed), history)
        self._director = Director(peers, history, self._client)
        self._watcher = Watcher(peers, history)

    def run(self) -> looks.Evidence:
        """Start, strike, settle, look, end."""
        busy_s = self._settings.seconds * (1 - QUIET)
        plan = draw(self._settings.seed, busy_s, self._settings.kinds)
        self._say(f"{len(plan)} faults are planned; starting {len(self._fleet.peers)} peers")
        self._start()
        artists = self._artists()
        for artist in artists:
            artist.thread.start()
        self._director.run(plan, busy_s, on_end=lambda: self._close(artists))
        self._say("the last fault is over; waiting for everything to settle")
        self._settle(artists)
        self._say("asking every peer for everything")
        found = self._agreed()
        looks.of_bytes(found, self._fleet, self._client)
        self._until_idle(found)
        self._end(found)
        return found

    def _start(self) -> None:
        for peer in self._fleet.peers:
            self._fleet.begin(peer)
        self._watcher.start()
        late = wait_for(self._fleet.peers, TOGETHER_S)
        if late or not self._director.until(self._can_render, TOGETHER_S):
            raise SystemExit(f"the peers did not come together: {[peer.end_of_log() for peer in late or self._fleet.peers]}")

    def _can_render(self) -> bool:
        """All see all, and each has what it renders with."""
        wanted = 2 if self._film else 1
        answers = [self._client.ask(host, "GET", "/api/v1/peers?limit=1000") for host in self._hosts]
        rows = [row for answer in answers if answer.status == 200 for row in answer.json["peers"]]
        able = [row for row in rows if row["state"] == "alive" and len(row["capabilities"]) >= wanted]
        return len(able) == len(self._hosts) ** 2

    # clients

    def _artists(self) -> list[Artist]:
        artists = [self._artist(number) for number in range(1, ARTISTS + 1)]
        if self._film is not None:
            artists.append(self._film_maker(self._film))
        return artists

    def _artist(self, number: int) -> Artist:
        seed = f"{self._settings.seed} artist {number}"
        random, steering, pace = Random(seed), Random(f"{seed} steering"), Random(f"{seed} pace")
        client = Client(f"artist-{number}", self._hosts, Random(f"{seed} hosts"), self._history)
        supply = paced(
            lambda count: draw_order(random, f"a{number}-{count:03d}"),
            lambda: pace.uniform(*self._settings.apart_s),
            most=100_000,
            may_begin=lambda: self._open_frames(client) < OPEN_FRAMES_MAX,
        )
        return Artist(client, supply, lambda order: draw_steering(steering, order), None, self._history)

    def _film_maker(self, film: Film) -> Artist:
        random = Random(f"{self._settings.seed} film")
        client = Client("film-maker", self._hosts, Random(f"{self._settings.seed} film hosts"), self._history)
        jobs = -(-self._settings.film_frames // FILM_FRAMES_PER_JOB)
        apart_s = self._settings.seconds * (1 - QUIET) * 0.9 / jobs
        supply = paced(
            lambda count: draw_film(random, f"film-{count:03d}", FILM_SIZE), lambda: apart_s, most=jobs, may_begin=lambda: True
        )
        return Artist(client, supply, lambda order: [], film.scene, self._history)

    def _open_frames(self, client: Client) -> int:
        """Frames that are to be rendered still, as some host sees it; 0 when it does not answer."""
        rows = [row for row in client.jobs() if row["state"] not in FINAL]
        return sum(row["frames"]["pending"] + row["frames"]["running"] for row in rows)

    def _close(self, artists: list[Artist]) -> None:
        for artist in artists:
            artist.closing.set()

    # the end

    def _settle(self, artists: list[Artist]) -> None:
        began = time.monotonic()
        in_time = self._director.until(lambda: self._are_done(artists) and self._all_final(), SETTLE_S)
        self._history.add("settled", seconds=time.monotonic() - began, in_time=in_time)
        for artist in artists:
            artist.give_up.set()
        for artist in artists:
            artist.thread.join(60)

    def _are_done(self, artists: list[Artist]) -> bool:
        """Whether the clients have no errand left; jobs that stand paused nevertheless are resumed, and that is written down."""
        if any(one.thread.is_alive() for one in artists):
            return False
        meant = {account.job: key for key, account in accounts(self._history.of("intend", "submit")).items()}
        for row in self._client.jobs():
            if row["state"] == "paused" and row["id"] in meant:
                self._history.add("overruled", key=meant[row["id"]], job=row["id"])
                self._client.steer(meant[row["id"]], row["id"], Steering("resume", 0.0))
        return True

    def _all_final(self) -> bool:
        """Every job that was acknowledged has ended, as every peer sees it."""
        acked = {line["answer"]["id"] for line in self._history.of("submit") if line["status"] == 202}
        for host in self._hosts:
            answer = self._client.ask(host, "GET", "/api/v1/jobs?limit=1000")
            if answer.status != 200:
                return False
            if acked - {row["id"] for row in answer.json["jobs"] if row["state"] in FINAL}:
                return False
        return True

    def _agreed(self) -> looks.Evidence:
        """What the peers tell once all tell the same; after `AGREE_S` what they tell then."""
        found = looks.of_peers(self._fleet, self._client)
        until = time.monotonic() + AGREE_S
        while (apart := disagreements(found)) and time.monotonic() < until:
            self._director.look_after()
            looks.again(found, self._fleet, self._client, dict.fromkeys(job for job, _ in apart))
        return found

    def _until_idle(self, found: looks.Evidence) -> None:
        """Clearing up takes a moment."""
        self._director.until(lambda: not self._left_over(), IDLE_S)
        found.processes = looks.strangers(self._fleet)
        found.leftovers = [text for peer in self._fleet.peers for text in looks.transient(peer)]

    def _left_over(self) -> bool:
        return any(True for peer in self._fleet.peers for _ in looks.transient(peer)) or looks.strangers(self._fleet) != []

    def _end(self, found: looks.Evidence) -> None:
        """Tell every peer to leave; look once more at what remains."""
        for peer in self._fleet.peers:
            if peer.runs:
                peer.may_end = (0,)
                peer.signal(signal.SIGTERM)
        gone = self._director.until(lambda: not any(peer.runs for peer in self._fleet.peers), LEAVE_S)
        if not gone:
            left = [peer for peer in self._fleet.peers if peer.runs]
            self._history.add(
                "stuck", peer=", ".join(peer.name for peer in left), what="SIGTERM to all", log=left[0].end_of_log()
            )
        self._watcher.finish()
        found.processes += [text for text in looks.strangers(self._fleet) if text not in found.processes]
        again = [text for peer in self._fleet.peers for text in looks.transient(peer)]
        found.leftovers += [text for text in again if text not in found.leftovers]
        self._client.close()


def tidy(folder: Path) -> None:
    """Remove what a campaign has left on the disk."""
    shutil.rmtree(folder, ignore_errors=True)
