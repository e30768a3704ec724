"""A 95 % interval for the size: how far the boundary could lie elsewhere, times the surface."""

from __future__ import annotations

import math

import numpy as np

from hoimg.geometry import Triple
from hoimg.measure.size import FWHM_PER_SIGMA, Envelope

Z95 = 1.96


def volume_interval(
    envelope: Envelope,
    *,
    spacing_zyx_mm: Triple,
    fwhm_zyx_mm: Triple,
    noise_hu: float,
    boundary_sd_fraction: float,
    segmentation_sd_voxels: float,
) -> tuple[float, float]:
    """95 % interval of V_env, mm3.

    Three independent errors of the boundary's place (SD in mm, averaged over the surface):

    - where the image shows the edge: ``boundary_sd_fraction`` of the point spread and the voxel
      taken together (model of the edge; the same everywhere, so it does not average out);
    - noise: ``noise / gradient`` of the edge, averaged over independent patches of one point
      spread squared;
    - where only the mask gives the boundary (on bone, at the scan's end, no visible edge):
      ``segmentation_sd_voxels`` voxels, weighted by that share of the surface.

    They add in quadrature; ``V exp(+-1.96 A s / V)`` is the interval, so that it never falls
    below zero.

    Args:
        envelope: The measured surface.
        spacing_zyx_mm: Voxel spacing.
        fwhm_zyx_mm: Point spread.
        noise_hu: Noise SD of a voxel.
        boundary_sd_fraction: See above.
        segmentation_sd_voxels: See above.
    """
    mesh = envelope.mesh
    area, volume = mesh.area_mm2, mesh.volume_mm3
    voxel = math.prod(spacing_zyx_mm) ** (1 / 3)
    fwhm = math.prod(fwhm_zyx_mm) ** (1 / 3)
    weights = mesh.vertex_area
    share = float(weights[envelope.seen].sum() / max(weights.sum(), 1e-9))
    model = boundary_sd_fraction * math.hypot(fwhm, voxel) * share
    contrast = (envelope.edges.peak_hu - envelope.edges.base_hu)[envelope.seen]
    noise = 0.0
    if contrast.size:
        gradient = float(np.median(contrast)) / (fwhm / FWHM_PER_SIGMA * math.sqrt(2 * math.pi))
        patches = max(area * share / fwhm**2, 1.0)
        noise = noise_hu / max(gradient, 1.0) / math.sqrt(patches) * share
    mask_only = segmentation_sd_voxels * voxel * (1.0 - share)
    spread = Z95 * math.sqrt(model**2 + noise**2 + mask_only**2) * area / volume
    return volume * math.exp(-spread), volume * math.exp(spread)
