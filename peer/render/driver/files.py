"""Which files a scene refers to and which of them are not there. Looks at the disk, opens nothing."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from peer.render.driver import series, used
from peer.render.driver.blender import bpy

_DIGITS = re.compile(r"(\d+)(\.\w+)\Z")


def missing(scene: Any, tree: str) -> list[dict[str, str]]:
    """A picture-class warning for every file that the scene needs and that does not lie where it says."""
    in_use = used.by_pictures(scene)
    trees = [*used.node_trees(scene, in_use)]
    volumes = _used(bpy.data.volumes, in_use)
    found = [
        *_lost("missing_library", "library", _libraries()),
        *_lost("missing_image", "image", _images(in_use)),
        *_lost("missing_font", "font", _simple(_used(bpy.data.fonts, in_use))),
        *_lost("missing_volume", "volume", _volumes(volumes)),
        *_lost("missing_cache", "cache file", _simple(_used(bpy.data.cache_files, in_use))),
        *_lost("missing_clip", "movie clip", _simple(_used(bpy.data.movieclips, in_use))),
        *_lost("missing_ies", "light profile", _node_files(trees, "TEX_IES")),
        *_lost("missing_osl", "OSL shader", _node_files(trees, "SCRIPT")),
        *_lost("missing_strip", "file of the strip", _strips(scene)),
        *_lost("missing_cache", "mesh cache", _mesh_caches(scene)),
        *_lost("missing_cache", "simulation cache", _simulations(scene)),
    ]
    holes = series.holes(scene, trees, volumes, _absolute)
    return [
        *(_warning(code, noun, name, raw, path, tree) for code, noun, name, raw, path in found),
        *(_hole(name, raw, path, tree) for name, raw, path in holes if all(path != lost[-1] for lost in found)),
    ]


Reference = tuple[str, str, Path]  # name of the data-block, path as the artist wrote it, where that is


def _lost(code: str, noun: str, references: Iterator[Reference]) -> Iterator[tuple[str, str, str, str, Path]]:
    seen: set[Path] = set()
    for name, raw, path in references:
        if path not in seen and not path.exists():
            seen.add(path)
            yield code, noun, name, raw, path


def _warning(code: str, noun: str, name: str, raw: str, path: Path, tree: str) -> dict[str, str]:
    text = f"the {noun} {name!r} is missing: {raw}"
    return {"code": code, "kind": "picture", "text": text[:1000], "remedy": _remedy(path, raw, tree)[:1000]}


def _hole(name: str, raw: str, path: Path, tree: str) -> dict[str, str]:
    text = f"the series {name!r} lacks {path.name!r}, which a frame of the scene needs: {raw}"
    return {
        "code": "incomplete_sequence", "kind": "picture", "text": text[:1000], "remedy": _remedy(path, raw, tree)[:1000],
    }  # fmt: skip


def _remedy(path: Path, raw: str, tree: str) -> str:
    """A path below the scene's folder can be sent as it is; any other must be made relative or packed first."""
    relative = os.path.relpath(path, tree)
    if raw.startswith("//") and not relative.startswith(".."):
        return f"send it beside the scene as an asset part named {Path(relative).as_posix()!r}, or pack it into the .blend"
    name = PureWindowsPath(raw).name or "the file"
    return f"its path leaves the scene's folder: submit it by peerctl where the file is (--map tells where a folder lies there), \
pack it into the .blend, or keep it beside the scene under a relative path and send it as an asset part named {name!r}"


def _absolute(raw: str, library: Any) -> Path:
    text = raw.replace("\\", "/") if raw.startswith("//") else raw
    return Path(os.path.normpath(bpy.path.abspath(text, library=library)))


def _libraries() -> Iterator[Reference]:
    """Blender makes paths of libraries relative to the opened file, also of those that another library links."""
    for library in bpy.data.libraries:
        if library.packed_file is None and library.filepath:
            own, parents = (_absolute(library.filepath, base) for base in (None, library.parent))
            yield library.name, library.filepath, parents if parents.exists() else own


def _used(blocks: Any, in_use: Container[Any]) -> list[Any]:
    return [block for block in blocks if block in in_use]


def _images(in_use: Container[Any]) -> Iterator[Reference]:
    for image in _used(bpy.data.images, in_use):
        needed = image.source in ("FILE", "SEQUENCE", "MOVIE", "TILED") and image.filepath
        if not needed or len(image.packed_files) > 0:
            continue
        if image.source == "TILED":
            yield from _tiles(image)
        elif image.source == "SEQUENCE":
            yield image.name, image.filepath, _any_of_sequence(_absolute(image.filepath, image.library))
        else:
            yield image.name, image.filepath, _absolute(image.filepath, image.library)


