"""What a client asks for: the job specification as sent, validated once, immutable ever after.

Refuses to know how a value reaches Blender; it only knows which values make sense.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from protocol import limits
from protocol.errors import Invalid, Malformed
from protocol.jobs.destination import parse_destination
from protocol.jobs.frames import check_frames
from protocol.jobs.sandboxes import Demand

Engine = Literal["CYCLES", "BLENDER_EEVEE", "BLENDER_EEVEE_NEXT", "BLENDER_WORKBENCH"]
Format = Literal["PNG", "JPEG", "TIFF", "WEBP", "OPEN_EXR", "OPEN_EXR_MULTILAYER"]
RendererName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Label = Annotated[str, Field(max_length=limits.LABEL_CHARS_MAX, pattern=r"^[A-Za-z0-9_.-]+=[^\x00-\x1f]*$")]


class JobSpec(BaseModel):
    """One job. Every field is optional except what the renderer needs; None means "as the scene says"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", max_length=limits.JOB_NAME_CHARS_MAX, pattern=r"^[^\x00-\x1f]*$")
    renderer: RendererName = "blender"
    frames: str | None = Field(None, description="Ranges and steps, such as 1-48,60,100-200x5; default: the scene's own")
    priority: int = Field(50, ge=0, le=100)
    scene_name: str | None = Field(None, max_length=256)
    view_layer: str | None = Field(None, max_length=256)
    camera: str | None = Field(None, max_length=256)
    engine: Engine | None = None
    device: Literal["auto", "cpu", "gpu"] = "auto"
    sandbox: Demand = Field("any", description="The least sandbox that a peer must have: landlock, bwrap, or any, even none")
    blender: str | None = Field(None, pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$", description="Blender version, major.minor")
    samples: int | None = Field(None, ge=1, le=65_536)
    resolution: str | None = Field(
        None, pattern=r"^[0-9]{1,5}x[0-9]{1,5}$", description="Pixels, such as 1920x1080; percentage becomes 100"
    )
    format: Format | None = None
    color_depth: Literal["8", "10", "12", "16", "32"] | None = None
    color_mode: Literal["BW", "RGB", "RGBA"] | None = None
    quality: int | None = Field(None, ge=0, le=100)
    output: str = Field("{job}_{frame:04d}", max_length=200)
    destination: str | None = Field(
        None,
        max_length=limits.DESTINATION_CHARS_MAX,
        description="Where finished frames go besides: ROOT:folder or s3://bucket/folder",
    )
    max_attempts: int = Field(3, ge=1, le=limits.ATTEMPTS_PER_FRAME_MAX)
    frame_timeout_s: float | None = Field(None, gt=0, le=7 * 86_400)
    threads: int | None = Field(None, ge=1, le=1024)
    on_warning: Literal["hold", "fail", "accept"] = "hold"
    order: Literal["sequential", "every-nth", "middle"] = "sequential"
    durability: Literal["two", "local", "quorum", "all"] = "two"
    label: tuple[Label, ...] = Field((), max_length=limits.LABELS_PER_JOB_MAX)
    settings: dict[str, Any] = Field(default_factory=dict, description="Per renderer; blender: ocio; null: frame_ms, output")

    @field_validator("frames")
    @classmethod
    def _frames_parse(cls, value: str | None) -> str | None:
        if value is not None:
            check_frames(value)
        return value

    @field_validator("destination")
    @classmethod
    def _destination_reads(cls, value: str | None) -> str | None:
        if value is not None:
            parse_destination(value)
        return value

    @field_validator("resolution")
    @classmethod
    def _resolution_in_range(cls, value: str | None) -> str | None:
        if value is not None and not all(4 <= int(side) <= 65_536 for side in value.split("x")):
            raise ValueError("each side must be from 4 to 65536 pixels")
        return value

    @field_validator("settings")
    @classmethod
    def _settings_are_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not _is_plain(value):
            raise ValueError(f"values are nested up to {limits.SETTINGS_DEPTH_MAX} deep, and numbers are finite")
        if len(json.dumps(value)) > limits.SETTINGS_BYTES_MAX:
            raise ValueError(f"longer than {limits.SETTINGS_BYTES_MAX:,} bytes of JSON")
        return value

    @model_validator(mode="after")
    def _fits_into_a_fact(self) -> Self:
        if len(canonical(self)) > limits.SPEC_CHARS_MAX:
            raise ValueError(f"all fields together are longer than {limits.SPEC_CHARS_MAX:,} characters of JSON")
        return self


def canonical(spec: JobSpec) -> str:
    """The fields as sent, as JSON with sorted keys and no white space."""
    return json.dumps(spec.model_dump(mode="json", exclude_unset=True), sort_keys=True, separators=(",", ":"))


def read_spec(text: str) -> JobSpec:
    """The specification that another peer has sent or a disk has kept. Raises `Malformed`."""
    if len(text) > limits.SPEC_CHARS_MAX:
        raise Malformed(f"a specification of {len(text):,} characters; at most {limits.SPEC_CHARS_MAX:,}")
    try:
        return JobSpec.model_validate_json(text)
    except (ValueError, Invalid) as fault:
        raise Malformed(f"not a specification: {str(fault)[:200]}") from None


def _is_plain(value: Any) -> bool:
    """Whether every reader of JSON gets the same out of it: some stop at a hundred levels, and none must read infinity."""
    level = [value]
    for _ in range(limits.SETTINGS_DEPTH_MAX):
        if any(isinstance(one, float) and not math.isfinite(one) for one in level):
            return False
        inside = [one for one in level if isinstance(one, list | dict)]
        level = [each for one in inside for each in (one.values() if isinstance(one, dict) else one)]
    return not level


class RenderSettings(BaseModel):
    """The part of a specification that decides pixels: with the manifest's digest it is the session key.

    `blender` is the version that renders, major.minor; None: the nearest at or above the file's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    renderer: RendererName = "blender"
    blender: str | None = None
    scene_name: str | None = None
    view_layer: str | None = None
    camera: str | None = None
    engine: Engine | None = None
    device: Literal["auto", "cpu", "gpu"] = "auto"
    samples: int | None = None
    resolution: str | None = None
    format: Format | None = None
    color_depth: Literal["8", "10", "12", "16", "32"] | None = None
    color_mode: Literal["BW", "RGB", "RGBA"] | None = None
    quality: int | None = None
    threads: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


def render_settings(spec: JobSpec, *, blender: str = "") -> RenderSettings:
    """The pixel-deciding part of `spec`, with the version of Blender that its inspection has fixed ('': none yet)."""
    fields = {name: getattr(spec, name) for name in RenderSettings.model_fields}
    return RenderSettings(**fields | {"blender": blender or spec.blender})
