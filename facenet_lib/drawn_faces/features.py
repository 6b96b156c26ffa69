"""What moves with the expression: eyes, brows, nostrils and mouth, painted on the head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facenet_lib.drawn_faces.identity import EYE_COLOURS, Identity
from facenet_lib.drawn_faces.light import Light
from facenet_lib.drawn_faces.mathematics import (
    FloatArray,
    IndexArray,
    blend,
    blend_at,
    bump,
    put_at,
    rotation_matrix,
    smoothstep,
    stroke,
    to_linear,
)
from facenet_lib.drawn_faces.nuisance import Nuisance
from facenet_lib.drawn_faces.skin import skin_colour


@dataclass(frozen=True)
class Face:
    """The samples of a head while its features are painted: the arrays are changed in place.

    Attributes:
        identity: who it is.
        nuisance: what the picture is like.
        light: seen from the head.
        sample: width of a sample, head units.
        front: (m,) indices of the samples that may show a feature of the face.
        x: (m,) their horizontal place on the smooth head.
        y: (m,) their vertical place there, after an open mouth moved the chin.
        albedo: (3, n) linear.
        normal: (3, n).
        openness: (n,).
        gloss: (n,).
    """

    identity: Identity
    nuisance: Nuisance
    light: Light
    sample: float
    front: IndexArray
    x: FloatArray
    y: FloatArray
    albedo: FloatArray
    normal: FloatArray
    openness: FloatArray
    gloss: FloatArray

    def window(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Samples near (x, y) and their place relative to it."""
        across, up = self.x - np.float32(x), self.y - np.float32(y)
        near = np.flatnonzero((np.abs(across) < half_width) & (np.abs(up) < half_height))
        return self.front[near], across[near], up[near]

    def cover(self, spot: IndexArray, colour: FloatArray, opacity: FloatArray) -> None:
        """Paint ``colour`` (3,) or (3, n) over the albedo of samples."""
        blend_at(self.albedo, spot, colour, opacity)

    def darken(self, spot: IndexArray, share: FloatArray) -> None:
        """Leave a share of the albedo of samples."""
        put_at(self.albedo, spot, self.albedo.take(spot, axis=1) * share)

    def edge(self, distance: FloatArray, softness: float = 1.0) -> FloatArray:
        """Coverage of what begins where ``distance`` (head units) turns positive."""
        return np.clip(distance / np.float32(self.sample * 2.0 * softness) + 0.5, 0.0, 1.0)


def paint_features(
    face: Face, hair: FloatArray, hair_colour: FloatArray
) -> list[tuple[IndexArray, FloatArray]]:
    """Paint all features; return where and how strongly the lamp glints in either eye.

    ``hair`` is the share of hair, (n,), and ``hair_colour`` its linear albedo, (3,).
    """
    uncovered = face.albedo.copy()
    _paint_nostrils(face)
    _paint_mouth(face)
    glints = [_paint_eye(face, side) for side in (-1.0, 1.0)]
    # What hair covers, it covers.
    blend(face.albedo, uncovered, np.clip(hair * 1.5 - 0.5, 0.0, 1.0))
    for side in (-1.0, 1.0):
        _paint_brow(face, side, hair_colour)
    return glints


def _paint_eye(face: Face, side: float) -> tuple[IndexArray, FloatArray]:
    """Paint an eye; return where and how strongly the lamp glints in it."""
    who, how = face.identity, face.nuisance
    spot, across, up = face.window(side * who.eye_spacing, who.eye_height, 0.22, 0.19)
    tilt = math.radians(who.eye_tilt)
    outward = across * np.float32(side)
    along = outward * math.cos(tilt) + up * math.sin(tilt)
    above = up * math.cos(tilt) - outward * math.sin(tilt)
    u = along / who.eye_width
    inside = np.maximum(1.0 - u * u, 0.0)
    # A smile lifts the lower lid, surprise the upper one; to close, the upper comes down.
    squeeze = 0.3 * max(how.smile, 0.0)
    lowest = 0.62 * who.eye_opening
    lower = -lowest * (1.0 - squeeze) * inside * (1.0 + 0.18 * u)
    raised = who.eye_opening * (1.0 + 0.25 * max(how.brow_raise, 0.0))
    dome = inside**0.7 * (1.0 - 0.16 * u)
    upper = lower + (raised + lowest * (1.0 - squeeze)) * (1.0 - how.eye_closing) * dome

    colour = _eyeball_colour(face, across, up, u)
    colour *= 1.0 - 0.6 * smoothstep(0.05, 0.0, upper - above)  # in the upper lid's shadow
    open_share = np.minimum(face.edge(upper - above), face.edge(above - lower)) * (inside > 0)
    face.cover(spot, colour, open_share)
    lashes = stroke(above - upper - 0.006, 0.011) * smoothstep(1.12, 0.9, np.abs(u))
    face.cover(spot, _DARK_LINE, 0.92 * lashes)
    rim = stroke(above - lower + 0.005, 0.009) * smoothstep(1.1, 0.7, np.abs(u))
    face.cover(spot, _LID_RIM, 0.38 * rim)
    relaxed = lower + (who.eye_opening + lowest) * dome
    fold = np.maximum(upper, 0.7 * relaxed + 0.3 * upper) + 0.024 + 0.012 * who.lid_crease
    crease = stroke(above - fold, 0.010) * smoothstep(1.25, 0.8, np.abs(u))
    face.darken(spot, 1.0 - 0.55 * who.lid_crease * crease)

    ball = np.stack([across, up, np.full_like(up, _EYEBALL_RADIUS)]) / _EYEBALL_RADIUS
    ball /= np.sqrt((ball**2).sum(axis=0))
    blend_at(face.normal, spot, ball, open_share)
    face.openness[spot] = np.maximum(face.openness[spot], 0.85 * open_share)
    half = face.light.direction + face.light.view
    glint_at = 0.075 * np.clip(half / np.sqrt((half**2).sum()), -0.5, 0.5)
    distance = np.sqrt((across - glint_at[0]) ** 2 + (up - glint_at[1]) ** 2)
    return spot, 0.75 * face.edge(0.018 - distance) * open_share


