"""Sound scenes that use files of every kind, made inside Blender (3.4 and 5.0), each in the folder that its maker gets."""

from __future__ import annotations

import struct

import bpy

from peer.render.driver import pathmap
from tests.scenes.bad import unbaked_particles, wear
from tests.scenes.make import write_wood
from tests.scenes.small import shader, small


def udim(folder):
    """The cube wears two tiles of a UDIM image, half of it each."""
    small()
    wear(tiles(folder / "textures"))
    spread("Cube")


def tiles(folder):
    """Two tiles, skin.1001.png and skin.1002.png, as one image."""
    folder.mkdir(parents=True)
    for number in (1001, 1002):
        write_wood(folder / f"skin.{number}.png", 8 * (number - 1000))
    image = bpy.data.images.load(str(folder / "skin.1001.png"))  # one that is made new draws its tiles itself, without the files
    image.source = "TILED"
    image.tiles.new(1002)
    image.filepath_raw = f"//{folder.name}/skin.<UDIM>.png"
    return image


def spread(name):
    """Texture coordinates over two tiles."""
    mesh = next(thing.data for thing in bpy.data.objects if thing.name == name)
    for corner in mesh.uv_layers[0].data:
        corner.uv = (corner.uv[0] * 2, corner.uv[1])


def late_sequence(folder):
    """Pictures in a folder of their own, whose numbers are not those of the frames."""
    small()
    (folder / "plates" / "deep").mkdir(parents=True)
    for number in (1001, 1002, 1003):
        write_wood(folder / "plates" / "deep" / f"plate.{number}.png", 8 * (number - 1000))
    image = bpy.data.images.load(str(folder / "plates" / "deep" / "plate.1001.png"))
    image.source = "SEQUENCE"
    image.filepath_raw = "//plates/deep/plate.1001.png"
    user = wear(image).image_user
    user.frame_duration, user.frame_start, user.frame_offset = 3, 1, 1000
    user.use_auto_refresh = True


def volume_sequence(folder):
    """Smoke that grows, a VDB file a frame."""
    scene = small()
    (folder / "vdb").mkdir()
    for number in (1, 2, 3):
        write_smoke(folder / "vdb" / f"smoke_{number:04}.vdb", 3 + 4 * number)
    volume = bpy.data.volumes.new("Smoke")
    volume.filepath = "//vdb/smoke_0001.vdb"
    volume.is_sequence = True
    volume.frame_start, volume.frame_duration, volume.frame_offset = 1, 3, 0
    volume.materials.append(smoke())
    held = bpy.data.objects.new("Smoke", volume)
    held.location = (-1, -3, 0.2)
    scene.collection.objects.link(held)
    scene.cycles.volume_step_rate = 10


def write_smoke(path, size):
    """A block of `size` voxels, a tenth of a metre each."""
    bpy.utils.expose_bundled_modules()
    import openvdb

    grid = openvdb.FloatGrid()
    grid.fill((0, 0, 0), (size, size, size), 4.0)
    grid.name = "density"
    grid.transform = openvdb.createLinearTransform(0.1)
    openvdb.write(str(path), [grid])


def smoke():
    """It shines, so that two samples show it."""
    made = bpy.data.materials.new("Smoke")
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    shine, out = tree.nodes.new("ShaderNodeVolumePrincipled"), tree.nodes.new("ShaderNodeOutputMaterial")
    shine.inputs["Emission Strength"].default_value = 0.5
    tree.links.new(shine.outputs[0], out.inputs["Volume"])
    return made


def alembic(folder):
    """A cube whose corners move, read from a cache."""
    scene = small()
    cube = bpy.data.objects["Cube"]
    shape = cube.shape_key_add(name="Basis") and cube.shape_key_add(name="Tall")
    for point in shape.data:
        point.co.z *= 2
    for frame, value in ((1, 0.0), (3, 1.0)):
        shape.value = value
        shape.keyframe_insert("value", frame=frame)
    (folder / "caches").mkdir()
    file = folder / "caches" / "cube.abc"
    bpy.ops.object.select_all(action="DESELECT")
    cube.select_set(True)
    bpy.ops.wm.alembic_export(filepath=str(file), start=1, end=3, selected=True, as_background_job=False)
    bpy.data.objects.remove(cube)
    bpy.ops.wm.alembic_import(filepath=str(file), as_background_job=False, set_frame_range=False)
    bpy.data.cache_files[0].filepath = "//caches/cube.abc"
    scene.frame_start, scene.frame_end = 1, 3


