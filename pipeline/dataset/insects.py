"""One insect from its traits: how each body plan puts the parts together, seen from above or from the side."""

from typing import NamedTuple

import numpy as np

from pipeline.dataset.anatomy import (
    Canvas, Colour, Lobe, disc, fill, lobe, mirrored, paint_antennae, paint_legs, paint_marks, point, stroke, strip, veil,
)  # fmt: skip
from pipeline.dataset.species import Traits


class Form(NamedTuple):
    """A body plan's own proportions: lengths are shares of the body, widths are half-widths in body units."""

    abdomen: tuple[float, float]
    thorax: tuple[float, float]
    head: tuple[float, float]
    blunt: float = 2.2
    taper: float = 0.0
    legs: float = 0.5
    antennae: float = 0.5
    wings: str = "none"


FORMS = {
    "beetle": Form((0.62, 0.40), (0.22, 0.33), (0.16, 0.19), 2.6, 0.05, 0.42, 0.5),
    "ladybird": Form((0.76, 0.68), (0.16, 0.44), (0.11, 0.24), 2.2, 0.05, 0.22, 0.16),
    "bug": Form((0.60, 0.46), (0.26, 0.50), (0.14, 0.17), 2.1, 0.30, 0.42, 0.5),
    "ant": Form((0.40, 0.24), (0.32, 0.12), (0.24, 0.20), 2.0, 0.0, 0.75, 0.5),
    "fly": Form((0.48, 0.27), (0.32, 0.25), (0.18, 0.24), 2.2, 0.1, 0.45, 0.12, "membrane"),
    "wasp": Form((0.52, 0.21), (0.27, 0.20), (0.17, 0.17), 2.0, 0.1, 0.5, 0.42, "membrane"),
    "dragonfly": Form((0.72, 0.065), (0.18, 0.14), (0.11, 0.14), 3.0, 0.1, 0.18, 0.08, "four"),
    "butterfly": Form((0.50, 0.08), (0.26, 0.11), (0.14, 0.08), 2.2, 0.1, 0.1, 0.6, "painted"),
    "moth": Form((0.52, 0.16), (0.30, 0.19), (0.14, 0.10), 2.2, 0.2, 0.15, 0.42, "roof"),
    "grasshopper": Form((0.54, 0.16), (0.26, 0.20), (0.17, 0.16), 2.6, 0.15, 0.45, 0.6, "straight"),
}
MEMBRANE: Colour = (214, 218, 210)


def draw_insect(canvas: Canvas, traits: Traits, rng: np.random.Generator, side: bool) -> None:
    """Paint one insect into the canvas; `rng` draws its pose, `side` is the view from the side."""
    if traits.plan == "caterpillar":
        draw_caterpillar(canvas, traits, rng)
        return
    form = FORMS[traits.plan]
    abdomen, thorax, head = body_of(form, traits, side)
    dark = darker(traits.body, 0.45)
    if form.wings in ("four", "painted") or (form.wings == "membrane" and not side):
        draw_wings(canvas, form.wings, thorax, traits, rng, side)
    draw_limbs(canvas, form, traits, thorax, head, dark, rng, side)
    draw_trunk(canvas, form, traits, abdomen, thorax, head, side)
    if form.wings in ("roof", "straight"):
        draw_folded(canvas, form.wings, thorax, traits, side)
    if form.wings == "membrane" and side:
        wing = lobe(tuple(point(thorax, 0.4, -0.6)), np.pi + 0.25, 0.7 + 0.7 * traits.wing_length, 0.2)
        veil(canvas, strip(wing, 0, 1), MEMBRANE, 0.55)


def body_of(form: Form, traits: Traits, side: bool) -> tuple[Lobe, Lobe, Lobe]:
    """Lay abdomen, thorax and head along the body, which fills x from -1 to 1."""
    stout = 1.35 - 0.7 * traits.slender
    parts = np.array([form.abdomen[0], form.thorax[0] * (0.65 + 0.7 * traits.thorax), form.head[0] * (0.65 + 0.7 * traits.head)])
    abdomen, thorax, head = 2.0 * parts / parts.sum()
    skew = -0.3 if side else 0.0
    flat = 0.8 if side else 1.0
    grow = 0.8 + 0.4 * traits.thorax
    return (
        lobe((-1.0, 0.0), 0.0, abdomen * 1.06, form.abdomen[1] * stout * flat, form.blunt, form.taper, skew),
        lobe((-1.0 + abdomen, 0.0), 0.0, thorax * 1.1, form.thorax[1] * stout * flat * grow, 2.6, -0.1, skew),
        lobe((1.0 - head, 0.0), 0.0, head, form.head[1] * (0.75 + 0.5 * traits.head), 2.2, -0.1),
    )


