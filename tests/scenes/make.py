"""Makes one scene, inside Blender (3.4 to 5.0, program or bpy): `make.py -- NAME FILE`. Nothing here needs numpy."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import bpy

NEW = bpy.app.version >= (5, 0, 0)
DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo_scene.py"
FRAMES = 48


def demo():
    spec = importlib.util.spec_from_file_location("demo_scene", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def animated(_folder):
    """The demo's own scene: 48 frames, 320x180, about 0.3 s a frame on two cores."""
    demo().build(size=(320, 180))


def quick(_folder=None, *, camera=True):
    """A cube that turns and a ball that rolls, 320x180 at 4 samples: about 0.05 s a frame in a warm process."""
    parts = demo()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    parts.settings(scene, size=(320, 180), samples=4, frames=FRAMES)
    scene.cycles.max_bounces = 1
    parts.lights()
    bpy.ops.mesh.primitive_cube_add(size=1.4, location=(-1.2, 0, 0.7))
    cube = bpy.context.object
    cube.data.materials.append(parts.material("Cube", (0.9, 0.25, 0.1), Roughness=0.4))
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=12, radius=0.8, location=(1.2, 0, 0.8))
    ball = bpy.context.object
    ball.data.materials.append(parts.material("Ball", (0.1, 0.4, 0.9), Roughness=0.4))
    parts.turn(cube, FRAMES, math.pi)
    for frame, y in ((1, -2.0), (FRAMES, 3.0)):
        ball.location.y = y
        ball.keyframe_insert("location", frame=frame)
    if camera:
        film(parts, scene)
    return scene


def film(parts, scene):
    lens = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    lens.location = (0, -8, 3)
    scene.collection.objects.link(lens)
    parts.look_at(lens, parts.empty("Aim", (0, 0, 0.6)))
    scene.camera = lens


def no_camera(_folder):
    quick(camera=False)


def missing_texture(folder):
    """The picture textures/wood.png is referred to and does not exist."""
    wooden(folder)
    (folder / "textures" / "wood.png").unlink()
    (folder / "textures").rmdir()


def with_asset(folder):
    """The picture lies beside the scene, referred to as //textures/wood.png and not packed."""
    wooden(folder)


def wooden(folder):
    quick()
    path = folder / "textures" / "wood.png"
    path.parent.mkdir()
    write_wood(path)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))  # a relative path needs something to be relative to
    image = bpy.data.images.load(str(path))
    image.filepath = "//textures/wood.png"
    shader_tree = bpy.data.materials["Cube"].node_tree
    node = shader_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    shader = next(node for node in shader_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])


def write_wood(path, size=64):
    image = bpy.data.images.new("made", size, size)
    pixels = []
    for y in range(size):
        for x in range(size):
            ring = 0.5 + 0.5 * math.sin(0.6 * math.hypot(x - 20, 3 * (y - 70) / 10))
            pixels += [0.35 + 0.4 * ring, 0.18 + 0.22 * ring, 0.07 + 0.06 * ring, 1.0]
    image.pixels = pixels
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)


def video_output(_folder):
    settings = quick().render.image_settings
    if NEW:
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"


def stereo(_folder):
    """Two views, written as two files `_L` and `_R`."""
    scene = quick()
    scene.render.use_multiview = True
    scene.render.views_format = "STEREO_3D"
    scene.render.image_settings.views_format = "INDIVIDUAL"


def file_output(_folder):
    """A File Output node whose folder nobody can write, beside the main picture."""
    scene = quick()
    if NEW:
        tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        layers = tree.nodes.new("CompositorNodeRLayers")
        tree.links.new(layers.outputs["Image"], tree.nodes.new("NodeGroupOutput").inputs[0])
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        layers = next(node for node in tree.nodes if node.type == "R_LAYERS")
    node = tree.nodes.new("CompositorNodeOutputFile")
    if NEW:
        node.format.media_type = "IMAGE"
        node.directory, node.file_name = "/proc/nowhere/", "extra"
        node.file_output_items.new("RGBA", "beauty")
    else:
        node.base_path = "/proc/nowhere/"
        node.file_slots[0].path = "beauty"
    node.format.file_format = "PNG"
    tree.links.new(layers.outputs["Image"], node.inputs[0])


def heavy(_folder):
    """A frame that takes hours: for tests of stopping, stalling and time limits."""
    scene = quick()
    scene.cycles.samples = 1_000_000
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080


MAKERS = {
    maker.__name__: maker
    for maker in (
        animated,
        quick,
        no_camera,
        missing_texture,
        with_asset,
        video_output,
        stereo,
        file_output,
        heavy,
    )
}


def main(name, file):
    path = Path(file)
    MAKERS[name](path.parent)
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