def mesh_cache(folder):
    """The cube's corners in a PC2 file: it sinks and widens."""
    small()
    cube = bpy.data.objects["Cube"]
    points = [tuple(vertex.co) for vertex in cube.data.vertices]
    (folder / "caches").mkdir()
    with (folder / "caches" / "cube.pc2").open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, len(points), 1.0, 1.0, 3))
        for frame in range(3):
            for x, y, z in points:
                file.write(struct.pack("<3f", x * (1 + 0.3 * frame), y, z * (1 - 0.2 * frame)))
    modifier = cube.modifiers.new("Cache", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", "//caches/cube.pc2"
    modifier.frame_start = 1


def particles_beside_cache(folder):
    """Particles that were baked into the folder blendcache_scene beside the .blend."""
    unbaked_particles(folder)
    system = bpy.data.objects["Emitter"].particle_systems[0]
    bpy.ops.mesh.primitive_ico_sphere_add(radius=0.3, location=(0, 0, -50))
    system.settings.render_type, system.settings.instance_object = "OBJECT", bpy.context.object
    system.settings.particle_size = 0.5
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    cache = system.point_cache
    cache.frame_start, cache.frame_end = 1, 3
    cache.use_disk_cache = True
    bpy.ops.ptcache.bake_all(bake=True)
    assert list((folder / "blendcache_scene").iterdir())


def paths_of_elsewhere(folder):
    """An absolute path and one of Windows, in other letters than the files have, and the map that a packed scene travels with."""
    small()
    files = folder / pathmap.FILES_NAME
    wood = files / "0" / "wood.png"
    skin = tiles(files / "1" / "Skins")
    wood.parent.mkdir()
    write_wood(wood, 16)
    image = bpy.data.images.load(str(wood))
    wear(image)
    ball = next(thing for thing in bpy.data.objects if thing.name.startswith("Sphere"))
    spread(ball.name)
    tree, bsdf = shader("Ball")
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = skin
    tree.links.new(node.outputs["Color"], bsdf.inputs["Base Color"])
    image.filepath_raw = f"//{pathmap.FILES_NAME}/0/wood.png"
    skin.filepath_raw = f"//{pathmap.FILES_NAME}/1/Skins/skin.<UDIM>.png"
    twin(folder)
    image.filepath_raw = "/studio/show/textures/wood.png"
    skin.filepath_raw = "D:\\Show\\SKINS\\Skin.<UDIM>.PNG"
    roots = (("/studio/show/textures", f"{pathmap.FILES_NAME}/0"), ("D:/Show", f"{pathmap.FILES_NAME}/1"))
    (folder / pathmap.MAP_NAME).write_bytes(pathmap.to_json(pathmap.PathMap("/studio/show/shot", roots)))


def twin(folder):
    """The scene as it is now is what the reference renders: it can follow its paths without a map."""
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "twin.blend"), copy=True, compress=False, relative_remap=False)
    (folder / "twin.blend").rename(folder / "scene.blend.twin")


def own_ocio(folder):
    """A view of a studio's own OCIO configuration, which lies beside it; `after_saving` writes its name into the file."""
    small().view_settings.view_transform = "Filmic"
    write_ocio(folder / "color")


def write_ocio(folder):
    """config.ocio with one view, Studio, that is darker and warmer than Blender's."""
    (folder / "luts").mkdir(parents=True)
    (folder / "config.ocio").write_text(CONFIG)
    rows = [(number / 63) ** 1.6 for number in range(64)]
    table = "".join(f"  {value:.6f} {value * 0.9:.6f} {value * 0.8:.6f}\n" for value in rows)
    (folder / "luts" / "warm.spi1d").write_text(f"Version 1\nFrom 0.0 1.0\nLength 64\nComponents 3\n{{\n{table}}}\n")


CONFIG = """\
ocio_profile_version: 1
search_path: luts
strictparsing: false
luma: [0.2126, 0.7152, 0.0722]
roles:
  reference: Linear
  scene_linear: Linear
  rendering: Linear
  compositing_linear: Linear
  default: Raw
  default_byte: sRGB
  default_float: Linear
  default_sequencer: sRGB
  data: Raw
  color_picking: sRGB
  texture_paint: sRGB
  matte_paint: sRGB
  color_timing: sRGB
displays:
  sRGB:
    - !<View> {name: Studio, colorspace: sRGB}
    - !<View> {name: Standard, colorspace: Raw}
    - !<View> {name: Raw, colorspace: Raw}
active_displays: [sRGB]
active_views: [Studio, Standard, Raw]
colorspaces:
  - !<ColorSpace>
    name: Linear
    bitdepth: 32f
    isdata: false
    allocation: lg2
    allocationvars: [-8, 5]
  - !<ColorSpace>
    name: sRGB
    bitdepth: 32f
    isdata: false
    allocation: uniform
    to_reference: !<GroupTransform>
      children:
        - !<FileTransform> {src: warm.spi1d, interpolation: linear}
  - !<ColorSpace>
    name: Raw
    bitdepth: 32f
    isdata: true
    allocation: uniform
"""

MAKERS = [
    udim, late_sequence, volume_sequence, alembic, mesh_cache, particles_beside_cache, paths_of_elsewhere, own_ocio,
]  # fmt: skip
