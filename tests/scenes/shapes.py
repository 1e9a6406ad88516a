"""Sound scenes whose outputs have every shape there is, made inside Blender (3.4 and 5.0)."""

from __future__ import annotations

import bpy

from tests.scenes.small import compositor, file_output, set_format, small


def unwritable_node(_folder):
    """A File Output node whose folder nobody can write, beside the main picture."""
    tree, layers = compositor(small())
    file_output(tree, "Beauty", "/proc/nowhere/", {"beauty": layers.outputs["Image"]})


def node_outputs(_folder):
    """Two nodes of one label, slots whose names become one when they are made safe, one file of several layers."""
    scene = small()
    scene.view_layers[0].use_pass_z = True
    tree, layers = compositor(scene)
    image, alpha = layers.outputs["Image"], layers.outputs["Alpha"]
    for name in ("Extra", "Extra too"):
        node = file_output(tree, name, "//extra/", {"a b": image, "a/b": alpha, "a:b": image})
        node.label = "Extra"
    depth = layers.outputs.get("Depth") or layers.outputs["Z"]
    file_output(tree, "Deep", "//deep/", {"beauty": image, "depth": depth}, "OPEN_EXR_MULTILAYER")


def node_outputs_per_layer(_folder):
    """One File Output slot for each of two view layers."""
    scene = view_layers(_folder)
    tree, layers = compositor(scene)
    second = tree.nodes.new("CompositorNodeRLayers")
    second.layer = "Balls"
    file_output(tree, "Layers", "//layers/", {"first": layers.outputs["Image"], "second": second.outputs["Image"]}, "OPEN_EXR")


def view_layers(_folder):
    """A second view layer that leaves the cube out."""
    scene = small()
    cubes = bpy.data.collections.new("Cubes")
    scene.collection.children.link(cubes)
    cube = bpy.data.objects["Cube"]
    for collection in list(cube.users_collection):
        collection.objects.unlink(cube)
    cubes.objects.link(cube)
    scene.view_layers.new("Balls").layer_collection.children["Cubes"].exclude = True
    return scene


def second_layer_only(folder):
    view_layers(folder)


def stereo(_folder):
    """Two views, written as two files `_L` and `_R`."""
    scene = small()
    scene.render.use_multiview = True
    scene.render.views_format = "STEREO_3D"
    scene.render.image_settings.views_format = "INDIVIDUAL"
    return scene


def stereo_nodes(folder):
    """A File Output node in a stereo scene writes one file per view."""
    tree, layers = compositor(stereo(folder))
    file_output(tree, "Eyes", "//eyes/", {"eye": layers.outputs["Image"]})


def stereo_side_by_side(folder):
    image = stereo(folder).render.image_settings
    image.views_format = "STEREO_3D"
    image.stereo_3d_format.display_mode = "SIDEBYSIDE"


def stereo_layers(folder):
    """Both views in one multilayer file."""
    scene = stereo(folder)
    set_format(scene, "OPEN_EXR_MULTILAYER", "16")
    scene.render.image_settings.views_format = "MULTIVIEW"


def video_output(_folder):
    set_format(small(), "FFMPEG")


def percentage_and_border(_folder):
    render = small().render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 101, 57, 66
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x = 0.13, 0.77
    render.border_min_y, render.border_max_y = 0.21, 0.66


def border_uncropped(folder):
    percentage_and_border(folder)
    bpy.context.scene.render.use_crop_to_border = False


def marker_cameras(_folder):
    """A marker takes over another camera at frame 2."""
    scene = small()
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    other.location, other.rotation_euler = (0, 0, 9), (0, 0, 0)
    for frame, camera in ((1, scene.camera), (2, other)):
        scene.timeline_markers.new(f"cut {frame}", frame=frame).camera = camera