def draw_trunk(
    canvas: Canvas, form: Form, traits: Traits, abdomen: Lobe, thorax: Lobe, head: Lobe, side: bool
) -> None:
    edge = darker(traits.body, 0.55)
    fill(canvas, strip(head, 0, 1), edge)
    fill(canvas, strip(abdomen, 0, 1), edge)
    inner = Lobe(abdomen.origin, 0.0, abdomen.length, abdomen.left * 0.93, abdomen.right * 0.93)
    fill(canvas, strip(inner, 0.02, 0.98), traits.body)
    if form.wings not in ("painted", "roof"):
        count = 1 + round(5 * traits.mark_count)
        paint_marks(canvas, inner, traits.marking, count, traits.mark_size, traits.mark)
    if traits.plan in ("beetle", "ladybird") and not side:
        stroke(canvas, np.array([point(abdomen, 0.0, 0.0), point(abdomen, 0.97, 0.0)]), 0.016, edge)
    fill(canvas, strip(thorax, 0, 1), edge)
    fill(canvas, strip(thorax, 0.05, 0.95, -0.92, 0.92), darker(traits.body, 0.85))
    if traits.plan == "bug":
        fill(canvas, np.array([point(thorax, 0.1, -0.6), point(thorax, 0.1, 0.6), point(abdomen, 0.45, 0.0)]), edge)
    if traits.border > 0.5 and form.wings in ("none", "straight"):
        fill(canvas, strip(thorax, 0.12, 0.88, 0.55, 0.85), traits.mark)
        fill(canvas, strip(thorax, 0.12, 0.88, -0.85, -0.55), traits.mark)
    large = traits.plan in ("fly", "dragonfly")
    radius = float(head.left.max()) * (0.62 if large else 0.3)
    for across in (-0.5,) if side else (-0.75, 0.75):
        fill(canvas, disc(point(head, 0.6, across), radius, 1.2), (96, 34, 28) if large else (24, 20, 20))


def draw_limbs(
    canvas: Canvas, form: Form, traits: Traits, thorax: Lobe, head: Lobe, colour: Colour, rng: np.random.Generator, side: bool
) -> None:
    deep = float(thorax.right.max())
    hips = np.array([point(thorax, along, 0.0) for along in (0.0, 0.45, 0.9)])
    hips[:, 1] += 0.5 * deep
    length = form.legs * (0.55 + 0.9 * traits.legs)
    paint_legs(canvas, hips, 0.5 * deep, length, colour, rng, side)
    if traits.plan == "grasshopper":
        draw_jumping_legs(canvas, traits, thorax, colour, side)
    club = 0.045 if form.wings == "painted" else 0.05 * max(0.0, traits.border - 0.4)
    base = point(head, 0.9, 0.0)
    paint_antennae(canvas, base, form.antennae * (0.35 + 1.3 * traits.antennae), club, colour, rng, side)


def draw_jumping_legs(canvas: Canvas, traits: Traits, thorax: Lobe, colour: Colour, side: bool) -> None:
    for mirror in (-1.0,) if side else (1.0, -1.0):
        hip = point(thorax, 0.1, 0.3 * mirror)
        thigh = lobe(tuple(hip), np.pi - mirror * (0.55 if side else 0.3), 0.75 + 0.4 * traits.legs, 0.085, 2.0, -0.4)
        knee = point(thigh, 0.97, 0.0)
        fill(canvas, strip(thigh, 0, 1), darker(traits.body, 0.75))
        foot = knee + ((-0.15, 0.75) if side else (0.45, 0.22 * mirror))
        stroke(canvas, np.array([knee, foot]), 0.035, colour)


def draw_wings(
    canvas: Canvas, kind: str, thorax: Lobe, traits: Traits, rng: np.random.Generator, side: bool
) -> None:
    """Paint open wings: clear ones as a membrane with veins, painted ones with border and marks."""
    breadth, sweep, hind = 0.7 + 0.6 * traits.wing_breadth, 0.5 * traits.wing_sweep, 0.6 + 0.6 * traits.hind_wing
    length = 0.72 + 0.45 * traits.wing_length
    flap = rng.normal(0.0, 0.1)
    front_at, back_at = tuple(point(thorax, 0.8, 0.15)), tuple(point(thorax, 0.2, 0.15))
    if kind == "painted":
        front = lobe(front_at, 1.25 + sweep * 0.7 + flap, 1.35 * length, 0.42 * breadth, 2.6, 0.35, -0.12)
        back = lobe(back_at, 2.15 + sweep * 0.5 + flap, 1.15 * length * hind, 0.46 * breadth, 2.4, 0.25, 0.1)
    elif kind == "four":
        front = lobe(front_at, 1.35 + sweep * 0.5 + flap, 1.4 * length, 0.12 * breadth, 3.0, 0.15, -0.2)
        back = lobe(back_at, 1.8 + sweep * 0.5 + flap, 1.3 * length, 0.17 * breadth * hind, 2.8, 0.0, 0.1)
    else:
        front = lobe(front_at, 2.1 + sweep * 1.2 + flap, 1.35 * length, 0.2 * breadth, 2.6, 0.3, -0.1)
        back = lobe(back_at, 2.4 + sweep * 1.0 + flap, 0.8 * length * hind, 0.14 * breadth, 2.4, 0.2)
    for part in (back, front):
        for wing in (mirrored(part),) if side else (part, mirrored(part)):
            if kind == "painted":
                draw_painted_wing(canvas, wing, traits)
            else:
                draw_membrane(canvas, wing, traits)