def _eyeball_colour(face: Face, across: FloatArray, up: FloatArray, u: FloatArray) -> FloatArray:
    """(3, n) white, iris and pupil. The eyes look at the viewer, give or take the gaze."""
    how = face.nuisance
    gaze = rotation_matrix(how.gaze_x, how.gaze_y, 0.0)[:, 2]
    turned = rotation_matrix(how.yaw, how.pitch, how.roll).T @ gaze
    iris_x = _EYEBALL_RADIUS * float(np.clip(turned[0], -0.36, 0.36))
    iris_y = _EYEBALL_RADIUS * float(np.clip(turned[1], -0.25, 0.25)) + 0.005
    distance = np.sqrt((across - iris_x) ** 2 + (up - iris_y) ** 2)
    colour = to_linear((208, 202, 196))[:, None] * (1.0 - 0.35 * np.minimum(np.abs(u) ** 3, 1.0))
    # An iris is darker at its rim and lighter around the pupil.
    iris = 0.55 + 0.9 * smoothstep(_IRIS_RADIUS, 0.45 * _IRIS_RADIUS, distance)
    iris *= 1.0 - 0.55 * smoothstep(0.82 * _IRIS_RADIUS, _IRIS_RADIUS, distance)
    eye_colour = to_linear(EYE_COLOURS[face.identity.eye_colour])[:, None]
    blend(colour, eye_colour * iris, face.edge(_IRIS_RADIUS - distance))
    blend(colour, to_linear((8, 6, 6)), face.edge(0.42 * _IRIS_RADIUS - distance))
    return colour


_IRIS_RADIUS = 0.070

_EYEBALL_RADIUS = 0.135

_DARK_LINE = to_linear((38, 20, 16))

_LID_RIM = to_linear((60, 34, 28))


def _paint_brow(face: Face, side: float, hair: FloatArray) -> None:
    who, how = face.identity, face.nuisance
    raised = who.brow_height + 0.05 * how.brow_raise
    middle = side * (who.eye_spacing + 0.015)
    spot, across, up = face.window(middle, who.eye_height + raised, 0.26, 0.17)
    s = across * np.float32(side) / who.brow_length  # -1 at the inner end, 1 at the outer
    tilt = math.tan(math.radians(who.brow_tilt)) * who.brow_length
    frown = 0.05 * min(how.brow_raise, 0.0) * np.clip(-s, 0.0, 1.0)
    line = who.brow_arch * (0.6 - (s - 0.25) ** 2) + tilt * s + frown
    thickness = who.brow_thickness * np.clip(1.05 - 0.55 * np.clip(s, 0.0, 1.0) ** 2, 0.1, 1.0)
    thickness = thickness * np.sqrt(np.clip((1.0 - np.abs(s)) * 5.0, 0.0, 1.0))
    distance = np.abs(up - line) / np.maximum(thickness, 1e-3)
    strands = 1.0 + 0.16 * np.sin(s * 46.0 + up * 90.0)
    opacity = np.clip(1.6 - 1.3 * distance, 0.0, 1.0) * (np.abs(s) < 1.0) * strands
    colour = hair * np.float32(0.55) + _DARK_LINE * 0.25
    face.cover(spot, colour, np.clip(opacity * who.brow_density, 0.0, 1.0))


