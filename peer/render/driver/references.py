"""Every place in an opened scene that names a file outside of the .blend, with the means to make it name another.

Walks the data, in Blender 3.4 to 5.0; looks at no disk. Sounds are left out: no frame shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from peer.render.driver.blender import bpy

Pick = Literal["file", "tiles", "series", "folder", "names"]
"""What a path stands for: a file; tiles by `<UDIM>` or `<UVTILE>`; a numbered series by one of its files; a whole folder; a
folder of which the files `names` are used."""


@dataclass(frozen=True)
class Reference:
    """`raw` is the path as the artist wrote it, relative to `library` (None: the opened file). Without `needed` nothing is
    wrong when it is not there."""

    kind: str
    label: str
    raw: str
    library: Any
    owner: Any
    attribute: str
    pick: Pick = "file"
    names: tuple[str, ...] = ()
    needed: bool = True

    def point_at(self, path: str) -> None:
        """Make it name `path` instead."""
        setattr(self.owner, self.attribute, path)


def libraries() -> list[Reference]:
    """Linked .blend files, direct and indirect; a library with a parent may be relative to it or to the opened file."""
    return [
        Reference("library", library.name, library.filepath, None, library, "filepath")
        for library in bpy.data.libraries
        if library.filepath and getattr(library, "packed_file", None) is None
    ]


def assets() -> Iterator[Reference]:
    """Everything but libraries."""
    yield from _images()
    yield from _blocks("font", bpy.data.fonts)
    yield from _blocks("volume", bpy.data.volumes)
    yield from _caches()
    yield from _clips()
    yield from _nodes()
    for obj in bpy.data.objects:
        yield from _modifiers(obj)
        yield from _point_caches(obj)
    for scene in bpy.data.scenes:
        yield from _strips(scene)


def _images() -> Iterator[Reference]:
    for image in bpy.data.images:
        if image.source in ("FILE", "SEQUENCE", "MOVIE", "TILED") and image.filepath and len(image.packed_files) == 0:
            picks: dict[str, Pick] = {"SEQUENCE": "series", "TILED": "tiles"}
            pick: Pick = picks.get(image.source, "file")
            yield Reference("image", image.name, image.filepath, image.library, image, "filepath", pick)


def _blocks(kind: str, blocks: Any) -> Iterator[Reference]:
    for block in blocks:
        packed = getattr(block, "packed_file", None) is not None
        if block.filepath and block.filepath != "<builtin>" and not packed:
            pick: Pick = "series" if getattr(block, "is_sequence", False) else "file"
            yield Reference(kind, block.name, block.filepath, block.library, block, "filepath", pick)


def _caches() -> Iterator[Reference]:
    yield from _blocks("cache file", bpy.data.cache_files)
    for block in bpy.data.cache_files:
        for layer in getattr(block, "layers", ()):
            if layer.filepath:
                yield Reference("cache file", block.name, layer.filepath, block.library, layer, "filepath")


def _clips() -> Iterator[Reference]:
    for clip in bpy.data.movieclips:
        if clip.filepath:
            pick: Pick = "series" if clip.source == "SEQUENCE" else "file"
            yield Reference("movie clip", clip.name, clip.filepath, clip.library, clip, "filepath", pick)


def _nodes() -> Iterator[Reference]:
    """Light profiles and OSL shaders that shader nodes name themselves."""
    owners = [*bpy.data.materials, *bpy.data.worlds, *bpy.data.lights]
    trees = [*((owner.node_tree, owner.library) for owner in owners), *((group, group.library) for group in bpy.data.node_groups)]
    kinds = {"TEX_IES": "light profile", "SCRIPT": "OSL shader"}
    for tree, library in trees:
        for node in tree.nodes if tree is not None else ():
            if node.type in kinds and node.mode == "EXTERNAL" and node.filepath:
                yield Reference(kinds[node.type], node.name, node.filepath, library, node, "filepath")


def _modifiers(obj: Any) -> Iterator[Reference]:
    for modifier in obj.modifiers:
        label = f"{obj.name}/{modifier.name}"
        if modifier.type == "MESH_CACHE" and modifier.filepath:
            yield Reference(
                "mesh cache", label, modifier.filepath, obj.library, modifier, "filepath", needed=modifier.show_render
            )
        elif modifier.type == "MULTIRES" and modifier.is_external:
            yield Reference("displacement", label, modifier.filepath, obj.library, modifier, "filepath")
        elif modifier.type == "OCEAN" and modifier.filepath and modifier.is_cached:
            yield Reference("ocean cache", label, modifier.filepath, obj.library, modifier, "filepath", "folder")
        elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
            domain = modifier.domain_settings
            baked = bool(domain.has_cache_baked_data)
            yield Reference("fluid cache", label, domain.cache_directory, obj.library, domain, "cache_directory", "folder",
                            needed=baked)  # fmt: skip
        elif modifier.type == "NODES":
            yield from _bakes(obj, modifier, label)


def _bakes(obj: Any, modifier: Any, label: str) -> Iterator[Reference]:
    """Simulation zones and bake nodes; the folder is named from the first bake on, and stays named when that is freed."""
    for attribute in ("bake_directory", "simulation_bake_directory"):
        if raw := getattr(modifier, attribute, ""):
            yield Reference("bake", label, raw, obj.library, modifier, attribute, "folder", needed=False)
    for bake in getattr(modifier, "bakes", ()):
        if bake.use_custom_path and bake.directory:
            yield Reference("bake", label, bake.directory, obj.library, bake, "directory", "folder", needed=False)


def _point_caches(obj: Any) -> Iterator[Reference]:
    """Only caches at a place of their own: others lie beside the .blend, in a folder that is named after it."""
    caches = [getattr(modifier, "point_cache", None) for modifier in obj.modifiers]
    caches += [system.point_cache for system in obj.particle_systems]
    for cache in caches:
        if cache is not None and cache.use_external and cache.filepath:
            yield Reference("simulation cache", obj.name, cache.filepath, obj.library, cache, "filepath", "folder")


def _strips(scene: Any) -> Iterator[Reference]:
    editor = scene.sequence_editor
    if editor is None:
        return
    for strip in editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all:
        if strip.type == "MOVIE" and strip.filepath:
            yield Reference("strip", strip.name, strip.filepath, scene.library, strip, "filepath")
        elif strip.type == "IMAGE" and strip.directory:
            names = tuple(element.filename for element in strip.elements)
            yield Reference("strip", strip.name, strip.directory, scene.library, strip, "directory", "names", names)
