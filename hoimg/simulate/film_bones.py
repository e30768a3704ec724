"""The bones of :mod:`hoimg.simulate.film_anatomy`: round bars and balls with a shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.simulate.tissues import MARROW, SPONGY

Field = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Bone:
    """One bone: a union of round parts with a shell.

    Attributes:
        name: Its name.
        parts: Implicit functions of x, y, z (LPS mm).
        low: Lower corner of a box that holds it.
        high: Upper corner.
        shell_mm: Thickness of its cortex as a function of height.
        inside_hu: HU inside as a function of height.
        cut: Implicit functions of what is taken away (a socket).
    """

    name: str
    parts: Sequence[Field]
    low: Triple
    high: Triple
    shell_mm: Callable[[Any], Any]
    inside_hu: Callable[[Any], Any]
    cut: Sequence[Field] = ()


def ball(
    center: Triple, radii: Sequence[float] | NDArray[Any], turn: NDArray[Any] | None = None
) -> Field:
    """An ellipsoid (first-order distance), its axes along the columns of ``turn``."""
    a, b, c = radii
    frame = np.eye(3) if turn is None else turn

    def inside(x: Any, y: Any, z: Any) -> Any:
        dx, dy, dz = x - center[0], y - center[1], z - center[2]
        p, q, r = (frame[0, k] * dx + frame[1, k] * dy + frame[2, k] * dz for k in range(3))
        k0 = np.sqrt((p / a) ** 2 + (q / b) ** 2 + (r / c) ** 2)
        k1 = np.sqrt((p / a**2) ** 2 + (q / b**2) ** 2 + (r / c**2) ** 2)
        return k0 * (k0 - 1.0) / np.maximum(k1, 1e-4)

    return inside


def bar(start: Triple, end: Triple, first: float, last: float, flat: float = 1.0) -> Field:
    """A rounded bar whose radius goes from ``first`` to ``last``; ``flat`` < 1 flattens it in y."""
    chord = np.subtract(end, start)
    squared = float(chord @ chord)

    def inside(x: Any, y: Any, z: Any) -> Any:
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        t = np.clip((dx * chord[0] + dy * chord[1] + dz * chord[2]) / squared, 0.0, 1.0)
        ex, ey, ez = dx - t * chord[0], (dy - t * chord[1]) / flat, dz - t * chord[2]
        return np.sqrt(ex * ex + ey * ey + ez * ez) - (first + (last - first) * t)

    return inside


def _even(value: float) -> Callable[[Any], Any]:
    return lambda _: np.float32(value)


def _shaft(low: float, high: float, at_ends: float, at_shaft: float) -> Callable[[Any], Any]:
    """From the value at a joint (above ``high``) to that of the shaft (below ``low``)."""

    def value(z: Any) -> Any:
        t = np.clip((z - np.float32(low)) / np.float32(high - low), 0, 1)
        return np.float32(at_shaft) + np.float32(at_ends - at_shaft) * t * t * (3 - 2 * t)

    return value


def hip(
    name: str, sign: float, size: float, rng: np.random.Generator
) -> tuple[list[Bone], dict[str, Triple]]:
    """Half a pelvis and the femur of one side, the head's middle at z = 0."""
    unlike = rng.uniform(-1.5, 1.5, 3)
    turn = float(rng.uniform(-0.06, 0.06))

    def at(x: float, y: float, z: float, femur: bool = False) -> Triple:
        p = np.array([x, y, z], float)
        if femur:  # the leg lies a little differently on either side
            dx, dy = p[0] - 88, p[1]
            p[0], p[1] = 88 + dx - turn * 2 * dy, dy + turn * 2 * dx
            p[0] += turn * p[2]
        return (sign * (p[0] * size + unlike[0]), p[1] * size + unlike[1], p[2] * size + unlike[2])

    r = size
    head = at(88, 0, 0)
    wing = _frame(np.array([0.62 * sign, 0.72, -0.28]))
    femur = [
        ball(head, (23.5 * r,) * 3),
        bar(head, at(126, 3, -33, True), 16 * r, 17 * r, 0.85),
        ball(at(138, 8, -20, True), (14 * r, 17 * r, 23 * r)),
        ball(at(113, 14, -66, True), (9 * r, 9 * r, 11 * r)),
        bar(at(130, 4, -38, True), at(124, -2, -90, True), 19 * r, 15 * r),
        bar(at(124, -2, -90, True), at(118, -4, -230, True), 15 * r, 14 * r),
    ]
    socket = ball(at(88, 0, 0), (27 * r,) * 3)
    pelvis = [
        # The cup: a ball round the socket, open downwards, outwards and to the front.
        _cap(
            ball(at(86, 1, 2), (34 * r, 33 * r, 34 * r)), head, (0.62 * sign, -0.25, -0.74), 4 * r
        ),
        bar(at(84, 6, 30), at(66, 36, 62), 15 * r, 12 * r),
        ball(at(98, 16, 84), (5.5 * r, 58 * r, 52 * r), wing),
        bar(at(94, -20, 34), at(136, -22, 84), 8 * r, 7 * r),
        bar(at(136, -22, 84), at(112, 16, 130), 6.5 * r, 6 * r),
        bar(at(112, 16, 130), at(56, 54, 108), 6 * r, 8 * r),
        bar(at(62, 40, 66), at(54, 54, 106), 12 * r, 9 * r),
        bar(at(66, -14, -2), at(14, -34, -26), 9 * r, 7.5 * r, 0.8),
        ball(at(12, -34, -36), (9.5 * r, 7 * r, 19 * r)),
        bar(at(14, -28, -52), at(52, 16, -80), 6 * r, 7 * r),
        bar(at(76, 20, -18), at(58, 26, -74), 14 * r, 14 * r),
    ]
    bones = [
        Bone(
            f"pelvis_{name}",
            pelvis,
            at(-2, -60, -108),
            at(150, 82, 145),
            _even(1.7 * r),
            _even(SPONGY - 30.0),
            (socket,),
        ),
        Bone(
            f"femur_{name}",
            femur,
            at(40, -50, -240),
            at(172, 50, 40),
            _shaft(-75 * r, -25 * r, 1.6 * r, 5.0 * r),
            _shaft(-85 * r, -40 * r, SPONGY + 20.0, MARROW),
        ),
    ]
    points = {
        f"head_{name}": head,
        f"trochanter_{name}": at(143, 8, 1, True),
        f"rim_{name}": at(112, 2, 27),
        f"shaft_{name}": at(124, -2, -90, True),
    }
    return bones, points