def draw_painted_wing(canvas: Canvas, wing: Lobe, traits: Traits) -> None:
    fill(canvas, strip(wing, 0, 1), darker(traits.mark, 0.8))
    rim = 0.04 + 0.2 * max(0.0, traits.border)
    inner = Lobe(wing.origin, wing.angle, wing.length * (1 - rim), wing.left * (1 - rim), wing.right * (1 - rim))
    fill(canvas, strip(inner, 0, 1), traits.body)
    count = 1 + round(3 * traits.mark_count)
    paint_marks(canvas, inner, traits.marking, count, 0.8 * traits.mark_size, traits.mark)
    for across in (-0.5, 0.0, 0.5):
        stroke(canvas, np.array([wing.origin, point(wing, 0.93, across)]), 0.008, darker(traits.body, 0.6))


def draw_membrane(canvas: Canvas, wing: Lobe, traits: Traits) -> None:
    fill(canvas, strip(wing, 0, 1), MEMBRANE, opacity=105)
    if traits.border > 0.45:
        fill(canvas, strip(wing, 0.75, 0.75 + 0.2 * traits.border), darker(traits.mark, 0.7), opacity=190)
    for across in (-0.9, -0.2, 0.5):
        stroke(canvas, np.array([wing.origin, point(wing, 0.9, across)]), 0.008, (88, 84, 76))


def draw_folded(canvas: Canvas, kind: str, thorax: Lobe, traits: Traits, side: bool) -> None:
    """Paint wings folded over the back: a moth's roof or a grasshopper's straight covers."""
    length = (1.2 if kind == "roof" else 1.35) * (0.8 + 0.4 * traits.wing_length)
    width = (0.3 if kind == "roof" else 0.11) * (0.7 + 0.6 * traits.wing_breadth)
    opening = (0.25 + 0.55 * traits.wing_sweep) if kind == "roof" else 0.06 + 0.1 * traits.wing_sweep
    cover = lobe(tuple(point(thorax, 0.75, 0.2)), np.pi - opening, length, width, 2.4, 0.45 if kind == "roof" else 0.1)
    for wing in (mirrored(cover),) if side else (cover, mirrored(cover)):
        if kind == "roof":
            draw_painted_wing(canvas, wing, traits)
        else:
            fill(canvas, strip(wing, 0, 1), darker(traits.body, 0.6))
            fill(canvas, strip(wing, 0.02, 0.97, -0.85, 0.85), darker(traits.body, 1.1))
            paint_marks(canvas, wing, "spots", 1 + round(3 * traits.mark_count), 0.5 * traits.mark_size, traits.mark)


def draw_caterpillar(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    """Paint a crawling larva: rings along a curve, bristles, a head capsule."""
    rings = 9 + round(5 * traits.thorax)
    along = np.linspace(-1.0, 1.0, rings)
    curve = rng.normal(0.0, 0.22) * np.cos(1.6 * along) + rng.normal(0.0, 0.14) * np.sin(3.0 * along)
    centres = np.stack([along * 0.92, curve], 1)
    radius = (0.24 - 0.11 * traits.slender) * (1.0 - 0.25 * np.abs(along) ** 3)
    every = max(1, 4 - round(3 * traits.mark_count))
    for number, (centre, r) in enumerate(zip(centres, radius, strict=True)):
        for mirror in (-1.0, 1.0):
            tip = centre + (rng.normal(0.0, 0.04), mirror * r * (1.15 + 0.9 * traits.legs))
            stroke(canvas, np.array([centre, tip]), 0.014, darker(traits.body, 0.4))
        fill(canvas, disc(centre, r), darker(traits.body, 0.6))
        banded = traits.marking == "bands" and number % every == 0
        fill(canvas, disc(centre + (0.015, 0.0), 0.92 * r), traits.mark if banded else traits.body)
        if traits.marking == "spots" and number % every == 0:
            for mirror in (-0.5, 0.5):
                fill(canvas, disc(centre + (0.0, mirror * r), r * (0.12 + 0.25 * traits.mark_size)), traits.mark)
    if traits.marking == "stripes":
        for offset in (-0.45, 0.45) if traits.mark_count > 0.5 else (0.0,):
            line = centres + np.stack([np.zeros(rings), offset * radius], 1)
            stroke(canvas, line, 0.03 + 0.07 * traits.mark_size, traits.mark)
    head = 0.13 + 0.07 * traits.head
    fill(canvas, disc(centres[-1] + (0.08, 0.0), head), darker(traits.mark if traits.border > 0.5 else traits.body, 0.5))
    paint_antennae(canvas, centres[-1] + (0.15, 0.0), 0.25 * traits.antennae, 0.0, (30, 26, 24), rng, False)


def darker(colour: Colour, factor: float) -> Colour:
    """Scale a colour's channels.

    >>> darker((100, 200, 40), 0.5)
    (50, 100, 20)
    """
    red, green, blue = (min(255, max(0, round(factor * channel))) for channel in colour)
    return red, green, blue
