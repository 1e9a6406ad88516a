"""Whether a peer can render a job, and if not, which requirement fails and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.cards import DISTRUST, PeerCard
from protocol.ids import PeerId
from protocol.jobs.results import Capabilities
from protocol.jobs.sandboxes import meets
from protocol.signals import WorkOpened
from protocol.views import Reason


def fitting(work: WorkOpened, capabilities: Sequence[Capabilities]) -> Capabilities | None:
    """The first renderer that meets every requirement of the job, or None."""
    for one in capabilities:
        if not _renderer_gaps(work, one):
            return one
    return None


def unmet(work: WorkOpened, peer: PeerId, card: PeerCard) -> list[Reason]:
    """Why `peer` cannot take frames of this job; empty: it can."""
    reasons = _peer_gaps(work, peer, card)
    same = [one for one in card.capabilities if one.renderer == work.spec.renderer]
    if not same:
        own = [reason for reason in card.renderer_reasons if reason.startswith(f"{work.spec.renderer}:")]
        why = "; ".join(own or card.renderer_reasons) or "it was started without one"
        text = f"{card.name} has no renderer for {work.spec.renderer!r} jobs: {why}"
        is_null = work.spec.renderer == "null"
        remedy = "start that peer with --renderer null" if is_null else "run `peerctl doctor` there"
        return [*reasons, Reason("no_renderer", text, remedy, peer)]
    if fitting(work, same) is None:
        reasons.extend(Reason(code, f"{card.name}: {text}", remedy, peer) for code, text, remedy in _renderer_gaps(work, same[0]))
    return reasons


def _peer_gaps(work: WorkOpened, peer: PeerId, card: PeerCard) -> list[Reason]:
    reasons: list[Reason] = []
    if work.only_on is not None and work.only_on != peer:
        reasons.append(Reason("other_peer_asked", f"the job was given to peer {work.only_on[:8]} alone (POST /job)", "", peer))
    if card.draining:
        reasons.append(Reason("draining", f"{card.name} is draining", f"peerctl undrain {card.name}", peer))
    for check in card.checks:
        if check.status == "critical":
            text = f"{card.name}: check {check.name} is critical: {check.output[:200]}"
            remedy = f"peerctl readmit {card.name}, once it renders rightly" if check.name == DISTRUST else "peerctl doctor"
            reasons.append(Reason("distrusted" if check.name == DISTRUST else "critical", text, remedy, peer))
    if card.slots_total == 0:
        reasons.append(Reason("no_slots", f"{card.name} has no slots", "start it with --slots 1 or more", peer))
    return reasons


def _renderer_gaps(work: WorkOpened, one: Capabilities) -> list[tuple[str, str, str]]:
    spec = work.spec
    gaps: list[tuple[str, str, str]] = []
    if one.renderer != spec.renderer:
        gaps.append(("no_renderer", f"its renderer is {one.renderer}", ""))
    if work.blender and spec.renderer != "null" and ".".join(one.version.split(".")[:2]) != work.blender:
        name = "Blender" if spec.renderer == "blender" else spec.renderer
        text = f"the job needs {name} {work.blender}, it has {one.version}"
        gaps.append(("blender_version", text, f"install {name} {work.blender} there"))
    if spec.engine is not None and one.engines and _family(spec.engine) not in [_family(engine) for engine in one.engines]:
        text = f"engine {spec.engine} does not work there (it has {', '.join(one.engines)})"
        gaps.append(("no_engine", text, "choose another --engine"))
    if not meets(one.sandbox, spec.sandbox):
        text = f"the job demands the sandbox {spec.sandbox}, it has {one.sandbox}"
        gaps.append(("sandbox", text, "run `peerctl doctor` there, or submit with a weaker --sandbox"))
    if spec.device == "gpu" and not any(device != "cpu" for device in one.devices):
        gaps.append(("no_gpu", "it has no GPU that renders", "submit with device=auto or cpu"))
    return gaps


def _family(engine: str) -> str:
    """EEVEE has two names over the versions and is one engine."""
    return "BLENDER_EEVEE" if engine.startswith("BLENDER_EEVEE") else engine
