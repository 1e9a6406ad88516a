"""Builds the small scenes of these tests. Runs inside Blender, in either home, by its path: `-- FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])
NEW = bpy.app.version >= (5, 0, 0)


def fresh():
    """Blender's own first scene, small and quick: a turning cube, four frames, one sample."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 4, 1
    cube = bpy.data.objects["Cube"]
    for frame, angle in ((1, 0.0), (4, 2.0)):
        cube.rotation_euler[2] = angle
        cube.keyframe_insert("rotation_euler", frame=frame)
    return scene


def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / f"{name}.blend"), relative_remap=False)


def simple():
    fresh()


def slow():
    scene = fresh()
    scene.cycles.samples = 1_000_000
    scene.cycles.use_adaptive_sampling = False
    scene.render.resolution_x = scene.render.resolution_y = 512


def video():
    scene = fresh()
    if NEW:
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"


def no_camera():
    fresh()
    bpy.data.objects.remove(bpy.data.objects["Camera"])


def denoised():
    fresh().cycles.use_denoising = True


def stereo():
    scene = fresh()
    scene.render.use_multiview = True
    scene.render.views_format = "STEREO_3D"
    scene.render.image_settings.views_format = "INDIVIDUAL"


def stereo_picture():
    """Both eyes in one picture, side by side."""
    stereo()
    bpy.context.scene.render.image_settings.views_format = "STEREO_3D"
    bpy.context.scene.render.image_settings.stereo_3d_format.display_mode = "SIDEBYSIDE"


def stamped():
    scene = fresh()
    scene.render.use_stamp = True
    scene.render.use_overwrite = False
    scene.render.use_placeholder = True


def choices():
    """Two scenes, two cameras, two view layers, a marker that binds the other camera, half the size, a cropped border."""
    scene = fresh()
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    other.location = (0.0, 0.0, 9.0)
    marker = scene.timeline_markers.new("cut", frame=1)
    marker.camera = other
    scene.view_layers.new("Extra")
    scene.render.resolution_percentage = 50
    scene.render.resolution_x, scene.render.resolution_y = 128, 72
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.13, 0.77
    scene.render.border_min_y, scene.render.border_max_y = 0.21, 0.66
    second = bpy.data.scenes.new("Second")
    second.collection.objects.link(other)
    second.camera = other
    second.render.engine = "CYCLES"
    second.cycles.samples = 1
    second.cycles.use_denoising = False
    second.render.resolution_x = second.render.resolution_y = 32
    bpy.context.window.scene = scene


def outputs():
    """File Output nodes whose paths try to leave the folder; one of their slots is not connected, one node is muted."""
    scene = fresh()
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
    for name, muted in (("Plain", False), ("Quiet", True)):
        node = tree.nodes.new("CompositorNodeOutputFile")
        node.name, node.mute = name, muted
        if NEW:
            node.format.media_type = "IMAGE"
            node.directory, node.file_name = "/proc/nowhere/", "x"
            node.file_output_items.new("RGBA", "../out #1")
            node.file_output_items.new("RGBA", "unused")
        else:
            node.base_path = "/proc/nowhere/"
            node.file_slots[0].path = "../out #1"
            node.file_slots.new("unused")
        node.format.file_format = "PNG"
        tree.links.new(layers.outputs["Image"], node.inputs[0])
    layered = tree.nodes.new("CompositorNodeOutputFile")
    layered.name = "Layered"
    if NEW:
        layered.format.media_type = "MULTI_LAYER_IMAGE"
        layered.file_output_items.new("RGBA", "beauty")
    layered.format.file_format = "OPEN_EXR_MULTILAYER"
    tree.links.new(layers.outputs["Image"], layered.inputs[0])


def jpeg2000():
    settings = fresh().render.image_settings
    if NEW:
        settings.media_type = "IMAGE"
    settings.file_format = "JPEG2000"


def node_in_jpeg2000():
    outputs()
    tree = bpy.context.scene.compositing_node_group if NEW else bpy.context.scene.node_tree
    tree.nodes["Plain"].format.file_format = "JPEG2000"


def timed():
    """A time limit, a burnt-in date, and no view layer to render."""
    scene = fresh()
    scene.cycles.time_limit = 60
    scene.render.use_stamp = True
    scene.view_layers[0].use = False


def stepped():
    """Simulations that are not baked, one of each kind, and others that no frame depends on."""
    scene = fresh()

    def ball(name):
        bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=1)
        bpy.context.object.name = name
        return bpy.context.object

    ball("Cloth").modifiers.new("Cloth", "CLOTH")
    ball("Soft").modifiers.new("Soft", "SOFT_BODY")
    ball("Unseen").modifiers.new("Cloth", "CLOTH").show_render = False
    ball("Hidden").modifiers.new("Cloth", "CLOTH")
    bpy.data.objects["Hidden"].hide_render = True
    ball("Sparks").modifiers.new("Particles", "PARTICLE_SYSTEM")
    for name, kind, physics in (("Hair", "HAIR", "NEWTON"), ("Dots", "EMITTER", "NO")):
        ball(name).modifiers.new("Particles", "PARTICLE_SYSTEM")
        settings = bpy.data.objects[name].particle_systems[0].settings
        settings.type, settings.physics_type = kind, physics
    bpy.ops.rigidbody.world_add()
    scene.rigidbody_world.collection = bpy.data.collections.new("Bodies")
    scene.rigidbody_world.collection.objects.link(ball("Falls"))


def baked():
    """The same, baked into the .blend."""
    stepped()
    bpy.ops.ptcache.bake_all(bake=True)


