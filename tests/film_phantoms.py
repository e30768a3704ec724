"""Films that can be written down: round bodies, shells and shafts on a slope."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hoimg.image import Radiograph

SPACING = 0.2


def coordinates(size_mm=(60.0, 60.0), spacing=SPACING):
    """Rows and columns in mm from the middle."""
    rows, columns = (round(s / spacing) for s in size_mm)
    y, x = np.indices((rows, columns)).astype(float)
    return (y - (rows - 1) / 2) * spacing, (x - (columns - 1) / 2) * spacing


def ball(y, x, radius, centre=(0.0, 0.0), squash=1.0):
    """Path through an ellipsoid, 1 at most; squashed along x."""
    r2 = (y - centre[0]) ** 2 + ((x - centre[1]) / squash) ** 2
    return np.sqrt(np.clip(radius**2 - r2, 0, None)) / radius


def shell(y, x, radius, thickness, centre=(0.0, 0.0)):
    """Path through a hollow ball, 1 at most."""
    path = radius * ball(y, x, radius, centre) - (radius - thickness) * ball(
        y, x, radius - thickness, centre
    )
    return path / path.max()


def bar(x, middle, half_width):
    """A shaft with cortex: a hollow cylinder along y."""
    outer = np.sqrt(np.clip(half_width**2 - (x - middle) ** 2, 0, None))
    inner = np.sqrt(np.clip((half_width - 2.0) ** 2 - (x - middle) ** 2, 0, None))
    return (outer - inner) / 5.0


def film(values, *, noise=0.02, blur_mm=0.3, slope=0.01, seed=0, spacing=SPACING, **more):
    """A radiograph of path lengths: blurred, with a slope along x and noise of 1 mm."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(np.asarray(values, float), blur_mm / 2.355 / spacing)
    grain = ndimage.gaussian_filter(rng.normal(size=image.shape), 0.42 / spacing)
    image = image + noise * grain / grain.std()
    image = image + slope * np.arange(image.shape[1]) * spacing
    more = {"spacing_yx_mm": (spacing, spacing), "spacing_source": "calibrated"} | more
    return Radiograph((1000 + 500 * image).astype(np.float32), **more)


def box(shadow, margin_mm, spacing=SPACING):
    """The box of a shadow, widened."""
    region = np.zeros(shadow.shape, bool)
    k = round(margin_mm / spacing)
    rows, columns = (np.flatnonzero(shadow.any(axis=1 - a)) for a in (0, 1))
    region[max(rows[0] - k, 0) : rows[-1] + k + 1, max(columns[0] - k, 0) : columns[-1] + k + 1] = 1
    return region


def dice(a, b):
    """Overlap."""
    return 2 * (a & b).sum() / (a.sum() + b.sum())
