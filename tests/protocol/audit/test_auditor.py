from __future__ import annotations

from dataclasses import replace
from random import Random

from protocol.audit.auditor import Auditor
from protocol.effects import Compare, FetchBlobs, Notice
from protocol.events import BlobsEnded, Compared, StreamFailed, StreamReceived
from protocol.ids import PeerId
from protocol.jobs.results import Capabilities, FrameResult
from protocol.kernel import Now
from protocol.signals import FrameCommitted, PeerRefuted
from protocol.wire.work import Audit, Audited
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, CARL, CRITICAL, JOB, ME, attempt, card, changed, done, failed, peer, sent, spec, work

AVX2 = Capabilities("blender", "5.0.1", "", "program", ("CYCLES",), kernel="avx2")
SSE42 = replace(AVX2, kernel="sse42")
OTHERS = (ANNA, BEN, CARL)
RENDER = work("1-400", spec(renderer="blender", frames="1-400"), engine="CYCLES", blender="5.0")


def lie(frame: int, by: PeerId, *, seconds: float = 1.0) -> FrameResult:
    right = done(frame, by, seconds=seconds)
    return replace(right, outputs=(replace(right.outputs[0], pixel_hash="f" * 64),))


class Site:
    """An owner's auditor among peers, each of a processor level."""

    def __init__(self, *, share: float = 0.25, kernels: dict[PeerId, Capabilities] | None = None) -> None:
        self.machine = Auditor(me=ME, run_epoch=1, share=share, random=Random(4))
        self.book = Playbook(self.machine)
        self.frame = 0
        for who in kernels or dict.fromkeys(OTHERS, AVX2):
            able = AVX2 if kernels is None else kernels[who]
            self.book.feed(changed(who, with_card=card(capabilities=(able,))))
        self.book.feed(RENDER)

    def commit(self, by: PeerId, result: FrameResult | None = None) -> None:
        self.frame += 1
        made = done(self.frame, by) if result is None else result
        self.book.feed(FrameCommitted(JOB, self.frame, 0, attempt(self.frame), by, made))

    def until_asked(self, by: PeerId, *, lies: bool = False) -> tuple[PeerId, Audit]:
        """Commit frames of one peer until somebody is asked to look at one."""
        for _ in range(20):
            self.commit(by, lie(self.frame + 1, by) if lies else None)
            asked = self.asked()
            if asked:
                return asked[0]
        raise AssertionError("nobody was asked")

    def asked(self) -> list[tuple[PeerId, Audit]]:
        return [(who, message) for who in (*OTHERS, ME) for message in sent(self.book, Audit, who)]

    def answer(self, who: PeerId, audit: Audit, result: FrameResult) -> None:
        self.book.feed(StreamReceived(who, Audited(JOB, audit.lease.attempts[0], result)))

    def notices(self) -> list[str]:
        return [notice.event for notice in self.book.take(Notice) if notice.event != "audit_asked"]


def test_as_many_frames_as_the_share_says_are_looked_at_and_none_without_one() -> None:
    site = Site(share=0.02)
    for at in range(1000):
        site.commit(OTHERS[at % 3])
        for who, audit in site.asked():
            site.answer(who, audit, done(audit.lease.frames[0], who))
    assert 19 <= site.notices().count("audit_agreed") <= 20
    silent = Site(share=0.0)
    for _ in range(200):
        silent.commit(ANNA)
    assert silent.asked() == []


def test_the_latest_frame_of_the_peer_that_was_unseen_longest_goes_to_another_one() -> None:
    site = Site()
    who, audit = site.until_asked(ANNA)
    assert who != ANNA
    assert (audit.lease.job, audit.lease.frames, audit.lease.spec) == (JOB, (site.frame,), RENDER.spec_json)
    site.answer(who, audit, done(site.frame, who))
    assert site.notices() == ["audit_agreed"]
    assert site.machine.unseen(ANNA) == 0
    assert site.machine.under_way == 0


def test_however_fast_a_peer_is_it_never_has_more_than_the_stated_number_of_frames_unseen() -> None:
    site, share, most = Site(share=0.1), 0.1, 0
    dice = Random(9)
    for _ in range(4000):
        site.commit(dice.choices(OTHERS, (8, 1, 3))[0])
        for who, audit in site.asked():
            site.answer(who, audit, done(audit.lease.frames[0], who))
        most = max(most, *(site.machine.unseen(who) for who in OTHERS))
    assert most <= 2.62 / share


def test_whoever_is_alone_with_its_pixels_is_refuted_by_the_two_others() -> None:
    site = Site()
    who, audit = site.until_asked(ANNA, lies=True)
    site.answer(who, audit, done(site.frame, who))
    assert site.book.take(PeerRefuted) == []  # two that differ prove nothing
    fetch = site.book.take(FetchBlobs)[0]
    assert fetch.holders == (who,)
    site.book.feed(BlobsEnded(fetch.ticket, ""))
    compare = site.book.take(Compare)[0]
    assert compare.outliers == 0.0
    site.book.feed(Compared(compare.ticket, False, ""))
    third, again = site.asked()[0]
    assert {ANNA, who, third} == set(OTHERS)
    site.answer(third, again, done(site.frame, third))
    for _ in range(2):  # with the accused by pixels, with the witness by hash
        for fetch in site.book.take(FetchBlobs):
            site.book.feed(BlobsEnded(fetch.ticket, ""))
        for compare in site.book.take(Compare):
            site.book.feed(Compared(compare.ticket, False, ""))
    assert site.book.take(PeerRefuted) == [PeerRefuted(ANNA, JOB, site.frame, (who, third))]
    assert "audit_refuted" in site.notices()


