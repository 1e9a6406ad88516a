#!/usr/bin/env python3
"""Make the demo's animated scene: a carousel of coloured objects round a golden knot, seen by a camera that flies round them.

    python scripts/demo_scene.py OUT.blend                                       with the module bpy
    blender -b --factory-startup -P scripts/demo_scene.py -- OUT.blend           with a Blender program

Works in Blender 3.4 to 5.0 and without numpy. Deterministic: fixed seed, no denoiser, no time limit, no stamp, so that
every process of one build renders the same pixels. `build` is also what the tests' scenes are made with.
"""

from __future__ import annotations

import math
import sys

import bpy

FRAMES = 48
SIZE = (320, 180)
SAMPLES = 8
SPOKES = 12
TURN = 2 * math.pi


def build(*, size: tuple[int, int] = SIZE, samples: int = SAMPLES, frames: int = FRAMES, detail: int = 1) -> bpy.types.Scene:
    """Replace what is open by the scene. `size` in pixels; `detail` multiplies the curves' resolution."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "LINEAR"
    scene = bpy.context.scene
    settings(scene, size=size, samples=samples, frames=frames)
    sky(scene)
    floor()
    knot(frames, detail)
    carousel(frames)
    lights()
    camera(scene, frames)
    return scene


def settings(scene: bpy.types.Scene, *, size: tuple[int, int], samples: int, frames: int) -> None:
    """Cycles on the CPU, everything that would make two renders differ switched off."""
    scene.frame_start, scene.frame_end = 1, frames
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = 100
    render.use_persistent_data = True
    render.use_stamp = False
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.image_settings.compression = 15
    render.filepath = "//frame_####"
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.seed = 7
    cycles.use_animated_seed = False
    cycles.use_denoising = False
    cycles.use_adaptive_sampling = False
    cycles.time_limit = 0
    cycles.max_bounces = 3
    cycles.diffuse_bounces = 1
    cycles.glossy_bounces = 3
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 2.0
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.look = "None"


def sky(scene: bpy.types.Scene) -> None:
    """A dusk: warm at the horizon, deep blue above."""
    world = bpy.data.worlds.new("Dusk")
    scene.world = world
    if bpy.app.version < (5, 0):
        world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    background = next(node for node in nodes if node.type == "BACKGROUND")
    place, split = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeSeparateXYZ")
    ramp = nodes.new("ShaderNodeValToRGB")
    colours = ((0.0, (0.16, 0.14, 0.24)), (0.03, (0.95, 0.46, 0.24)), (0.3, (0.42, 0.26, 0.46)), (0.9, (0.12, 0.2, 0.5)))
    while len(ramp.color_ramp.elements) < len(colours):
        ramp.color_ramp.elements.new(0.5)
    for element, (position, colour) in zip(ramp.color_ramp.elements, colours, strict=True):
        element.position, element.color = position, (*colour, 1)
    links.new(place.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["Z"], ramp.inputs[0])
    links.new(ramp.outputs[0], background.inputs["Color"])
    background.inputs["Strength"].default_value = 0.9
    world.cycles.sampling_method = "NONE"  # a smooth sky is smoother without shadow rays of its own


def material(name: str, colour: tuple[float, float, float], **inputs: float) -> bpy.types.Material:
    """A Principled material. Inputs by their names of either generation of Blender, spaces as underscores."""
    made = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0):
        made.use_nodes = True
    shader = next(node for node in made.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*colour, 1)
    for key, value in inputs.items():
        shader.inputs[key.replace("_", " ")].default_value = value
    return made


def glow(name: str, colour: tuple[float, float, float], strength: float) -> bpy.types.Material:
    """A material that shines by itself."""
    made = material(name, (0, 0, 0), Emission_Strength=strength)
    shader = next(node for node in made.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    key = "Emission Color" if "Emission Color" in shader.inputs else "Emission"
    shader.inputs[key].default_value = (*colour, 1)
    return made


def floor() -> None:
    """A dark, polished disc that mirrors everything, with a shining rim."""
    bpy.ops.mesh.primitive_cylinder_add(vertices=96, radius=7, depth=0.3, location=(0, 0, -0.15))
    bpy.context.object.data.materials.append(material("Lacquer", (0.012, 0.014, 0.022), Roughness=0.0))
    bpy.ops.mesh.primitive_torus_add(major_radius=7, minor_radius=0.05, major_segments=96, minor_segments=8)
    bpy.context.object.data.materials.append(glow("Rim", (0.15, 0.5, 1.0), 4))
    bpy.context.object.visible_diffuse = False  # a thin bright line found by chance is a speckle


def knot(frames: int, detail: int) -> None:
    """A golden trefoil in the middle that turns once in the animation."""
    curve = bpy.data.curves.new("Knot", "CURVE")
    curve.dimensions = "3D"
    curve.bevel_depth, curve.bevel_resolution = 0.3, 4 * detail
    count = 96 * detail
    spline = curve.splines.new("POLY")
    spline.points.add(count - 1)
    spline.use_cyclic_u = spline.use_smooth = True
    for index, point in enumerate(spline.points):
        t = TURN * index / count
        x, y, z = math.sin(t) + 2 * math.sin(2 * t), math.cos(t) - 2 * math.cos(2 * t), -math.sin(3 * t)
        point.co = (x * 0.5, z * 0.5, y * 0.5 + 2.0, 1)
    made = bpy.data.objects.new("Knot", curve)
    bpy.context.collection.objects.link(made)
    curve.materials.append(material("Gold", (1.0, 0.6, 0.16), Metallic=1.0, Roughness=0.16))
    turn(made, frames, TURN)


def carousel(frames: int) -> None:
    """Coloured spheres, cubes and cones on a circle, each of which rises and sinks in its own time."""
    hub = empty("Hub")
    turn(hub, frames, -TURN / 3)
    makers = (
        lambda: bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24, radius=0.55),
        lambda: bpy.ops.mesh.primitive_cube_add(size=0.85),
        lambda: bpy.ops.mesh.primitive_cone_add(vertices=48, radius1=0.55, depth=1.1),
    )
    for index in range(SPOKES):
        makers[index % len(makers)]()
        made = bpy.context.object
        if index % len(makers) == 0:
            made.data.polygons.foreach_set("use_smooth", [True] * len(made.data.polygons))
        metal = 1.0 if index % 4 == 3 else 0.0
        made.data.materials.append(material(f"Colour {index}", rainbow(index / SPOKES), Roughness=0.25, Metallic=metal))
        made.parent = hub
        angle = TURN * index / SPOKES
        for frame in range(1, frames + 1, max(1, frames // 8)):
            phase = TURN * (frame - 1) / frames
            made.location = (4.2 * math.cos(angle), 4.2 * math.sin(angle), 1.1 + 0.45 * math.sin(phase + 3 * angle))
            made.rotation_euler = (0.4 * math.sin(phase), 0, angle + phase)
            made.keyframe_insert("location", frame=frame)
            made.keyframe_insert("rotation_euler", frame=frame)


def rainbow(hue: float) -> tuple[float, float, float]:
    """A saturated colour, linear RGB, for a hue from 0 to 1."""
    red, green, blue = (0.5 + 0.5 * math.cos(TURN * (hue - shift)) for shift in (0, 1 / 3, 2 / 3))
    return (0.04 + 0.86 * red**1.5, 0.04 + 0.86 * green**1.5, 0.04 + 0.86 * blue**1.5)


def lights() -> None:
    """One low, warm sun: a single small light costs one shadow ray and brings hardly any noise; the sky does the rest."""
    lamp = bpy.data.lights.new("Sun", "SUN")
    lamp.color, lamp.energy, lamp.angle = (1.0, 0.8, 0.58), 4.5, math.radians(1.5)
    made = bpy.data.objects.new("Sun", lamp)
    made.rotation_euler = (math.radians(52), 0, math.radians(38))
    bpy.context.collection.objects.link(made)


def camera(scene: bpy.types.Scene, frames: int) -> None:
    """A third of a circle round the scene, with a slow rise."""
    lens = bpy.data.cameras.new("Camera")
    lens.lens = 32
    made = bpy.data.objects.new("Camera", lens)
    scene.collection.objects.link(made)
    scene.camera = made
    look_at(made, empty("Aim", (0, 0, 1.35)))
    for frame in range(1, frames + 1):
        way = (frame - 1) / max(1, frames - 1)
        angle = -TURN / 4 - TURN / 6 + way * TURN / 3
        made.location = (9.6 * math.cos(angle), 9.6 * math.sin(angle), 2.2 + 2.6 * way)
        made.keyframe_insert("location", frame=frame)


def empty(name: str, location: tuple[float, float, float] = (0, 0, 0)) -> bpy.types.Object:
    """An object without a shape, to turn things with or to aim at."""
    made = bpy.data.objects.new(name, None)
    made.location = location
    bpy.context.scene.collection.objects.link(made)
    return made


def look_at(made: bpy.types.Object, target: bpy.types.Object) -> None:
    """Keep an object pointed at another one."""
    track = made.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"


def turn(made: bpy.types.Object, frames: int, angle: float) -> None:
    """Turn an object by `angle` (radians) about the vertical in the course of the animation."""
    for frame, way in ((1, 0.0), (frames + 1, angle)):
        made.rotation_euler = (0, 0, way)
        made.keyframe_insert("rotation_euler", frame=frame)


def main(arguments: list[str]) -> int:
    """Build the scene and save it where the one argument says."""
    if len(arguments) != 1:
        print("usage: demo_scene.py OUT.blend", file=sys.stderr)
        return 2
    build()
    bpy.ops.wm.save_as_mainfile(filepath=arguments[0], compress=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
