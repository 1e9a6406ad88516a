"""What the makers of scenes share: a small animated scene to begin with, and pieces for it. Runs inside Blender."""

from __future__ import annotations

import bpy

from tests.scenes.make import NEW, quick


def small(last=3):
    """The quick scene at 64x36 pixels, two samples and three frames."""
    scene = quick()
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    scene.cycles.samples = 2
    scene.frame_end = last
    return scene


def shader(material):
    """The node tree of a material and the Principled shader in it."""
    tree = bpy.data.materials[material].node_tree
    return tree, next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")


def plane(name, cuts):
    """A square of `cuts` x `cuts` vertices that hovers over the rest."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=cuts, y_subdivisions=cuts, size=2, location=(0, 0, 2))
    bpy.context.object.name = name
    return bpy.context.object


def geometry_group(made):
    """A new geometry node group on an object, with its input and output nodes and nothing between them."""
    group = bpy.data.node_groups.new("Geometry", "GeometryNodeTree")
    if hasattr(group, "interface"):
        for way in ("INPUT", "OUTPUT"):
            group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    else:
        group.inputs.new("NodeSocketGeometry", "Geometry")
        group.outputs.new("NodeSocketGeometry", "Geometry")
    group.nodes.new("NodeGroupInput")
    group.nodes.new("NodeGroupOutput")
    made.modifiers.new("Geometry", "NODES").node_group = group
    return group


def compositor(scene):
    """The scene's compositor tree and its Render Layers node, which is connected to the output."""
    if NEW:
        tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        layers = tree.nodes.new("CompositorNodeRLayers")
        tree.links.new(layers.outputs["Image"], tree.nodes.new("NodeGroupOutput").inputs[0])
        return tree, layers
    scene.use_nodes = True
    tree = scene.node_tree
    return tree, next(node for node in tree.nodes if node.type == "R_LAYERS")


def file_output(tree, name, folder, slots, kind="PNG"):
    """A File Output node that writes each socket of `slots` (name: socket) below `folder`."""
    node = tree.nodes.new("CompositorNodeOutputFile")
    node.name = name
    if NEW:
        node.format.media_type = "MULTI_LAYER_IMAGE" if kind == "OPEN_EXR_MULTILAYER" else "IMAGE"
        node.directory, node.file_name = folder, name
        for slot in slots:
            node.file_output_items.new("RGBA", slot)
    else:
        node.base_path = folder
        node.file_slots.clear()
        for slot in slots:
            node.file_slots.new(slot)
    node.format.file_format = kind
    for index, socket in enumerate(slots.values()):
        tree.links.new(socket, node.inputs[index])
    return node


def set_format(scene, kind, depth=None, mode=None):
    """What the scene writes."""
    image = scene.render.image_settings
    if NEW:
        image.media_type = {"OPEN_EXR_MULTILAYER": "MULTI_LAYER_IMAGE", "FFMPEG": "VIDEO"}.get(kind, "IMAGE")
    image.file_format = kind
    if mode:
        image.color_mode = mode
    if depth:
        image.color_depth = depth
