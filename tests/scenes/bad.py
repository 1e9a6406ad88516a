"""Scenes with something wrong in them, made inside Blender (3.4 and 5.0). Each maker gets the folder that its scene goes to."""

from __future__ import annotations

import shutil
from pathlib import Path

import bpy

from tests.scenes.small import compositor, geometry_group, plane, shader, small


def refused_driver(_folder):
    small()
    bpy.data.objects["Cube"].driver_add("location", 2).driver.expression = "__import__('os').getpid() % 3"


def registered_text(_folder):
    small()
    text = bpy.data.texts.new("rig_ui.py")
    text.use_module = True
    text.from_string("import bpy\nbpy.data.objects['Cube'].scale = (9, 9, 9)\n")


def missing_texture(folder):
    picture(folder, "//textures/wood.png")
    shutil.rmtree(folder / "textures")


def texture_beside(folder):
    picture(folder, "//textures/wood.png")


def windows_path(folder):
    """A texture under the path of another machine, which is nowhere here."""
    picture(folder, "D:\\show\\textures\\wood.png")


def picture(folder, path):
    """The cube wears the picture textures/wood.png, to which the scene refers as `path`."""
    from tests.scenes.make import write_wood

    small()
    file = folder / "textures" / "wood.png"
    file.parent.mkdir()
    write_wood(file)
    image = bpy.data.images.load(str(file))
    wear(image)
    image.filepath_raw = path
    return image


def wear(image):
    tree, bsdf = shader("Cube")
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    tree.links.new(node.outputs["Color"], bsdf.inputs["Base Color"])
    return node


def missing_tile(folder):
    """A UDIM image of two tiles, one of which is not there."""
    from tests.scenes.make import write_wood

    small()
    (folder / "textures").mkdir()
    for number in (1001, 1002):
        write_wood(folder / "textures" / f"skin.{number}.png", 16)
    image = bpy.data.images.new("skin", 16, 16, tiled=True)
    image.filepath = "//textures/skin.<UDIM>.png"
    image.source = "TILED"
    image.tiles.new(1002)
    wear(image)
    (folder / "textures" / "skin.1002.png").unlink()


def sequence(folder, numbers=(1, 2, 3)):
    """A picture of its own for each frame."""
    from tests.scenes.make import write_wood

    small()
    (folder / "plates").mkdir()
    for number in (1, 2, 3):
        write_wood(folder / "plates" / f"plate_{number:04}.png", 8 * number)
    image = bpy.data.images.load(str(folder / "plates" / "plate_0001.png"))
    image.source = "SEQUENCE"
    image.filepath_raw = "//plates/plate_0001.png"
    user = wear(image).image_user
    user.frame_duration, user.frame_start, user.frame_offset = 3, 1, 0
    user.use_auto_refresh = True
    for number in {1, 2, 3} - set(numbers):
        (folder / "plates" / f"plate_{number:04}.png").unlink()


def sequence_gap(folder):
    sequence(folder, (1, 3))


def late_plate(folder):
    """Pictures of a sequence laid over the render by the compositor, from the second frame on."""
    sequence(folder)
    scene = bpy.context.scene
    tree, layers = compositor(scene)
    plate = tree.nodes.new("CompositorNodeImage")
    plate.image = bpy.data.images["plate_0001.png"]
    plate.frame_duration, plate.frame_start, plate.use_auto_refresh = 2, 2, True
    over = tree.nodes.new("CompositorNodeAlphaOver")
    below, above = (socket for socket in over.inputs if socket.type == "RGBA")
    end = next(node for node in tree.nodes if node.type in ("COMPOSITE", "GROUP_OUTPUT"))
    tree.links.new(layers.outputs["Image"], below)
    tree.links.new(plate.outputs["Image"], above)
    tree.links.new(over.outputs[0], end.inputs[0])


def picture_strip(folder):
    """The pictures of a sequence, one after the other; and a strip that is muted and gone."""
    sequence(folder)
    editor = bpy.context.scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_image("Plates", str(folder / "plates" / "plate_0001.png"), 1, 1)
    for number in (2, 3):
        strip.elements.append(f"plate_{number:04}.png")
    strip.directory = "//plates/"
    quiet = strips.new_image("Quiet", str(folder / "plates" / "plate_0001.png"), 2, 1)
    quiet.directory, quiet.mute = "//gone/", True


def missing_strip(folder):
    picture_strip(folder)
    for node in bpy.data.materials["Cube"].node_tree.nodes:
        node.mute = node.type == "TEX_IMAGE"
    (folder / "plates" / "plate_0002.png").unlink()


def missing_library(folder):
    library(folder)
    (folder / "props.blend").unlink()


def library(folder):
    """The cube's mesh is linked from another file."""
    small()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "props.blend"))
    scene = small()
    with bpy.data.libraries.load(str(folder / "props.blend"), link=True) as (there, here):
        here.meshes = [name for name in there.meshes if name.startswith("Sphere")]
    made = bpy.data.objects.new("Linked", here.meshes[0])
    made.location = (0, 2, 1.5)
    scene.collection.objects.link(made)
    bpy.data.libraries[0].filepath = "//props.blend"