def several_scenes(_folder):
    """A second scene of another size, which the file was saved in."""
    first = small()
    first.name = "First"
    second = bpy.data.scenes.new("Second")
    for made in first.objects:
        second.collection.objects.link(made)
    second.camera, second.world = first.camera, first.world
    second.render.engine = "CYCLES"
    second.cycles.samples, second.cycles.seed, second.cycles.use_denoising = 2, 7, False
    second.render.resolution_x, second.render.resolution_y = 48, 48
    second.frame_start, second.frame_end = 1, 3
    bpy.context.window.scene = second


def scene_by_name(folder):
    several_scenes(folder)


def negative_frames(_folder):
    """The scene's own range cannot begin below 0: a job asks for those frames."""
    small()


def negative_with_nodes(folder):
    negative_frames(folder)
    tree, layers = compositor(bpy.context.scene)
    file_output(tree, "Beauty", "//extra/", {"beauty": layers.outputs["Image"]})


def many_digits(_folder):
    scene = small()
    scene.frame_start, scene.frame_end = 12_344, 12_345


def video_edit(_folder):
    """A strip of the scene itself in the sequencer."""
    scene = small()
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    arguments = {"length": 3} if bpy.app.version >= (5, 0, 0) else {"frame_end": 4}
    strips.new_effect("Red", "COLOR", 1, 1, **arguments).color = (1, 0, 0)


def simple_driver(_folder):
    """A driver that needs no script, and one that reads a property."""
    small()
    cube = bpy.data.objects["Cube"]
    cube.driver_add("location", 2).driver.expression = "0.7 + sin(frame / 3)"


def freestyle(_folder):
    scene = small()
    scene.render.use_freestyle = True
    sets = scene.view_layers[0].freestyle_settings.linesets
    for lines in list(sets) or [sets.new("Lines")]:  # one without a style ends Blender 3.4
        lines.linestyle = lines.linestyle or bpy.data.linestyles.new("Line")


def workbench(_folder):
    small().render.engine = "BLENDER_WORKBENCH"


def motion_blur(_folder):
    scene = small()
    scene.render.use_motion_blur = True
    scene.render.motion_blur_shutter = 1.0


def animated_seed(_folder):
    small().cycles.use_animated_seed = True


def transparent(_folder):
    scene = small()
    scene.render.film_transparent = True
    set_format(scene, "PNG", "16", "RGBA")


def multilayer_passes(folder):
    scene = view_layers(folder)
    for layer in scene.view_layers:
        layer.use_pass_z = layer.use_pass_normal = layer.use_pass_cryptomatte_object = True
    set_format(scene, "OPEN_EXR_MULTILAYER", "32")


def node_in_jpeg2000(_folder):
    tree, layers = compositor(small())
    file_output(tree, "Extra", "//extra/", {"beauty": layers.outputs["Image"]}, "JPEG2000")


def in_format(kind, depth=None, mode=None):
    """A maker of the small scene in a format."""

    def make(_folder):
        set_format(small(), kind, depth, mode)

    make.__name__ = f"format_{kind.lower()}" + (f"_{depth}" if depth else "")
    return make


MAKERS = [
    unwritable_node, node_outputs, node_outputs_per_layer, view_layers, second_layer_only, stereo, stereo_nodes,
    stereo_side_by_side, stereo_layers, video_output, percentage_and_border, border_uncropped, marker_cameras, several_scenes,
    scene_by_name, negative_frames, negative_with_nodes, many_digits, video_edit, simple_driver, freestyle, workbench,
    motion_blur, animated_seed, transparent, multilayer_passes, node_in_jpeg2000,
    in_format("PNG", "8", "RGB"), in_format("PNG", "16", "RGB"), in_format("JPEG"), in_format("TIFF", "8"),
    in_format("TIFF", "16"), in_format("WEBP"), in_format("OPEN_EXR", "16"), in_format("OPEN_EXR", "32"),
    in_format("OPEN_EXR_MULTILAYER", "16"), in_format("OPEN_EXR_MULTILAYER", "32"), in_format("BMP"), in_format("TARGA"),
    in_format("TARGA_RAW"), in_format("IRIS"), in_format("HDR"), in_format("DPX", "10"), in_format("CINEON"),
    in_format("JPEG2000", "16"),
]  # fmt: skip
