"""Was every promise kept? Judges the clients' history against what the peers show at the end; knows nothing of the product.

Each rule looks at all evidence and returns a `Verdict`: a figure for people, and every violation with the key and the job
that its history is found under.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.accounts import Account, accounts
from tests.chaos.evidence import Evidence
from tests.chaos.orders import Order
from tests.chaos.reruns import TAIL_S, cuts, rerendered

HARMLESS: Final = frozenset({"intend", "submit", "cancel", "rerender", "pause", "resume"})
FINAL: Final = frozenset({"completed", "failed", "cancelled"})
EXPECTED: Final = (
    "Errno 28",
    "Errno 5]",
    "disk is full",
    "I/O error",
    "Input/output error",
    "member_duplicate_id",
    "another peer with this peer's id runs at",
)
"""What a full or failing disk, and a copied identity, make a peer say."""
Truth = Callable[[Order, int], str]
"""The pixel hash that a frame of an order must have."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong; `key` and `job` say whose history tells more."""

    text: str
    key: str = ""
    job: str = ""


@dataclass(slots=True)
class Verdict:
    """One promise, what was counted, and what broke it."""

    promise: str
    figure: str
    violations: list[Violation] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.violations


@dataclass(frozen=True, slots=True)
class Case:
    """All there is to judge."""

    lines: Sequence[Mapping[str, Any]]
    accounts: Mapping[str, Account]
    evidence: Evidence
    truth: Truth

    def acknowledged(self) -> list[tuple[str, Account]]:
        """Keys that got a 202, with their accounts."""
        return [(key, one) for key, one in self.accounts.items() if one.jobs]

    def of(self, *ops: str) -> list[Mapping[str, Any]]:
        return [line for line in self.lines if line["op"] in ops]


def judge(lines: Sequence[Mapping[str, Any]], evidence: Evidence, truth: Truth) -> list[Verdict]:
    """Every rule's verdict."""
    case = Case(lines, accounts(map(dict, lines)), evidence, truth)
    return [rule(case) for rule in RULES]


def nothing_is_lost(case: Case) -> Verdict:
    """What was acknowledged is known to every peer."""
    acked = case.acknowledged()
    wrong = [
        Violation(f"{peer} does not know job {job[:12]}, which was acknowledged", key, job)
        for key, account in acked
        for job in dict.fromkeys(account.jobs)
        for peer, rows in case.evidence.jobs.items()
        if job not in rows
    ]
    return Verdict("every acknowledged job is there, on every peer", f"{len(acked)} acknowledged", wrong)


def all_was_accepted(case: Case) -> Verdict:
    """A client that does not give up gets its 202 once all is well again."""
    refused = {line["key"]: line["text"] for line in case.of("refused")}
    wrong = [
        Violation(f"never acknowledged in {account.tries} tries {refused.get(key, '')}", key)
        for key, account in case.accounts.items()
        if not account.jobs
    ]
    tries = sum(account.tries for account in case.accounts.values())
    return Verdict("every submission is accepted in the end", f"{len(case.accounts)} in {tries} tries", wrong)


def nothing_is_doubled(case: Case) -> Verdict:
    """One key, one job; and no job that nobody submitted."""
    wrong: list[Violation] = []
    for key, account in case.accounts.items():
        if len(set(account.jobs)) > 1:
            wrong.append(Violation(f"one key was given the jobs {', '.join(dict.fromkeys(account.jobs))}", key, account.job))
    for peer, rows in case.evidence.jobs.items():
        names = Counter(row["name"] for row in rows.values())
        for name, count in names.items():
            if name not in case.accounts:
                wrong.append(Violation(f"{peer} has a job {name!r} that nobody submitted", name))
            elif count > 1:
                wrong.append(Violation(f"{peer} has {count} jobs of one key", name, case.accounts[name].job))
    known = len({job for rows in case.evidence.jobs.values() for job in rows})
    return Verdict("one job for each key, and no other", f"{known} jobs for {len(case.accounts)} keys", wrong)


def all_has_ended(case: Case) -> Verdict:
    """Completed; cancelled where the client did that; failed where it asked for frames that fail."""
    wrong, states = [], Counter[str]()
    for key, account in case.acknowledged():
        for peer, rows in case.evidence.jobs.items():
            row = rows.get(account.job)
            if row is None:
                continue
            states[row["state"]] += 1
            if row["state"] not in account.may_end_as():
                why = "; ".join(f"{one['code']}: {one['text']}" for one in row.get("waiting_because", []))
                text = f"{peer} shows it {row['state']}, not {' or '.join(sorted(account.may_end_as()))} ({row['frames']}) {why}"
                wrong.append(Violation(text, key, account.job))
            elif row["frames"]["running"]:
                wrong.append(Violation(f"{peer} shows frames running in a job that has ended", key, account.job))
    peers = max(len(case.evidence.jobs), 1)
    figure = ", ".join(f"{count / peers:g} {state}" for state, count in sorted(states.items()))
    overruled = case.of("overruled")
    wrong += [
        Violation("stayed paused after its resume", line["key"], line["job"]) for line in overruled if not _was_cut(case, line)
    ]
    if overruled:
        figure += f"; {len(overruled)} were resumed anew since the other side's pause had won"
    return Verdict("every job has ended as its client wants it", figure, wrong)