def _cap(inner: Field, center: Triple, opening: Triple, beyond_mm: float) -> Field:
    """The part of a body that does not lie beyond a plane in the direction of ``opening``."""
    way = np.asarray(opening) / np.linalg.norm(opening)

    def inside(x: Any, y: Any, z: Any) -> Any:
        along = (x - center[0]) * way[0] + (y - center[1]) * way[1] + (z - center[2]) * way[2]
        return np.maximum(inner(x, y, z), along - np.float32(beyond_mm))

    return inside


def spine(size: float) -> list[Bone]:
    """Sacrum with its curve, last lumbar vertebra; one piece."""

    def at(x: float, y: float, z: float) -> Triple:
        return (x * size, y * size, z * size)

    r = size
    sacrum = [
        ball(at(0, 36, 96), (54 * r, 20 * r, 22 * r)),
        ball(at(0, 52, 66), (42 * r, 13 * r, 28 * r)),
        ball(at(0, 60, 30), (26 * r, 9 * r, 26 * r)),
        bar(at(0, 60, 6), at(0, 50, -14), 8 * r, 4 * r),
    ]
    lumbar = [
        ball(at(0, 18, 138), (26 * r, 18 * r, 15 * r)),
        bar(at(-44, 34, 138), at(44, 34, 138), 6 * r, 6 * r),
        bar(at(0, 40, 140), at(0, 68, 130), 7 * r, 5 * r),
    ]
    return [
        Bone(
            "sacrum", sacrum, at(-60, 0, -25), at(60, 90, 122), _even(1.2 * r),
            _even(SPONGY - 60.0),
        ),
        Bone(
            "lumbar", lumbar, at(-55, -5, 118), at(55, 80, 160), _even(1.2 * r), _even(SPONGY - 60)
        ),
    ]  # fmt: skip


def knee(
    name: str, sign: float, size: float, rng: np.random.Generator
) -> tuple[list[Bone], dict[str, Triple]]:
    """Femur, tibia, fibula and kneecap of one side, the joint at z = 0."""
    unlike = rng.uniform(-2, 2, 3)
    lean = float(rng.uniform(0.02, 0.09))

    def at(x: float, y: float, z: float) -> Triple:
        wide = x + lean * max(z, 0.0)
        return (
            sign * ((84 + wide) * size) + unlike[0],
            y * size + unlike[1],
            z * size + unlike[2],
        )

    r = size
    femur = [
        bar(at(0, -4, 220), at(0, -2, 70), 14 * r, 16 * r),
        bar(at(0, -2, 70), at(0, -2, 34), 16 * r, 27 * r, 0.75),
        ball(at(21, 4, 20), (18 * r, 26 * r, 18 * r)),
        ball(at(-21, 5, 20), (19 * r, 28 * r, 18 * r)),
        ball(at(0, -6, 26), (28 * r, 20 * r, 18 * r)),
    ]
    tibia = [
        ball(at(0, 2, -11), (38 * r, 25 * r, 12 * r)),
        bar(at(0, 2, -16), at(-2, -2, -60), 30 * r, 15 * r, 0.8),
        bar(at(-2, -2, -60), at(-4, -2, -220), 15 * r, 12 * r),
    ]
    fibula = [
        ball(at(33, 22, -26), (10 * r, 9 * r, 12 * r)),
        bar(at(33, 22, -30), at(28, 18, -220), 6 * r, 5.5 * r),
    ]
    patella = [ball(at(0, -36, 26), (21 * r, 9 * r, 21 * r))]
    stem = _shaft(58 * r, 28 * r, 1.4 * r, 4.6 * r)
    lower = _shaft(-70 * r, -28 * r, 1.3 * r, 4.4 * r)
    bones = [
        Bone(f"femur_{name}", femur, at(-60, -45, -5), at(70, 45, 230), stem,
             _shaft(80 * r, 40 * r, SPONGY + 10.0, MARROW)),
        Bone(f"tibia_{name}", tibia, at(-60, -45, -230), at(60, 45, 6), lower,
             _shaft(-75 * r, -35 * r, SPONGY + 10.0, MARROW)),
        Bone(f"fibula_{name}", fibula, at(10, 0, -230), at(55, 45, -5), _even(2.0 * r),
             _even(60.0)),
        Bone(f"patella_{name}", patella, at(-30, -55, -5), at(30, -20, 55), _even(1.4 * r),
             _even(float(SPONGY))),
    ]  # fmt: skip
    return bones, {f"knee_{name}": at(0, 0, 4), f"thigh_{name}": at(0, 0, 110)}


def _frame(thin: NDArray[Any]) -> NDArray[np.float64]:
    """A right-handed frame whose first axis is ``thin`` and whose last is about upright."""
    first = thin / np.linalg.norm(thin)
    second = np.cross([0.0, 0.0, 1.0], first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def _triple(values: Any) -> Triple:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
