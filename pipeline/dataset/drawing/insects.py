"""One insect from its traits: how each body plan puts the parts together, from above or from the side."""

from typing import NamedTuple

import numpy as np

from pipeline.dataset.drawing.anatomy import (
    Canvas,
    Lobe,
    disc,
    fill,
    lobe,
    paint_antennae,
    paint_legs,
    paint_marks,
    point,
    strip,
    stroke,
    veil,
)
from pipeline.dataset.drawing.species import Colour, Traits, darker
from pipeline.dataset.drawing.wings import draw_folded_wings, draw_open_wings


class Form(NamedTuple):
    """A body plan's own proportions: (share of the length, half-width in body units) of its three parts."""

    abdomen: tuple[float, float]
    thorax: tuple[float, float]
    head: tuple[float, float]
    blunt: float = 2.2
    taper: float = 0.0
    legs: float = 0.5
    antennae: float = 0.5
    wings: str = "none"


class Body(NamedTuple):
    """The three parts of one insect, laid along x from -1 to 1."""

    abdomen: Lobe
    thorax: Lobe
    head: Lobe


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
HIGHLIGHT: Colour = (255, 255, 255)
EYE: Colour = (24, 20, 20)
LARGE_EYE: Colour = (96, 34, 28)


def draw_insect(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    """Paint one insect into the canvas; `rng` draws its pose."""
    if traits.plan == "caterpillar":
        draw_caterpillar(canvas, traits, rng)
        return
    form = FORMS[traits.plan]
    body = body_of(form, traits, canvas.side)
    spread = form.wings in ("four", "painted") or (form.wings == "membrane" and not canvas.side)
    if spread:
        draw_open_wings(canvas, form.wings, body.thorax, traits, rng)
    draw_limbs(canvas, form, traits, body, rng)
    draw_trunk(canvas, form, traits, body)
    draw_front(canvas, form, traits, body)
    if form.wings != "none" and not spread:
        draw_folded_wings(canvas, form.wings, body.thorax, traits)


def body_of(form: Form, traits: Traits, side: bool) -> Body:
    """Turn a plan's proportions and an individual's traits into lobes; from the side the belly is flat."""
    growth = np.array([1.0, 0.65 + 0.7 * traits.thorax, 0.65 + 0.7 * traits.head])
    parts = growth * (form.abdomen[0], form.thorax[0], form.head[0])
    abdomen, thorax, head = (2.0 * parts / parts.sum()).tolist()
    stout, skew = (1.35 - 0.7 * traits.slender) * (0.8 if side else 1.0), -0.3 if side else 0.0
    chest = form.thorax[1] * stout * (0.8 + 0.4 * traits.thorax)
    skull = form.head[1] * (0.75 + 0.5 * traits.head)
    neck, waist, tail = np.array([1.0 - head, 0.0]), np.array([abdomen - 1.0, 0.0]), np.array([-1.0, 0.0])
    return Body(
        lobe(
            tail, 0.0, 1.06 * abdomen, form.abdomen[1] * stout, blunt=form.blunt, taper=form.taper, skew=skew
        ),
        lobe(waist, 0.0, 1.1 * thorax, chest, blunt=2.6, taper=-0.1, skew=skew),
        lobe(neck, 0.0, head, skull, blunt=2.2, taper=-0.1),
    )


def draw_trunk(canvas: Canvas, form: Form, traits: Traits, body: Body) -> None:
    """Paint abdomen and thorax with their marks."""
    edge, inner = darker(traits.body, 0.55), body.abdomen.shrunk(1.0, 0.93)
    fill(canvas, strip(body.head), edge)
    fill(canvas, strip(body.abdomen), edge)
    fill(canvas, strip(inner, (0.02, 0.98)), traits.body)
    if form.wings not in ("painted", "roof"):
        paint_marks(canvas, inner, traits, most=6)
    if traits.plan in ("beetle", "ladybird", "bug"):
        width = 0.15 * float(inner.left.max())
        gloss = lobe(point(inner, 0.4, -0.5), 0.0, 0.42 * inner.length, width, blunt=2.5)
        veil(canvas, strip(gloss), HIGHLIGHT, 0.25)
    if traits.plan in ("beetle", "ladybird") and not canvas.side:
        seam = np.array([point(body.abdomen, 0.0, 0.0), point(body.abdomen, 0.97, 0.0)])
        stroke(canvas, seam, 0.016, edge)
    fill(canvas, strip(body.thorax), edge)
    fill(canvas, strip(body.thorax, (0.05, 0.95), (-0.92, 0.92)), darker(traits.body, 0.85))
    if traits.plan == "bug":
        shield = [point(body.thorax, 0.1, -0.6), point(body.thorax, 0.1, 0.6), point(body.abdomen, 0.45, 0.0)]
        fill(canvas, np.array(shield), edge)


def draw_front(canvas: Canvas, form: Form, traits: Traits, body: Body) -> None:
    """Paint the collar that some species wear, and the eyes."""
    if traits.border > 0.5 and form.wings in ("none", "straight"):
        for across in ((0.55, 0.85), (-0.85, -0.55)):
            fill(canvas, strip(body.thorax, (0.12, 0.88), across), traits.mark)
    large = traits.plan in ("fly", "dragonfly")
    radius = float(body.head.left.max()) * (0.62 if large else 0.3)
    for middle in (-0.5,) if canvas.side else (-0.75, 0.75):
        fill(canvas, disc(point(body.head, 0.6, middle), radius, 1.2), LARGE_EYE if large else EYE)


def draw_limbs(canvas: Canvas, form: Form, traits: Traits, body: Body, rng: np.random.Generator) -> None:
    """Paint legs and antennae, which the body then covers where they start."""
    colour, deep = darker(traits.body, 0.45), float(body.thorax.right.max())
    hips = np.array([point(body.thorax, along, 0.0) for along in (0.0, 0.45, 0.9)])
    hips[:, 1] += 0.5 * deep
    reach = form.legs * (0.55 + 0.9 * traits.legs)
    paint_legs(canvas, hips, spread=0.5 * deep, length=reach, colour=colour, rng=rng)
    if traits.plan == "grasshopper":
        draw_jumping_legs(canvas, traits, body.thorax, colour)
    club = 0.045 if form.wings == "painted" else 0.05 * max(0.0, traits.border - 0.4)
    length = form.antennae * (0.35 + 1.3 * traits.antennae)
    paint_antennae(canvas, point(body.head, 0.9, 0.0), length=length, club=club, colour=colour, rng=rng)


def draw_jumping_legs(canvas: Canvas, traits: Traits, thorax: Lobe, colour: Colour) -> None:
    for mirror in (-1.0,) if canvas.side else (1.0, -1.0):
        turn = np.pi - mirror * (0.55 if canvas.side else 0.3)
        thigh = lobe(point(thorax, 0.1, 0.3 * mirror), turn, 0.75 + 0.4 * traits.legs, 0.085, taper=-0.4)
        knee = point(thigh, 0.97, 0.0)
        fill(canvas, strip(thigh), darker(traits.body, 0.75))
        foot = knee + ((-0.15, 0.75) if canvas.side else (0.45, 0.22 * mirror))
        stroke(canvas, np.array([knee, foot]), 0.035, colour)


def draw_caterpillar(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    """Paint a crawling larva: rings along a curve, bristles, a head capsule."""
    rings = 9 + round(5 * traits.thorax)
    along = np.linspace(-1.0, 1.0, rings)
    curve = rng.normal(0.0, 0.22) * np.cos(1.6 * along) + rng.normal(0.0, 0.14) * np.sin(3.0 * along)
    centres = np.stack([along * 0.92, curve], 1)
    radii = (0.24 - 0.11 * traits.slender) * (1.0 - 0.25 * np.abs(along) ** 3)
    every = max(1, 4 - round(3 * traits.mark_count))
    up, out = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    for number, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        for mirror in (-1.0, 1.0):
            bristle = mirror * radius * (1.15 + 0.9 * traits.legs) * up + rng.normal(0.0, 0.04) * out
            stroke(canvas, np.array([centre, centre + bristle]), 0.014, darker(traits.body, 0.4))
        marked = number % every == 0
        banded = marked and traits.marking == "bands"
        fill(canvas, disc(centre, radius), darker(traits.body, 0.6))
        fill(canvas, disc(centre + 0.015 * out, 0.92 * radius), traits.mark if banded else traits.body)
        if marked and traits.marking == "spots":
            for mirror in (-0.5, 0.5):
                spot = disc(centre + mirror * radius * up, radius * (0.12 + 0.25 * traits.mark_size))
                fill(canvas, spot, traits.mark)
    if traits.marking == "stripes":
        for offset in (-0.45, 0.45) if traits.mark_count > 0.5 else (0.0,):
            line = centres + offset * radii[:, None] * up
            stroke(canvas, line, 0.03 + 0.07 * traits.mark_size, traits.mark)
    capsule = darker(traits.mark if traits.border > 0.5 else traits.body, 0.5)
    fill(canvas, disc(centres[-1] + 0.08 * out, 0.13 + 0.07 * traits.head), capsule)
    tip, length = centres[-1] + 0.15 * out, 0.25 * traits.antennae
    paint_antennae(canvas, tip, length=length, club=0.0, colour=EYE, rng=rng)
