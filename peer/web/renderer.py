"""The renderer of a submission: the one that it names, else the one that the main file's name says."""

from __future__ import annotations

from peer.web.problems import wrong_fields
from peer.web.requests import nearest
from peer.web.site import Site
from protocol.jobs.manifest import Manifest
from protocol.jobs.spec import JobSpec


def with_renderer(site: Site, spec: JobSpec, manifest: Manifest) -> JobSpec:
    """`spec`, with the renderer of the main file where it names none. Raises `Refused` 422 for one that nobody here knows."""
    if "renderer" not in spec.model_fields_set:
        found = site.options.renderer_of(manifest.main)
        return spec if found in (None, spec.renderer) else spec.model_copy(update={"renderer": found})
    known = site.options.renderers()
    if spec.renderer not in known:
        message = f"no renderer of that name{nearest(spec.renderer, known)}; this mesh has {', '.join(known)}"
        raise wrong_fields([{"field": "renderer", "message": message}])
    return spec