def missing_font(folder):
    scene = small()
    source = next(Path(bpy.utils.system_resource("DATAFILES"), "fonts").glob("*.*f*"))
    face = folder / ("face" + source.suffix)
    shutil.copyfile(source, face)
    text = bpy.data.curves.new("Words", "FONT")
    text.body = "MESH"
    text.font = bpy.data.fonts.load(str(face))
    text.font.filepath = "//" + face.name
    scene.collection.objects.link(bpy.data.objects.new("Words", text))
    face.unlink()


def missing_ies(_folder):
    lamp_node("ShaderNodeTexIES", "//lamps/spot.ies")


def missing_osl(_folder):
    scene = small()
    scene.cycles.shading_system = True
    tree, _ = shader("Cube")
    node = tree.nodes.new("ShaderNodeScript")
    node.mode = "EXTERNAL"
    node.filepath = "//shaders/rust.osl"


def lamp_node(kind, path):
    small()
    lamp = bpy.data.lights[0]
    lamp.use_nodes = True
    node = lamp.node_tree.nodes.new(kind)
    node.mode = "EXTERNAL"
    node.filepath = path
    emission = next(node for node in lamp.node_tree.nodes if node.type == "EMISSION")
    lamp.node_tree.links.new(node.outputs[0], emission.inputs["Strength"])


def missing_volume(_folder):
    scene = small()
    volume = bpy.data.volumes.new("Smoke")
    volume.filepath = "//vdb/smoke.vdb"
    scene.collection.objects.link(bpy.data.objects.new("Smoke", volume))