def _paint_nostrils(face: Face) -> None:
    who = face.identity
    tip_y = who.eye_height + 0.07 - who.nose_length
    for side in (-1.0, 1.0):
        spot, across, up = face.window(side * who.nose_width * 0.47, tip_y - 0.045, 0.09, 0.06)
        up = up - 0.25 * np.abs(across)
        hole = bump(across, up, who.nose_width * 0.20, 0.016)
        face.cover(spot, to_linear((34, 12, 10)), np.clip(hole * 1.15 - 0.1, 0.0, 0.88))
    # Where the wings meet the cheek there is a crease.
    spot, across, up = face.window(0.0, tip_y, who.nose_width * 1.6, 0.12)
    wing = np.exp(-(((np.abs(across) - who.nose_width * 1.02) / 0.014) ** 2))
    wing *= smoothstep(-0.06, -0.02, up) * smoothstep(0.075, 0.02, up)
    face.darken(spot, 1.0 - 0.34 * wing)


def _paint_mouth(face: Face) -> None:
    who, how = face.identity, face.nuisance
    smile = max(how.smile, 0.0)
    width = measure_mouth(who, how)
    spot, across, up = face.window(0.0, who.mouth_height - 0.08, width * 1.4, 0.34)
    u = across / width  # -1 and 1 at the corners
    inside = np.maximum(1.0 - u * u, 0.0)
    # From here on ``up`` is measured from the lower edge of the upper lip.
    up = up - 0.08 + 0.015 * how.smile - (0.014 + 0.06 * how.smile) * np.minimum(u * u, 1.2)
    gap = (0.15 * how.mouth_open + 0.045 * max(smile - 0.45, 0.0)) * inside**0.7

    bow = 1.0 - who.cupids_bow * stroke(u, 0.14) + 0.12 * stroke(np.abs(u) - 0.3, 0.15)
    thinner = 1.0 - 0.22 * smile
    top = who.upper_lip * thinner * inside**0.75 * bow
    bottom = -gap - who.lower_lip * thinner * inside**0.8
    lips = face.edge(top - up, 1.6) * face.edge(up - bottom, 2.2) * (inside > 0)
    lower = up < -0.5 * gap
    skin = skin_colour(who)
    face.cover(
        spot,
        _lip_colour(who)[:, None] * np.where(lower, np.float32(1.0), np.float32(0.78)),
        0.9 * lips,
    )
    face.gloss[spot] += 0.06 * lips * lower

    within = face.edge(-up) * face.edge(up + gap) * (gap > 0.004)
    face.cover(spot, _mouth_cavity(face, up, gap, u), within)
    outwards = np.array([0.0, 0.0, 1.0], np.float32)
    blend_at(face.normal, spot, outwards, 0.8 * within)
    face.openness[spot] += (0.8 - face.openness[spot]) * within

    closed = stroke(up, 0.0095) * (1.0 - within) * smoothstep(1.06, 0.92, np.abs(u))
    face.cover(spot, skin * np.array([0.22, 0.12, 0.12], np.float32), 0.85 * closed * (gap < 0.03))
    corners = bump(np.abs(u) - 1.0, up / width, 0.07, 0.07)
    # A smile folds the cheeks.
    fold = stroke(np.abs(across) - 1.12 * width - 0.02 + 0.7 * up**2 + 0.25 * up, 0.022)
    fold *= smoothstep(-0.13, 0.0, up) * smoothstep(0.26, 0.1, up)
    face.darken(spot, (1.0 - 0.35 * corners) * (1.0 - 0.30 * smile * fold))


def measure_mouth(identity: Identity, nuisance: Nuisance) -> float:
    """Half the width of a mouth that may smile and be open."""
    wider = 0.24 * max(nuisance.smile, 0.0) - 0.10 * nuisance.mouth_open
    return identity.mouth_width * (1.0 + wider)


def _lip_colour(identity: Identity) -> FloatArray:
    """(3,) linear albedo."""
    plain, red = np.array([[0.90, 0.62, 0.60], [0.95, 0.27, 0.31]], np.float32)
    return skin_colour(identity) * (plain + (red - plain) * np.float32(identity.lip_redness))


def _mouth_cavity(face: Face, up: FloatArray, gap: FloatArray, u: FloatArray) -> FloatArray:
    """(3, n) what an open mouth shows: the dark, the tongue below, teeth under the upper lip."""
    colour = np.repeat(to_linear((62, 18, 18))[:, None], up.size, axis=1)
    blend(colour, to_linear((150, 70, 66)), 0.8 * smoothstep(0.05, 0.0, up + gap) * (gap > 0.05))
    teeth = face.edge(up + np.minimum(0.055, 0.9 * gap)) * smoothstep(0.95, 0.75, np.abs(u))
    blend(colour, to_linear((236, 228, 214)) * 0.85, teeth)
    return colour * (1.0 - 0.5 * smoothstep(0.012, 0.0, -up))