def _was_cut(case: Case, line: Mapping[str, Any]) -> bool:
    """Whether there may have been two owners between a job's pause and its resume: each was told one of the two then."""
    account = case.accounts[line["key"]]
    if account.paused_at is None or account.resumed_at is None:
        return False
    return any(begin <= account.resumed_at and account.paused_at <= end + TAIL_S for begin, end in cuts(case.lines))


def all_agree(case: Case) -> Verdict:
    """Every peer tells the same of every job and every frame."""
    names = {account.job: key for key, account in case.acknowledged()}
    wrong = [Violation(text, names.get(job, ""), job) for job, text in disagreements(case.evidence)]
    wrong += [Violation(text) for text in (*case.evidence.unanswered, *case.evidence.slow)]
    return Verdict("all peers tell the same", f"{len(case.evidence.jobs)} peers", wrong)


def disagreements(evidence: Evidence) -> list[tuple[str, str]]:
    """Jobs of which the peers do not tell the same, with what they tell."""
    found: list[tuple[str, str]] = []
    for job in sorted({job for rows in evidence.jobs.values() for job in rows}):
        told = {peer: _row(rows[job]) for peer, rows in evidence.jobs.items() if job in rows}
        if len(set(told.values())) > 1:
            found.append((job, f"the peers differ: {told}"))
        frames = {peer: tuple(map(_frame, rows.get(job, []))) for peer, rows in evidence.frames.items()}
        if len(set(frames.values())) > 1:
            found.append((job, f"the peers differ in frames: {_differences(frames)}"))
    return found


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["state"], row["owner"], row["frames"]["done"], row["frames"]["failed"], row["frames"]["total"]


