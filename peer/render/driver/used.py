"""What the pictures of a scene are made of: the data that it uses, and the objects whose simulations can be seen.

Decides what counts as used. In doubt everything does: spare materials, other scenes and the artist's references do not.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from peer.render.driver import outputs
from peer.render.driver.blender import bpy


def by_pictures(scene: Any) -> set[Any]:
    """Every data-block that rendering `scene` may read."""
    parts: dict[Any, list[Any]] = {}
    for block, users in bpy.data.user_map().items():
        for user in users:
            parts.setdefault(user, []).append(block)
    seen: set[Any] = set()
    waiting = [scene]
    while waiting:
        block = waiting.pop()
        if block in seen:
            continue
        seen.add(block)
        waiting += [part for part in parts.get(block, ()) if not _is_for_the_artist(block, part)]
        if isinstance(block, bpy.types.Scene):
            waiting += _composited(block)
    return seen


def node_trees(scene: Any, in_use: Container[Any]) -> Iterator[tuple[Any, Any]]:
    """Node trees that a picture may depend on, each with the library that it came from (None: the opened file)."""
    for block in (*bpy.data.materials, *bpy.data.worlds, *bpy.data.lights):
        if block in in_use and block.node_tree is not None:
            yield block.node_tree, block.library
    for group in bpy.data.node_groups:
        if group in in_use:
            yield group, group.library
    if getattr(scene, "node_tree", None) is not None and outputs.compositor_tree(scene) is not None:
        yield scene.node_tree, scene.library  # until 5.0, which has a group instead


def objects(scene: Any) -> list[Any]:
    """The objects of `scene`, and of the collections that they are instances of, whose shape a picture may show."""
    there = list(dict.fromkeys([*scene.objects, *(part for one in scene.objects for part in _instanced(one))]))
    shown = _in_layers(scene)
    users = {} if shown.issuperset(there) else bpy.data.user_map()
    return [one for one in there if not one.hide_render and (one in shown or _has_other_users(one, users))]


def _composited(scene: Any) -> list[Any]:
    """Images of the scene's own compositor tree; until 5.0 it is a part of the scene itself."""
    tree = outputs.compositor_tree(scene)
    return [node.image for node in tree.nodes if getattr(node, "image", None) is not None] if tree is not None else []


def _is_for_the_artist(user: Any, part: Any) -> bool:
    """Whether `user` only shows or paints with it in the viewport, or would compose with it if that were switched on."""
    kinds = bpy.types
    if isinstance(user, kinds.Scene):
        if isinstance(part, kinds.NodeTree):
            return outputs.compositor_tree(user) is None
        return isinstance(part, kinds.Brush | kinds.Palette | kinds.Image)  # for its nodes' images see `_composited`
    if isinstance(part, kinds.Image):
        return isinstance(user, kinds.Camera) or (isinstance(user, kinds.Object) and user.type == "EMPTY")
    return isinstance(part, kinds.MovieClip) and isinstance(user, kinds.Camera)


def _instanced(one: Any) -> Iterator[Any]:
    if one.instance_type == "COLLECTION" and one.instance_collection is not None:
        waiting, seen = [one.instance_collection], set()
        while waiting:
            collection = waiting.pop()
            if collection in seen:
                continue
            seen.add(collection)
            for part in collection.all_objects:
                yield part
                if part.instance_type == "COLLECTION" and part.instance_collection is not None:
                    waiting.append(part.instance_collection)


def _in_layers(scene: Any) -> set[Any]:
    """The objects of collections that a used view layer renders."""
    shown: set[Any] = set()
    waiting = [layer.layer_collection for layer in scene.view_layers if layer.use]
    while waiting:
        place = waiting.pop()
        if not place.collection.hide_render:
            waiting += place.children
            shown |= set() if place.exclude else set(place.collection.objects)
    return shown


def _has_other_users(one: Any, users: dict[Any, set[Any]]) -> bool:
    """Whether anything but collections of scenes uses the object: an instance, nodes, a modifier of another one."""
    waiting, seen = [one], {one}
    while waiting:
        for user in users.get(waiting.pop(), set()) - seen:
            seen.add(user)
            if isinstance(user, bpy.types.Collection):
                waiting.append(user)
            elif not isinstance(user, bpy.types.Scene):
                return True
    return False