def unseen():
    """What no picture shows: simulations of hidden collections, a canvas that writes pictures, data of another scene, what
    the artist looks at, a spare material, a compositor that is switched off. Every file is missing."""
    scene = fresh()
    hidden, excluded = (bpy.data.collections.new(name) for name in ("Hidden", "Excluded"))
    for collection in (hidden, excluded):
        scene.collection.children.link(collection)
        body = bpy.data.objects.new(collection.name, bpy.data.meshes["Cube"])
        body.modifiers.new("Cloth", "CLOTH")
        collection.objects.link(body)
    hidden.hide_render = True
    scene.view_layers[0].layer_collection.children["Excluded"].exclude = True
    cube = bpy.data.objects["Cube"]
    canvas = cube.modifiers.new("Paint", "DYNAMIC_PAINT")
    with bpy.context.temp_override(object=cube, active_object=cube):
        bpy.ops.dpaint.type_toggle(type="CANVAS")
    canvas.canvas_settings.canvas_surfaces[0].surface_format = "IMAGE"
    look = bpy.data.objects.new("Look", None)
    look.empty_display_type, look.data = "IMAGE", gone("look")
    scene.collection.objects.link(look)
    bpy.data.cameras[0].background_images.new().image = gone("plate")
    spare, sky = bpy.data.materials.new("Spare"), bpy.data.worlds.new("Sky")
    spare.use_fake_user = True
    bpy.data.scenes.new("Other").world = sky
    for owner in (spare, sky):
        owner.use_nodes = True
        owner.node_tree.nodes.new("ShaderNodeTexImage").image = gone(owner.name)
    compositor(scene).nodes.new("CompositorNodeImage").image = gone("mixed")
    scene.render.use_compositing = False
    bpy.context.window.scene = scene


def gone(name):
    image = bpy.data.images.new(name, 4, 4)
    image.source, image.filepath = "FILE", f"//gone/{name}.png"
    return image


def compositor(scene):
    if NEW:
        scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    return scene.node_tree


def by_others():
    """Simulations of hidden objects that pictures show all the same, and images that they need: by an instance of a collection
    that is in no scene, by nodes of another object, by a texture, by the compositor."""
    scene = fresh()
    cube = bpy.data.objects["Cube"]
    shelf, deeper, excluded = (bpy.data.collections.new(name) for name in ("Shelf", "Deeper", "Excluded"))
    shelf.children.link(deeper)
    scene.collection.children.link(excluded)
    for collection in (deeper, excluded):
        body = bpy.data.objects.new(collection.name, bpy.data.meshes["Cube"])
        body.modifiers.new("Cloth", "CLOTH")
        collection.objects.link(body)
    scene.view_layers[0].layer_collection.children["Excluded"].exclude = True
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", shelf
    scene.collection.objects.link(instance)
    nodes = cube.modifiers.new("Nodes", "NODES")
    nodes.node_group = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    nodes.node_group.nodes.new("GeometryNodeObjectInfo").inputs["Object"].default_value = bpy.data.objects["Excluded"]
    texture = bpy.data.textures.new("Bumps", "IMAGE")
    texture.image = gone("bumps")
    cube.modifiers.new("Displace", "DISPLACE").texture = texture
    compositor(scene).nodes.new("CompositorNodeImage").image = gone("mixed")


def refused():
    cube = (fresh(), bpy.data.objects["Cube"])[1]
    cube.driver_add("location", 0).driver.expression = "frame * 0.1"
    cube.driver_add("location", 1).driver.expression = "__import__('os').getpid()"
    text = bpy.data.texts.new("rig.py")
    text.use_module = True
    text.from_string("import pathlib\npathlib.Path(__import__('bpy').data.filepath).with_name('ran').touch()\n")


def missing():
    fresh()
    tree = bpy.data.worlds[0].node_tree
    for name, source, path in (
        ("wood", "FILE", "//tex/wood.png"),
        ("there", "FILE", "//tex/there.png"),
        ("tiles", "TILED", "//tex/skin.<UDIM>.png"),
        ("series", "SEQUENCE", "//tex/smoke0001.png"),
        ("far", "FILE", "/nowhere/far.png"),
        ("packed", "FILE", "//tex/packed.png"),
    ):
        image = bpy.data.images.new(name, 4, 4, tiled=source == "TILED")
        if name == "packed":
            image.pack()
            image.filepath_raw = path
        else:
            image.source = source
            image.filepath = path
        tree.nodes.new("ShaderNodeTexImage").image = image
    font = bpy.data.curves.new("Text", "FONT")
    font.font = bpy.data.fonts.load(str(next(Path(bpy.utils.system_resource("DATAFILES"), "fonts").glob("*.*f*"))))
    font.font.filepath = "//fonts/face.ttf"
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Text", font))
    with bpy.data.libraries.load(str(FOLDER / "simple.blend"), link=True) as (there, here):
        here.meshes = list(there.meshes)
    bpy.data.libraries[0].filepath = "//lib/props.blend"
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Linked", bpy.data.meshes[-1]))


def huge():
    """Needs some gigabytes before the first sample."""
    fresh()
    modifier = bpy.data.objects["Cube"].modifiers.new("More", "SUBSURF")
    modifier.subdivision_type = "SIMPLE"
    modifier.render_levels = 11


for build in (
    simple,
    slow,
    video,
    no_camera,
    denoised,
    stereo,
    stereo_picture,
    stamped,
    choices,
    outputs,
    jpeg2000,
    node_in_jpeg2000,
    timed,
    stepped,
    baked,
    unseen,
    by_others,
    refused,
    missing,
    huge,
):
    build()
    save(build.__name__)