def test_a_witness_that_lies_is_refuted_and_not_whom_it_accuses() -> None:
    site = Site()
    who, audit = site.until_asked(ANNA)
    odd = replace(done(site.frame, who), outputs=(replace(done(site.frame, who).outputs[0], width=63),))
    site.answer(who, audit, odd)  # another size: nothing to compare
    third, again = site.asked()[0]
    site.answer(third, again, done(site.frame, third))
    assert [one.peer for one in site.book.take(PeerRefuted)] == [who]


def test_where_nobody_else_can_be_asked_nobody_is_refuted() -> None:
    site = Site(kernels={ANNA: AVX2, BEN: AVX2})
    who, audit = site.until_asked(ANNA)
    odd = replace(done(site.frame, who), outputs=done(site.frame, who).outputs * 2)
    site.answer(who, audit, odd)
    assert site.book.take(PeerRefuted) == []
    assert site.notices() == ["audit_undecided"]
    assert site.machine.under_way == 0


def test_another_processor_is_compared_by_tolerance() -> None:
    site = Site(kernels={ANNA: AVX2, BEN: SSE42})
    who, audit = site.until_asked(ANNA)
    site.answer(who, audit, lie(site.frame, who))  # other last bits
    site.book.feed(BlobsEnded(site.book.take(FetchBlobs)[0].ticket, ""))
    compare = site.book.take(Compare)[0]
    assert compare.outliers > 0
    site.book.feed(Compared(compare.ticket, True, ""))
    assert site.notices() == ["audit_agreed"]


def test_who_renders_another_picture_with_nothing_wrong_in_it_is_not_asked() -> None:
    site = Site(kernels={ANNA: AVX2, BEN: replace(AVX2, version="5.0.2"), CARL: replace(AVX2, oidn=True)})
    for _ in range(40):
        site.commit(ANNA)
    assert site.asked() == []


def test_jobs_whose_renders_differ_by_themselves_are_left_alone() -> None:
    site = Site()
    site.book.feed(replace(RENDER, comparable=False))
    for _ in range(40):
        site.commit(ANNA)
    assert site.asked() == []


def test_three_renders_that_all_differ_say_something_of_the_job() -> None:
    site = Site()
    who, audit = site.until_asked(ANNA)
    shapes = [replace(done(1, ANNA), outputs=done(1, ANNA).outputs * count) for count in (2, 3)]
    site.answer(who, audit, shapes[0])
    third, again = site.asked()[0]
    site.answer(third, again, shapes[1])
    assert site.book.take(PeerRefuted) == []
    assert site.notices() == ["audit_undecided"]
    for _ in range(40):
        site.commit(BEN)
    assert site.asked() == []


def test_a_witness_that_cannot_or_is_gone_or_silent_is_followed_by_another() -> None:
    site = Site(kernels={ANNA: AVX2, BEN: AVX2, CARL: AVX2, peer("dora"): AVX2, ME: AVX2})
    everybody = (*OTHERS, peer("dora"), ME)

    def asked() -> tuple[PeerId, Audit]:
        found = [(who, message) for who in everybody for message in sent(site.book, Audit, who)]
        assert len(found) == 1
        return found[0]

    who, audit = None, None
    for _ in range(20):
        site.commit(ANNA)
        if site.machine.under_way:
            who, audit = asked()
            break
    assert who is not None
    assert audit is not None
    site.answer(who, audit, failed("crash"))
    second, audit = asked()
    site.book.feed(StreamFailed(second, audit, refused=True))
    third, audit = asked()
    site.book.feed(changed(third, "dead"))
    fourth, audit = asked()
    assert len({ANNA, who, second, third, fourth}) == 5
    deadline = site.machine.next_deadline()
    assert deadline is not None
    outputs = site.machine.on_deadline(Now(deadline, 0))
    assert [one.event for one in outputs if isinstance(one, Notice)] == ["audit_undecided"]  # nobody is left to ask
    site.answer(fourth, audit, lie(site.frame, fourth))  # too late to count
    assert site.book.take(PeerRefuted) == []


def test_nobody_is_asked_who_drains_ails_or_is_not_trusted_and_no_answer_of_a_stranger_counts() -> None:
    site = Site()
    site.book.feed(changed(BEN, with_card=card(capabilities=(AVX2,), draining=True)))
    site.book.feed(changed(CARL, with_card=card(capabilities=(AVX2,), checks=(CRITICAL,))))
    for _ in range(20):
        site.commit(ANNA)
    assert site.asked() == []
    site.book.feed(changed(BEN, with_card=card(capabilities=(AVX2,))))
    who, audit = site.until_asked(ANNA)
    assert who == BEN
    site.answer(CARL, audit, lie(site.frame, CARL))
    assert site.machine.under_way == 1
