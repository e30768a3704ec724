"""One film from a body, its lesions and a plan: pixels, label maps, truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume
from hoimg.simulate.film_beam import water_and_mineral
from hoimg.simulate.film_exposure import (
    LEAKAGE,
    Exposure,
    Floats,
    Paths,
    detect,
    penumbra_mm,
    primary,
    scattered,
)
from hoimg.simulate.film_geometry import FilmGeometry
from hoimg.simulate.film_lesion import FilmTruth, Shadow, add_shadows, cast_shadow, film_truth
from hoimg.simulate.film_process import Processed, process
from hoimg.simulate.film_project import project, project_coarse
from hoimg.simulate.plant import LesionModel

BAND_MM = 8.0
"""Width of the unexposed band between two exposures on one plate."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What the rays go through, lesions left out.

    Attributes:
        grid: Of the body.
        water: Water-equivalent density.
        mineral: Hydroxyapatite, g/cm3.
        metal: Part of each voxel of ``metal_grid`` that is metal; None for none.
        metal_grid: Its grid.
    """

    grid: Grid
    water: Floats
    mineral: Floats
    metal: Floats | None = None
    metal_grid: Grid | None = None


def make_scene(
    volume: CTVolume, metal: Floats | None = None, metal_grid: Grid | None = None
) -> Scene:
    """A scene of a scan without lesions (HU at 120 kVp) and a piece of metal."""
    water, mineral = water_and_mineral(volume.hu.astype(np.float32))
    return Scene(volume.grid, water, mineral, metal, metal_grid)


@dataclass(frozen=True)
class FilmPlan:
    """How one film is made.

    Attributes:
        view: ``AP``, ``LAT`` or ``OBL``.
        geometry: Source and detector round a patient who lies at rest.
        aim_lps_mm: The point in whose plane SID / SOD is right.
        exposure: Exposure and collimation.
        processing: See :data:`hoimg.simulate.film_process.PROCESSINGS`.
        bits: 12 or 14.
        monochrome: 1 or 2.
        modality: ``DX`` or ``CR``.
        spacing: See :data:`hoimg.simulate.film_writer.SPACINGS`.
        look: See :data:`hoimg.simulate.film_writer.LOOKS`.
        laterality: ``R``, ``L``, ``B`` or ``U``.
        body_part: ``PELVIS``, ``HIP``, ``KNEE``, ``ELBOW`` or ``THIGH``.
        text: Burned into the corner; None for nothing.
        painted: Whether what the collimator covers is painted black.
        state_field: Whether the header states the collimator.
        beside: A second exposure to the right of this one, on the same plate.
    """

    view: str
    geometry: FilmGeometry
    aim_lps_mm: Triple
    exposure: Exposure = field(default_factory=Exposure)
    processing: str = "presentation"
    bits: int = 12
    monochrome: int = 2
    modality: str = "DX"
    spacing: str = "imager"
    look: str = "window"
    laterality: str = "U"
    body_part: str = "HIP"
    text: str | None = None
    painted: bool = False
    state_field: bool = False
    beside: FilmPlan | None = None

    @property
    def sod_mm(self) -> float:
        """Source to the plane of ``aim_lps_mm``."""
        return float(self.geometry.depth_mm(np.asarray([self.aim_lps_mm]))[0])


@dataclass(frozen=True, eq=False)
class Film:
    """A finished film.

    Attributes:
        stored: Its values.
        labels: Mineral's shadow of each lesion by its label, uint8 ``[y, x]``; where shadows
            overlap, that which attenuates more.
        envelopes: The same of the lesions' envelopes.
        truths: By label; of a plate with two exposures those of the first.
        truths_beside: Those of the second; None without one.
        geometry: In the patient's frame.
        signal: Detector signal without processing.
    """

    stored: Processed
    labels: NDArray[np.uint8]
    envelopes: NDArray[np.uint8]
    truths: dict[int, FilmTruth]
    truths_beside: dict[int, FilmTruth] | None
    geometry: FilmGeometry
    signal: Floats


def render_film(
    scene: Scene,
    models: Sequence[LesionModel],
    plan: FilmPlan,
    pose: NDArray[Any] | None = None,
) -> Film:
    """Make a film.

    Args:
        scene: The body.
        models: Lesions in the patient's frame.
        plan: The film.
        pose: 4x4 rigid motion of the patient from rest, LPS mm; None: at rest.
    """
    still = np.eye(4) if pose is None else np.asarray(pose)
    geometry = plan.geometry.moved(np.linalg.inv(still))
    aim = np.linalg.inv(still) @ [*plan.aim_lps_mm, 1.0]
    signal, labels, envelopes, truths = _expose(scene, models, plan, geometry, aim[:3])
    exposed = _opened(plan)
    beside = None
    if plan.beside is not None:
        second = render_film(scene, models, replace(plan.beside, beside=None), pose)
        rows = signal.shape[0]
        wide = round(BAND_MM / geometry.spacing_mm)
        band = np.full((rows, wide), np.float32(LEAKAGE * 0.01))
        none = np.zeros((rows, wide), np.uint8)
        signal = np.hstack([signal, band, second.signal])
        labels = np.hstack([labels, none, second.labels])
        envelopes = np.hstack([envelopes, none, second.envelopes])
        exposed = np.hstack([exposed, none > 0, _opened(plan.beside)])
        beside = second.truths
    stored = process(
        signal,
        geometry.spacing_mm,
        processing=plan.processing,
        bits=plan.bits,
        monochrome=plan.monochrome,
        exposed=exposed,
    )
    return Film(_marked(stored, plan), labels, envelopes, truths, beside, geometry, signal)


def _opened(plan: FilmPlan) -> NDArray[np.bool_]:
    """Where the collimator leaves the beam."""
    opened = np.zeros(plan.geometry.shape_yx, bool)
    rows, columns = opened.shape
    top, bottom, left, right = plan.exposure.field_yx or (0, rows, 0, columns)
    opened[top:bottom, left:right] = True
    return opened


def project_scene(scene: Scene, geometry: FilmGeometry) -> Paths:
    """What lies along the rays, lesions left out."""
    voxel = min(scene.grid.spacing_zyx_mm)

    def along(values: Floats) -> Floats:
        return project_coarse(
            values, scene.grid, geometry, pixel_mm=0.7 * voxel, step_mm=1.25 * voxel
        )

    metal = None
    if scene.metal is not None and scene.metal_grid is not None:
        metal = project(scene.metal, scene.metal_grid, geometry)
    # g/cm3 x mm are a tenth of g/cm2.
    return Paths(along(scene.water), along(scene.mineral) * np.float32(0.1), metal)


def _expose(
    scene: Scene,
    models: Sequence[LesionModel],
    plan: FilmPlan,
    geometry: FilmGeometry,
    aim: NDArray[np.float64],
) -> tuple[Floats, NDArray[np.uint8], NDArray[np.uint8], dict[int, FilmTruth]]:
    """Signal, label maps and truths of one exposure."""
    exposure = plan.exposure
    bare = project_scene(scene, geometry)
    shadows = [s for m in models if (s := cast_shadow(m, geometry)) is not None]
    paths = add_shadows(bare, shadows)
    first = primary(paths, exposure)
    scatter = scattered(first, paths, geometry, exposure)
    signal = detect(
        first,
        scatter,
        exposure,
        geometry.spacing_mm,
        penumbra_mm(geometry, exposure, aim),
        noise_seed=[exposure.seed, 91],
    )
    labels = np.zeros(geometry.shape_yx, np.uint8)
    envelopes = np.zeros(geometry.shape_yx, np.uint8)
    best = np.full(geometry.shape_yx, np.float32(-np.inf))
    truths = {}
    for shadow in shadows:
        box, number = shadow.box, shadow.model.spec.label
        win = shadow.excess_hu_mm > best[box]
        labels[box][shadow.mineral & win] = number
        envelopes[box][shadow.envelope & win] = number
        best[box] = np.where(shadow.envelope & win, shadow.excess_hu_mm, best[box])
        others: list[Shadow] = [s for s in shadows if s is not shadow]
        truths[number] = film_truth(shadow, others, bare, scatter, geometry, exposure)
    return signal, labels, envelopes, truths


def _marked(stored: Processed, plan: FilmPlan) -> Processed:
    """Painted margins and burned-in text."""
    values = stored.values.copy()
    top = 2**stored.bits - 1
    black, white = (0, top) if stored.white_is_high else (top, 0)
    if plan.painted and plan.exposure.field_yx is not None:
        first, last, left, right = plan.exposure.field_yx
        painted = np.full(values.shape, np.uint16(black))
        painted[first:last, left:right] = values[first:last, left:right]
        values = painted
    if plan.text:
        values[_letters(plan.text, values.shape)] = white
    return replace(stored, values=values)


def _letters(text: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where writing in the upper left corner is."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", (shape[1], shape[0]))
    size = max(12, shape[0] // 40)
    ImageDraw.Draw(page).text((size, size), text, fill=255, font=ImageFont.load_default(size=size))
    return np.asarray(page) > 127
