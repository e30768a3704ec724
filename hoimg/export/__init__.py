"""A finished report in the formats of other programs: planning, 3D printing, statistics.

Nothing is measured here. ``run`` reads a report folder and calls one module per format.
"""
