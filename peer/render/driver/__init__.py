"""What runs inside Blender, in either home: a Blender program, or a child Python that imports `bpy`.

Standard library only, Python 3.10 syntax at the newest, nothing of `protocol` and no numpy: a distribution's Blender runs on
the system's Python. `main.py` is started by its path and lends these modules their names.
"""
