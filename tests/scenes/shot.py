"""Makes a show, inside Blender (3.4 to 5.0): `shot.py -- FOLDER`. FOLDER/show/shot/castle.blend uses files from everywhere.

Each file is on a panel, or moves a thing, of its own: one that is not found changes the picture. The scene knows one texture
by a path of Windows; FOLDER/show/twin/castle.blend is the same scene with paths that this machine can follow.
"""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import bpy

FRAMES = 8
PANELS = 4


def material(name, image, *, frames=0, tiled=False):
    """Shines by itself, so that one sample shows it."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    shine, out = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(shine.outputs[0], out.inputs[0])
    if image is not None:
        node = tree.nodes.new("ShaderNodeTexImage")
        node.image = image
        node.interpolation = "Closest"
        if frames:
            user = node.image_user
            user.frame_duration, user.frame_start, user.use_auto_refresh = frames, 1, True
        tree.links.new(node.outputs["Color"], shine.inputs["Color"])
    return made


def picture(path, *colour):
    """Writes a small picture of one colour with a darker corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = bpy.data.images.new("made", 8, 8)
    image.pixels = [part for y in range(8) for x in range(8) for part in (*(c * (0.4 if x + y < 5 else 1) for c in colour), 1)]
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def panel(number, made, *, wide=1.0):
    bpy.ops.mesh.primitive_plane_add(size=1, location=(number % PANELS * 1.2, number // PANELS * 1.2, 0))
    plane = bpy.context.object
    for corner in plane.data.uv_layers[0].data:
        corner.uv = (corner.uv[0] * wide, corner.uv[1])
    plane.data.materials.append(made)
    return plane


def begin(path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.cycles.max_bounces = 0
    scene.cycles.volume_max_steps = 8
    if hasattr(scene.cycles, "volume_biased"):
        scene.cycles.volume_biased = True  # a hundred times as fast
    scene.render.resolution_x, scene.render.resolution_y = 120, 90
    scene.frame_start, scene.frame_end = 1, FRAMES
    return scene


def library(show):
    """A prop with a texture of its own, and in it a part of another library."""
    deep = show / "parts" / "bolt.blend"
    begin(deep)
    panel(0, material("Bolt", bpy.data.images.load(str(picture(show / "parts" / "maps" / "bolt.png", 0.2, 0.9, 0.9)))))
    bpy.context.object.name = "Bolt"
    bpy.data.images["bolt.png"].filepath = "//maps/bolt.png"
    bpy.ops.wm.save_mainfile()
    prop = show / "props" / "door.blend"
    begin(prop)
    panel(0, material("Door", bpy.data.images.load(str(picture(show / "props" / "maps" / "door.png", 0.9, 0.2, 0.2)))))
    door = bpy.context.object
    door.name = "Door"
    bpy.data.images["door.png"].filepath = "//maps/door.png"
    link(deep, "Bolt")
    group = bpy.data.collections.new("Prop")
    bpy.context.scene.collection.children.link(group)
    group.objects.link(door)
    group.objects.link(bpy.data.objects["Bolt"])
    bpy.data.objects["Door"].location = (0, 0, 0)
    bpy.ops.wm.save_mainfile()
    return prop


def link(path, name, kind="objects"):
    with bpy.data.libraries.load(str(path), link=True, relative=True) as (_, wanted):
        setattr(wanted, kind, [name])
    return getattr(bpy.data, kind)[name]


def moving(show):
    """An Alembic cache of a panel that climbs; None where this Blender cannot write one."""
    if "alembic_export" not in dir(bpy.ops.wm):
        return None
    begin(show / "work.blend")
    panel(0, material("None", None))
    thing = bpy.context.object
    for frame, height in ((1, 0.0), (FRAMES, 0.6)):
        thing.data.vertices[0].co.x = -0.5 - height
        thing.location.y = height
        thing.keyframe_insert("location", frame=frame)
    path = show / "caches" / "climb.abc"
    path.parent.mkdir()
    bpy.ops.wm.alembic_export(filepath=str(path), start=1, end=FRAMES, as_background_job=False)
    (show / "work.blend").unlink()
    return path


def climbing(path):
    bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False, relative_path=True)
    thing = bpy.context.selected_objects[0]
    thing.location = (2.4, 1.2, 0)
    thing.data.materials.clear()
    thing.data.materials.append(material("Climb", None))


def smoke(show):
    """A volume; None where this Blender brings nothing to write one with."""
    try:
        bpy.utils.expose_bundled_modules()
        import openvdb as vdb
    except AttributeError:
        return None
    except ImportError:
        return None
    grid = vdb.FloatGrid()
    grid.fill((0, 0, 0), (7, 7, 7), 4.0)
    grid.name = "density"
    grid.transform = vdb.createLinearTransform(0.1)
    path = show / "volumes" / "smoke.vdb"
    path.parent.mkdir()
    vdb.write(str(path), [grid])
    return path


def glow():
    made = bpy.data.materials.new("Glow")
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    shine, out = tree.nodes.new("ShaderNodeVolumePrincipled"), tree.nodes.new("ShaderNodeOutputMaterial")
    shine.inputs["Emission Strength"].default_value = 0.3
    tree.links.new(shine.outputs[0], out.inputs["Volume"])
    return made


def cloth():
    """A sheet that falls, baked to the folder `blendcache_castle`."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=6, y_subdivisions=6, size=0.8, location=(3.6, 2.4, 1.0))
    sheet = bpy.context.object
    sheet.rotation_euler.x = math.radians(70)
    sheet.data.materials.append(material("Sheet", None))
    cache = sheet.modifiers.new("Cloth", "CLOTH").point_cache
    cache.frame_start, cache.frame_end = 1, FRAMES
    bpy.ops.wm.save_mainfile()
    cache.use_disk_cache = True
    with bpy.context.temp_override(scene=bpy.context.scene, active_object=sheet, object=sheet, point_cache=cache):
        bpy.ops.ptcache.bake(bake=True)
    return sheet


def castle(folder):
    show = folder / "show"
    prop, climb, vdb = library(show), moving(show), smoke(show)
    windows = picture(folder / "drive" / "Textures" / "Roof.png", 0.9, 0.9, 0.1)
    outside = picture(folder / "far away" / "floor.png", 0.1, 0.1, 0.9)
    for frame in range(1, FRAMES + 1):
        picture(show / "plates" / f"plate_{frame:04d}.png", frame / FRAMES, 0.3, 0.5)
    for tile, colour in ((1001, (0.9, 0.5, 0.1)), (1002, (0.5, 0.1, 0.9))):
        picture(show / "tiles" / f"wall.{tile}.png", *colour)
    scene = begin(show / "shot" / "castle.blend")
    world = bpy.data.worlds.new("World")
    scene.world = world
    load = bpy.data.images.load
    near = load(str(picture(show / "textures" / "gate.png", 0.1, 0.8, 0.2)))
    panel(0, material("Gate", near))
    panel(1, material("Floor", load(str(outside))))
    roof = load(str(windows))
    panel(2, material("Roof", roof))
    tiles = load(str(show / "tiles" / "wall.1001.png"))
    tiles.source = "TILED"
    tiles.tiles.new(1002)
    panel(3, material("Wall", tiles), wide=2.0)
    plates = load(str(show / "plates" / "plate_0001.png"))
    plates.source = "SEQUENCE"
    panel(4, material("Plate", plates, frames=FRAMES))
    placed = bpy.data.objects.new("Placed", None)
    placed.instance_type, placed.instance_collection = "COLLECTION", link(prop, "Prop", "collections")
    placed.location = (1.2, 1.2, 0)
    scene.collection.objects.link(placed)
    if climb is not None:
        climbing(climb)
    if vdb is not None:
        cloud = bpy.data.volumes.new("Smoke")
        cloud.filepath = str(vdb)
        cloud.materials.append(glow())
        scene.collection.objects.link(held := bpy.data.objects.new("Smoke", cloud))
        held.location = (3.4, 1.0, 0)
    lens = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    lens.data.type, lens.data.ortho_scale = "ORTHO", 6.0
    lens.location = (1.8, 1.2, 8)
    scene.collection.objects.link(lens)
    scene.camera = lens
    bpy.ops.file.make_paths_relative()
    cloth()
    bpy.data.images["floor.png"].filepath = str(outside)
    bpy.ops.wm.save_mainfile()
    shutil.copytree(show / "shot", show / "twin")
    roof.filepath = "C:\\Show\\TEXTURES\\roof.PNG"
    bpy.ops.wm.save_mainfile()


if __name__ == "__main__":
    castle(Path(sys.argv[sys.argv.index("--") + 1]))