def _frame(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["frame"], row["state"], row["generation"], row["digest"], row["pixel_hash"]


def _differences(frames: Mapping[str, tuple[Any, ...]]) -> str:
    common = set.intersection(*(set(rows) for rows in frames.values()))
    return "; ".join(
        f"{peer}: {[(*row[:3], (row[3] or '')[:8]) for row in rows if row not in common][:3]}" for peer, rows in frames.items()
    )


def each_frame_once(case: Case) -> Verdict:
    """Every frame of a completed job has one committed result; of a failed one exactly those that were told to fail have none."""
    wrong, frames, again = [], 0, 0
    for key, account in case.acknowledged():
        rows = _frames_of(case.evidence, account.job)
        numbers = Counter(row["frame"] for row in rows)
        state = next((rows[account.job]["state"] for rows in case.evidence.jobs.values() if account.job in rows), "")
        if state == "cancelled" and not rows:
            continue
        if sorted(numbers.elements()) != account.order.numbers:
            wrong.append(Violation(f"has the frames {sorted(numbers.elements())}, not {account.order.numbers}", key, account.job))
        for row in rows if state in ("completed", "failed") else ():
            frames += 1
            wanted = "failed" if row["frame"] in account.order.failing else "done"
            if row["state"] != wanted:
                wrong.append(Violation(f"frame {row['frame']} is {row['state']}, not {wanted}: {row['error']}", key, account.job))
            surely, _ = account.generations(row["frame"])
            again += row["generation"] > account.generations(row["frame"])[1]
            if row["generation"] < min(surely, 1) and wanted == "done" and state == "completed":
                wrong.append(Violation(f"frame {row['frame']} was not rendered again", key, account.job))
    figure = f"{frames} frames" + (f", {again} of them wanted anew by the mesh itself" if again else "")
    return Verdict("every frame is committed once", figure, wrong)


def _frames_of(evidence: Evidence, job: str) -> list[dict[str, Any]]:
    return next((rows[job] for rows in evidence.frames.values() if rows.get(job)), [])


def every_picture_is_right(case: Case) -> Verdict:
    """The bytes are those of the digest and decode to the pixels that this frame must have."""
    wrong, count, film = [], 0, 0
    for key, account in case.acknowledged():
        rows = _frames_of(case.evidence, account.job)
        for row in [one for one in rows if one["state"] == "done"]:
            pixels, digest = case.evidence.pictures.get((account.job, row["frame"]), ("missing: no peer gave its bytes", ""))
            count += 1
            film += account.order.renderer == "blender"
            if pixels != case.truth(account.order, row["frame"]):
                text = pixels if ":" in pixels else "has other pixels than it must have"
                wrong.append(Violation(f"frame {row['frame']} {text}", key, account.job))
            elif digest != row["digest"]:
                wrong.append(Violation(f"the bytes of frame {row['frame']} are not those of its digest", key, account.job))
    return Verdict("every frame has the right pixels", f"{count} frames compared, {film} of them by Blender", wrong)


def every_file_is_right(case: Case) -> Verdict:
    """The output root holds the frames that were to be delivered, and nothing else."""
    wrong: list[Violation] = []
    expected: dict[str, tuple[str, Account, int]] = {}
    optional: set[str] = set()
    for key, account in case.acknowledged():
        rows = _frames_of(case.evidence, account.job)
        if account.order.folder is None:
            continue
        for row in [one for one in rows if one["state"] == "done"]:
            name = f"{account.order.folder}/{key}_{row['frame']:04d}.png"
            expected[name] = (key, account, row["frame"])
            if account.surely_cancelled or account.perhaps_cancelled or account.order.failing:
                optional.add(name)
    for name, (key, account, frame) in expected.items():
        pixels = case.evidence.delivered.get(name)
        if pixels is None and name not in optional:
            wrong.append(Violation(f"{name} was not delivered", key, account.job))
        elif pixels is not None and pixels != case.truth(account.order, frame):
            wrong.append(Violation(f"{name} is wrong: {pixels[:80]}", key, account.job))
    strange = sorted(set(case.evidence.delivered) - set(expected))
    wrong += [Violation(f"{name} has no business in the output root", name.split("/")[-1].rpartition("_")[0]) for name in strange]
    return Verdict("the output root holds the right files and no other", f"{len(case.evidence.delivered)} files", wrong)


def little_is_rendered_twice(case: Case) -> Verdict:
    """At most one frame for each kill and slot; what a cut network or a stopped peer cost is counted beside."""
    found = rerendered(case.lines, {account.job for account in case.accounts.values() if account.rerenders})
    wrong = []
    if found.by_kills > found.allowed:
        wrong.append(Violation(f"{found.by_kills} frames were rendered twice, more than {found.allowed}: {found.examples}"))
    figure = (
        f"{found.by_kills} frames twice for {found.kills} kills of {found.allowed} slots, {found.by_cuts} more while the"
        f" network was cut or a peer stopped; {found.commits} commits"
    )
    return Verdict("at most one frame is rendered again per kill and slot", figure, wrong)


def nothing_is_left_over(case: Case) -> Verdict:
    """No process without its peer, no file of something unfinished."""
    wrong = [Violation(f"process {text}") for text in case.evidence.processes]
    wrong += [Violation(f"file {text}") for text in case.evidence.leftovers]
    return Verdict("no orphan process, no stray file", f"{len(wrong)} found", wrong)


def nobody_fell_over(case: Case) -> Verdict:
    """No peer ends by itself but where it must, none hangs, and none has an error of its own making."""
    wrong = [Violation(_fell(line)) for line in case.of("ended", "stuck", "twins", "client_broke")]
    odd = [line for line in case.of("complaint", "said") if not any(word in line["text"] for word in EXPECTED)]
    wrong += [Violation(f"{line['peer']} says: {line['text']}") for line in odd]
    broken = [line for line in case.of(*HARMLESS) if line.get("status") == 500]
    wrong += [Violation(f"{line['host']} answered 500 to {line['op']}: {line['text']}", line["key"]) for line in broken]
    return Verdict("no peer falls over", f"{len(case.of('complaint'))} complaints", wrong)


def _fell(line: Mapping[str, Any]) -> str:
    match line["op"]:
        case "ended":
            return f"{line['peer']} ended by itself with {line['code']}: {line['log'][-1500:]}"
        case _:
            return f"{line['op']}: { {name: value for name, value in line.items() if name not in ('at', 'op')} }"


def all_settled(case: Case) -> Verdict:
    """After the last fault everything ends within the bound."""
    settled = case.of("settled")
    wrong = [] if settled and settled[-1]["in_time"] else [Violation(f"not settled: {settled[-1:] or 'never'}")]
    figure = f"{settled[-1]['seconds']:.0f} s" if settled else "never"
    return Verdict("everything settles after the last fault", figure, wrong)


RULES: Final[tuple[Callable[[Case], Verdict], ...]] = (
    nothing_is_lost,
    all_was_accepted,
    nothing_is_doubled,
    all_has_ended,
    all_agree,
    each_frame_once,
    every_picture_is_right,
    every_file_is_right,
    little_is_rendered_twice,
    nothing_is_left_over,
    nobody_fell_over,
    all_settled,
)


def story(lines: Iterable[Mapping[str, Any]], violation: Violation) -> Iterator[Mapping[str, Any]]:
    """What the history tells of the job of a violation, and the faults between."""
    for line in lines:
        mine = violation.key and line.get("key") == violation.key
        job = violation.job and line.get("job") == violation.job
        if mine or job or line["op"] in ("fault", "over", "ended"):
            yield line