def _tiles(image: Any) -> Iterator[Reference]:
    """Each tile of a UDIM image is a file of its own."""
    for tile in image.tiles:
        across, down = (tile.number - 1001) % 10 + 1, (tile.number - 1001) // 10 + 1
        raw = image.filepath.replace("<UDIM>", str(tile.number)).replace("<UVTILE>", f"u{across}_v{down}")
        yield f"{image.name} tile {tile.number}", raw, _absolute(raw, image.library)


def _any_of_sequence(path: Path) -> Path:
    """The named picture, or any of its series: which ones a frame needs depends on the frame."""
    digits = _DIGITS.search(path.name)
    if path.exists() or digits is None or not path.parent.is_dir():
        return path
    series = re.compile(re.escape(path.name[: digits.start()]) + r"\d+" + re.escape(digits[2]) + r"\Z")
    return next((entry for entry in path.parent.iterdir() if series.match(entry.name)), path)


def _simple(blocks: Iterable[Any]) -> Iterator[Reference]:
    for block in blocks:
        packed = getattr(block, "packed_file", None) is not None
        if block.filepath and block.filepath != "<builtin>" and not packed:
            path = _absolute(block.filepath, block.library)
            yield block.name, block.filepath, _any_of_sequence(path) if getattr(block, "is_sequence", False) else path


def _volumes(volumes: Iterable[Any]) -> Iterator[Reference]:
    for volume in volumes:
        if volume.filepath and volume.packed_file is None:
            path = _absolute(volume.filepath, volume.library)
            yield volume.name, volume.filepath, _any_of_sequence(path) if volume.is_sequence else path


def _node_files(trees: Iterable[tuple[Any, Any]], kind: str) -> Iterator[Reference]:
    """Files that shader nodes of type `kind` name themselves."""
    for tree, library in trees:
        for node in tree.nodes:
            if node.type == kind and node.mode == "EXTERNAL" and node.filepath:
                yield node.name, node.filepath, _absolute(node.filepath, library)


def _strips(scene: Any) -> Iterator[Reference]:
    """Movies, and of each row of pictures the first that is not there."""
    editor = scene.sequence_editor if scene.render.use_sequencer else None
    for strip in (editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all) if editor is not None else ():
        if strip.mute or strip.type not in ("MOVIE", "IMAGE"):
            continue
        names = [strip.directory + one.filename for one in strip.elements] if strip.type == "IMAGE" else [strip.filepath]
        lost = ((raw, path) for raw in names if not (path := _absolute(raw, scene.library)).exists())
        yield from ((strip.name, raw, path) for raw, path in itertools.islice(lost, 1))


def _mesh_caches(scene: Any) -> Iterator[Reference]:
    for obj in used.objects(scene):
        for modifier in obj.modifiers:
            if modifier.type == "MESH_CACHE" and modifier.show_render and modifier.filepath:
                yield f"{obj.name}/{modifier.name}", modifier.filepath, _absolute(modifier.filepath, obj.library)


def _simulations(scene: Any) -> Iterator[Reference]:
    """Simulations baked to the disk lie in a folder named after the .blend, which says `baked` also when it is gone."""
    for owner, cache in _point_caches(scene):
        if cache.use_external and cache.filepath:
            yield owner.name, cache.filepath, _absolute(cache.filepath, owner.library)
        elif cache.use_disk_cache and cache.is_baked and not cache.use_external:
            blend = _absolute(owner.library.filepath, None) if owner.library is not None else Path(bpy.data.filepath)
            yield owner.name, f"//blendcache_{blend.stem}", blend.with_name(f"blendcache_{blend.stem}")
    for obj in used.objects(scene):
        for modifier in obj.modifiers:
            is_domain = modifier.type == "FLUID" and modifier.show_render and modifier.fluid_type == "DOMAIN"
            if is_domain and modifier.domain_settings.has_cache_baked_data:
                folder = modifier.domain_settings.cache_directory
                yield obj.name, folder, _absolute(folder, obj.library)


def _point_caches(scene: Any) -> Iterator[tuple[Any, Any]]:
    """Caches of simulations that are rendered, each with the data-block that it belongs to."""
    world = scene.rigidbody_world
    if world is not None and world.enabled:
        yield scene, world.point_cache
    for obj in used.objects(scene):
        for modifier in obj.modifiers:
            if modifier.show_render and getattr(modifier, "point_cache", None) is not None:
                yield obj, modifier.point_cache
            elif modifier.show_render and modifier.type == "PARTICLE_SYSTEM":
                yield obj, modifier.particle_system.point_cache
