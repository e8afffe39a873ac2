"""The wings of a drawn insect: clear or painted, open or folded over the back."""

import numpy as np

from pipeline.dataset.drawing.anatomy import (
    Canvas,
    Lobe,
    fill,
    lobe,
    mirrored,
    paint_marks,
    point,
    strip,
    stroke,
    veil,
)
from pipeline.dataset.drawing.species import Colour, Traits, darker

MEMBRANE: Colour = (214, 218, 210)
VEIN: Colour = (88, 84, 76)


def draw_open_wings(
    canvas: Canvas, kind: str, thorax: Lobe, traits: Traits, rng: np.random.Generator
) -> None:
    """Paint two pairs of spread wings under the body; from the side only those that are turned to us.

    `kind` is "painted" (butterflies), "four" (dragonflies) or "membrane" (flies and wasps).
    """
    breadth, hind = 0.7 + 0.6 * traits.wing_breadth, 0.6 + 0.6 * traits.hind_wing
    length, sweep, flap = 0.72 + 0.45 * traits.wing_length, traits.wing_sweep, rng.normal(0.0, 0.1)
    fore, aft = point(thorax, 0.8, 0.15), point(thorax, 0.2, 0.15)
    if kind == "painted":
        turns, size, shape = (1.25 + 0.35 * sweep, 2.15 + 0.25 * sweep), (1.35, 1.15), (0.42, 0.46)
    elif kind == "four":
        turns, size, shape = (1.35 + 0.25 * sweep, 1.8 + 0.25 * sweep), (1.4, 1.3), (0.12, 0.17)
    else:
        turns, size, shape = (2.0 + 0.6 * sweep, 2.35 + 0.5 * sweep), (1.55, 0.95), (0.25, 0.17)
    front = lobe(
        fore, turns[0] + flap, size[0] * length, shape[0] * breadth, blunt=2.6, taper=0.33, skew=-0.14
    )
    back = lobe(
        aft, turns[1] + flap, size[1] * length * hind, shape[1] * breadth, blunt=2.4, taper=0.2, skew=0.1
    )
    draw = draw_painted_wing if kind == "painted" else draw_membrane
    for part in (back, front):
        for wing in (mirrored(part),) if canvas.side else (part, mirrored(part)):
            draw(canvas, wing, traits)


def draw_folded_wings(canvas: Canvas, kind: str, thorax: Lobe, traits: Traits) -> None:
    """Paint wings laid over the back: "roof" (moths), "straight" (grasshoppers), "membrane" from the side."""
    if kind == "membrane":
        wing = lobe(point(thorax, 0.4, -0.6), np.pi + 0.25, 0.7 + 0.7 * traits.wing_length, 0.2)
        veil(canvas, strip(wing), MEMBRANE, 0.55)
        return
    roof = kind == "roof"
    length = (1.2 if roof else 1.35) * (0.8 + 0.4 * traits.wing_length)
    width = (0.36 if roof else 0.11) * (0.7 + 0.6 * traits.wing_breadth)
    opening = 0.25 + 0.55 * traits.wing_sweep if roof else 0.06 + 0.1 * traits.wing_sweep
    hinge, taper = point(thorax, 0.75, 0.2), 0.55 if roof else 0.1
    cover = lobe(hinge, np.pi - opening, length, width, blunt=2.6, taper=taper)
    for wing in (mirrored(cover),) if canvas.side else (cover, mirrored(cover)):
        if roof:
            draw_painted_wing(canvas, wing, traits)
        else:
            fill(canvas, strip(wing), darker(traits.body, 0.6))
            fill(canvas, strip(wing, (0.02, 0.97), (-0.85, 0.85)), darker(traits.body, 1.1))
            paint_marks(canvas, wing, traits, most=4)


def draw_painted_wing(canvas: Canvas, wing: Lobe, traits: Traits) -> None:
    fill(canvas, strip(wing), darker(traits.mark, 0.8))
    inner = 0.96 - 0.2 * max(0.0, traits.border)
    field = wing.shrunk(inner, inner)
    fill(canvas, strip(field), traits.body)
    paint_marks(canvas, field, traits, most=4)
    for across in (-0.5, 0.0, 0.5):
        vein = np.array([wing.origin, point(wing, 0.93, across)])
        stroke(canvas, vein, 0.008, darker(traits.body, 0.6))


def draw_membrane(canvas: Canvas, wing: Lobe, traits: Traits) -> None:
    fill(canvas, strip(wing), MEMBRANE, opacity=135)
    stroke(canvas, strip(wing), 0.008, VEIN)
    if traits.border > 0.45:
        tip = strip(wing, (0.75, 0.75 + 0.2 * traits.border))
        fill(canvas, tip, darker(traits.mark, 0.7), opacity=190)
    for across in (-0.9, -0.2, 0.5):
        stroke(canvas, np.array([wing.origin, point(wing, 0.9, across)]), 0.008, VEIN)