def missing_mesh_cache(_folder):
    small()
    modifier = bpy.data.objects["Cube"].modifiers.new("Cache", "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = "//caches/cube.pc2"


def missing_alembic(folder):
    small()
    file = folder / "cube.abc"
    bpy.ops.wm.alembic_export(filepath=str(file), start=1, end=3)
    bpy.ops.wm.alembic_import(filepath=str(file), as_background_job=False)
    bpy.data.cache_files[0].filepath = "//cube.abc"
    file.unlink()


def unbaked_cloth(_folder):
    cloth()


def baked_cloth(_folder):
    """Baked into the .blend itself."""
    cloth()
    bpy.ops.ptcache.bake_all(bake=True)


def cloth_beside_cache(folder):
    """Baked into the folder blendcache_scene beside the .blend."""
    cache = cloth().modifiers["Cloth"].point_cache
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    cache.use_disk_cache = True
    bpy.ops.ptcache.bake_all(bake=True)
    assert list((folder / "blendcache_scene").iterdir())


def cloth_without_cache(folder):
    cloth_beside_cache(folder)
    shutil.rmtree(folder / "blendcache_scene")


def muted_without_cache(folder):
    """The same, but no frame shows the cloth."""
    cloth_without_cache(folder)
    bpy.data.objects["Sheet"].modifiers["Cloth"].show_render = False


def external_without_cache(_folder):
    """Particles that read their states from a folder which is not there."""
    unbaked_particles(_folder)
    cache = bpy.data.objects["Emitter"].particle_systems[0].point_cache
    cache.use_external, cache.filepath = True, "//states"


def cloth():
    small()
    made = plane("Sheet", 10)
    modifier = made.modifiers.new("Cloth", "CLOTH")
    modifier.point_cache.frame_start, modifier.point_cache.frame_end = 1, 3
    return made


def unbaked_soft_body(_folder):
    small()
    bpy.data.objects["Cube"].modifiers.new("Soft", "SOFT_BODY")


def unbaked_particles(_folder):
    small()
    made = plane("Emitter", 4)
    made.modifiers.new("Particles", "PARTICLE_SYSTEM")
    settings = made.particle_systems[0].settings
    settings.count, settings.frame_start, settings.frame_end = 40, 1, 3


def hair(_folder):
    """Particles that no frame depends on: hair without dynamics."""
    small()
    made = plane("Head", 4)
    made.modifiers.new("Hair", "PARTICLE_SYSTEM")
    settings = made.particle_systems[0].settings
    settings.type, settings.count, settings.hair_length = "HAIR", 60, 0.6


def unbaked_rigid_body(_folder):
    scene = small()
    bpy.ops.rigidbody.world_add()
    scene.rigidbody_world.collection = bpy.data.collections.new("Bodies")
    scene.rigidbody_world.collection.objects.link(bpy.data.objects["Sphere"])


def unbaked_fluid(_folder):
    small()
    bpy.ops.mesh.primitive_cube_add(size=4)
    modifier = bpy.context.object.modifiers.new("Fluid", "FLUID")
    modifier.fluid_type = "DOMAIN"


def unbaked_simulation_zone(_folder):
    small()
    group = geometry_group(bpy.data.objects["Cube"])
    enter, leave = group.nodes.new("GeometryNodeSimulationInput"), group.nodes.new("GeometryNodeSimulationOutput")
    enter.pair_with_output(leave)
    move = group.nodes.new("GeometryNodeTransform")
    move.inputs["Translation"].default_value = (0, 0, 0.3)
    first, last = (next(node for node in group.nodes if node.type == kind) for kind in ("GROUP_INPUT", "GROUP_OUTPUT"))
    group.links.new(first.outputs[0], enter.inputs["Geometry"])
    group.links.new(enter.outputs["Geometry"], move.inputs["Geometry"])
    group.links.new(move.outputs["Geometry"], leave.inputs["Geometry"])
    group.links.new(leave.outputs["Geometry"], last.inputs[0])


def baked_simulation_zone(folder):
    unbaked_simulation_zone(folder)
    cube = bpy.data.objects["Cube"]
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    bpy.ops.object.select_all(action="DESELECT")
    cube.select_set(True)
    bpy.context.view_layer.objects.active = cube
    bpy.ops.object.simulation_nodes_cache_bake(selected=True)


class AddOnEngine(bpy.types.RenderEngine):  # type: ignore[misc]
    """An engine that exists only where its add-on is installed."""

    bl_idname = "OTHER_ENGINE"
    bl_label = "Other"


def unknown_engine(_folder):
    scene = small()
    if not AddOnEngine.is_registered:
        bpy.utils.register_class(AddOnEngine)
    scene.render.engine = AddOnEngine.bl_idname


def unknown_engine_overridden(folder):
    unknown_engine(folder)


def unknown_view_transform(_folder):
    """One of a studio's own OCIO configuration; `after_saving` writes its name into the file."""
    small().view_settings.view_transform = "Filmic"


def unknown_color_space(folder):
    """A texture in a colour space of such a configuration."""
    picture(folder, "//textures/wood.png").colorspace_settings.name = "Filmic Log"


def after_saving(name, path):
    """What Blender itself would not save."""
    if name in ("unknown_view_transform", "unknown_color_space", "own_ocio"):
        own = b"Filmic Log\0" if name == "unknown_color_space" else b"Filmic\0"
        data = path.read_bytes()
        assert data.count(own) == 1
        path.write_bytes(data.replace(own, own.replace(b"Filmic", b"Studio")))


def time_limit(_folder):
    small().cycles.time_limit = 30


def stamp(_folder):
    """Burnt into the picture: date, time of rendering, host."""
    scene = small()
    scene.render.use_stamp = True
    scene.render.use_stamp_date = scene.render.use_stamp_render_time = scene.render.use_stamp_hostname = True


def stamp_of_frame(_folder):
    """Burnt into the picture: what is the same in every process."""
    scene = small()
    render = scene.render
    for name in render.bl_rna.properties.keys():  # noqa: SIM118 - Blender's collections iterate over values
        if name.startswith("use_stamp_"):
            setattr(render, name, name in ("use_stamp_frame", "use_stamp_camera", "use_stamp_labels"))
    render.use_stamp = True


def denoised(_folder):
    small().cycles.use_denoising = True


def no_camera(_folder):
    scene = small()
    bpy.data.objects.remove(scene.camera)


def nothing_to_write(_folder):
    """Only a view layer that is switched off: there is nothing to render."""
    scene = small()
    scene.view_layers[0].use = False


def crash_on_one_frame(_folder):
    """Frame 2 overflows a grid's number of vertices: 65537 squared is 131073 in 32 bits. Blender takes memory for these few,
    writes beyond them, and dies of it at once."""
    small()
    grid("65537 if frame == 2 else 3")


def grid(side):
    group = geometry_group(bpy.data.objects["Cube"])
    mesh = group.nodes.new("GeometryNodeMeshGrid")
    last = next(node for node in group.nodes if node.type == "GROUP_OUTPUT")
    group.links.new(mesh.outputs["Mesh"], last.inputs[0])
    for name in ("Vertices X", "Vertices Y"):
        mesh.inputs[name].driver_add("default_value").driver.expression = side


MAKERS = [
    refused_driver, registered_text, missing_texture, texture_beside, windows_path, missing_tile, sequence, sequence_gap,
    missing_library, library, missing_font, missing_ies, missing_osl, missing_volume, missing_mesh_cache, missing_alembic,
    unbaked_cloth, baked_cloth, cloth_beside_cache, cloth_without_cache, unbaked_soft_body, unbaked_particles, hair,
    unbaked_rigid_body, unbaked_fluid, unbaked_simulation_zone, time_limit, stamp, stamp_of_frame, denoised, no_camera,
    nothing_to_write, crash_on_one_frame, baked_simulation_zone, unknown_engine,
    unknown_engine_overridden, unknown_view_transform, unknown_color_space, late_plate,
    picture_strip, missing_strip, muted_without_cache, external_without_cache,
]  # fmt: skip
