"""Simulations that are not baked: their frames depend on the frames before, so peers that render them apart would differ.

Decides which simulations count: those that are rendered, and whose next state needs the last one. Caches that are gone are
`files`' concern.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peer.render.driver import used
from peer.render.driver.blender import bpy

REMEDY = (
    "bake it (into the .blend, or beside it and send the folder along); who accepts this gets frames that need not fit together"
)
_CACHED = ("CLOTH", "SOFT_BODY")
_STEPPED = ("NEWTON", "BOIDS", "FLUID")  # physics of particles that need the last frame's state
_BAKE = struct.Struct("<iI8xQiiiiQQ")  # Blender's NodesModifierBake: id, flag, directory, frames, data-blocks, packed


def unbaked(scene: Any) -> list[dict[str, str]]:
    """A picture-class warning for every simulation of `scene` that is rendered and not baked."""
    found = [*_rigid_bodies(scene)]
    for obj in used.objects(scene):
        found += [*_modifiers(obj), *_particles(obj)]
    return [_warning(what, name) for what, name in found]


def _warning(what: str, name: str) -> dict[str, str]:
    text = f"the {what} of {name!r} is not baked: its frames depend on the order in which they are rendered"
    return {"code": "unbaked_simulation", "kind": "picture", "text": text[:1000], "remedy": REMEDY}


def _is_kept(cache: Any) -> bool:
    """Whether every process reads the same states: from the .blend, from files beside it, or from an external cache."""
    return bool(cache.is_baked or cache.use_external)


def _modifiers(obj: Any) -> Iterator[tuple[str, str]]:
    for modifier in obj.modifiers:
        if not modifier.show_render:
            continue
        if modifier.type in _CACHED and not _is_kept(modifier.point_cache):
            yield modifier.type.replace("_", " ").lower(), obj.name
        elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
            if modifier.domain_settings is not None and not modifier.domain_settings.has_cache_baked_data:
                yield "fluid", obj.name
        elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
            cached = [one for one in modifier.canvas_settings.canvas_surfaces if one.is_active and one.is_cache_user]
            if not all(_is_kept(surface.point_cache) for surface in cached):
                yield "dynamic paint", obj.name
        elif modifier.type == "NODES" and not _zones_are_baked(modifier, obj):
            yield "simulation zone", obj.name


def _particles(obj: Any) -> Iterator[tuple[str, str]]:
    shown = {modifier.particle_system.name for modifier in obj.modifiers if _draws_particles(modifier)}
    for system in obj.particle_systems:
        if system.name not in shown:
            continue
        if system.settings.type == "HAIR":
            if system.use_hair_dynamics and not _is_kept(system.cloth.point_cache if system.cloth else system.point_cache):
                yield "hair dynamics", obj.name
        elif system.settings.physics_type in _STEPPED and not _is_kept(system.point_cache):
            yield "particle system", obj.name


def _draws_particles(modifier: Any) -> bool:
    return modifier.type == "PARTICLE_SYSTEM" and bool(modifier.show_render)


def _rigid_bodies(scene: Any) -> Iterator[tuple[str, str]]:
    world = scene.rigidbody_world
    if world is None or not world.enabled or world.collection is None or _is_kept(world.point_cache):
        return
    moved = [obj.rigid_body for obj in world.collection.objects if obj.rigid_body is not None]
    if any(body.type == "ACTIVE" and body.enabled and not body.kinematic for body in moved):
        yield "rigid body world", scene.name


def _zones_are_baked(modifier: Any, obj: Any) -> bool:
    """Simulation zones exist since 3.6; each has an entry among the modifier's bakes since 4.1."""
    if not _has_zone(modifier.node_group, set()):
        return True
    bakes = [bake for bake in getattr(modifier, "bakes", ()) if bake.node is None or bake.node.type == "SIMULATION_OUTPUT"]
    return bool(bakes) and all(_is_in_blend(bake) or _is_on_disk(modifier, bake, obj) for bake in bakes)


def _has_zone(tree: Any, seen: set[str]) -> bool:
    if tree is None or tree.name_full in seen:
        return False
    seen.add(tree.name_full)
    return any(
        node.bl_idname == "GeometryNodeSimulationOutput" or (node.type == "GROUP" and _has_zone(node.node_tree, seen))
        for node in tree.nodes
        if not node.mute
    )


def _is_in_blend(bake: Any) -> bool:
    """Python is not told whether a bake is packed, so Blender's own structure is read, and only where it is as we know it."""
    raw = (ctypes.c_char * _BAKE.size).from_address(bake.as_pointer()).raw
    number, _, _, first, last, *_, packed = _BAKE.unpack(raw)
    return (number, first, last) == (bake.bake_id, bake.frame_start, bake.frame_end) and packed != 0


def _is_on_disk(modifier: Any, bake: Any, obj: Any) -> bool:
    own = bake.directory if bake.use_custom_path else ""
    raw = own or (f"{modifier.bake_directory}/{bake.bake_id}" if modifier.bake_directory else "")
    return bool(raw) and any(Path(bpy.path.abspath(raw, library=obj.library), "meta").glob("*.json"))
