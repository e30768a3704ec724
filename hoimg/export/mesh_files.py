"""Triangle meshes as files: STL and PLY (binary), OBJ (text). Points are LPS millimetres.

None of the formats says in which frame its points are. The remark ``SPACE=LPS`` is the one that
3D Slicer writes and looks for; programs that read it as RAS show the body turned by half a turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REMARK = "SPACE=LPS; hoimg; millimetres; research use only"


def stl(points_lps_mm: NDArray[np.float64], faces: NDArray[np.intp]) -> bytes:
    """Binary STL: a facet a triangle, with its outward normal.

    Args:
        points_lps_mm: ``(n, 3)``.
        faces: ``(m, 3)`` numbers of points, counter-clockwise seen from outside.
    """
    corners = points_lps_mm.astype("<f4")[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    record = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("n", "<u2")])
    record["normal"] = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    record["corners"] = corners
    # A binary file may not begin with "solid", which opens the text form.
    head = REMARK.encode().ljust(80) + len(faces).to_bytes(4, "little")
    return head + bytes(record.tobytes())


def ply(points_lps_mm: NDArray[np.float64], faces: NDArray[np.intp]) -> bytes:
    """Binary little endian PLY; the arguments of :func:`stl`."""
    head = (
        f"ply\nformat binary_little_endian 1.0\ncomment {REMARK}\n"
        f"element vertex {len(points_lps_mm)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    record = np.zeros(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    record["count"], record["corners"] = 3, faces
    return head.encode() + points_lps_mm.astype("<f4").tobytes() + record.tobytes()


def obj(points_lps_mm: NDArray[np.float64], faces: NDArray[np.intp]) -> bytes:
    """Wavefront OBJ; the arguments of :func:`stl`. Points are counted from 1."""
    lines = [f"# {REMARK}"]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in points_lps_mm]
    lines += [f"f {a} {b} {c}" for a, b, c in faces + 1]
    return ("\n".join(lines) + "\n").encode()


FORMATS = {"stl": stl, "ply": ply, "obj": obj}
"""Writer by the ending of its files."""
