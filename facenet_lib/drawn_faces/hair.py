"""Hair and beard on the map of all directions."""

from __future__ import annotations

import numpy as np

from facenet_lib.drawn_faces.direction_map import MAP_SIDE
from facenet_lib.drawn_faces.identity import EDGE_ANGLES, HAIR_STYLES, Identity
from facenet_lib.drawn_faces.mathematics import FloatArray, draw_noise, smoothstep, stroke


def grow_hair(
    identity: Identity, directions: FloatArray, y: FloatArray, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Hair on the map: share 0 to 1, thickness in head units, and brightness of the strands."""
    style = HAIR_STYLES[identity.hair_style]
    parting = identity.hair_part if style.top > 0.03 else 0.0
    azimuth = np.degrees(np.arctan2(directions[0], directions[2]))
    curls = draw_noise(generator, (44, 44), MAP_SIDE).ravel()
    tufts = draw_noise(generator, (90, 26), MAP_SIDE).ravel()
    edge, steepness = _hair_edge(identity, azimuth)
    edge += 0.10 * parting * np.sin(np.radians(azimuth * 1.6)) * (np.abs(azimuth) < 60)
    edge += (0.008 + 0.02 * style.curl) * tufts
    above = (y - edge) / np.sqrt(1.0 + steepness**2)  # about the distance from the edge
    share = smoothstep(-0.015, 0.03, above)

    topness = smoothstep(0.1, 0.75, y)
    thickness = style.side + (style.top - style.side) * topness
    thickness *= identity.hair_volume * np.sqrt(smoothstep(-0.01, 0.22, above))
    thickness *= 1.0 + 0.07 * style.curl * curls
    if abs(parting) > 0.25:  # a shallow valley from the forehead to the crown
        thickness *= 1.0 - 0.45 * topness * stroke(directions[0] - 0.38 * parting, 0.05)
    # Strands: noise that is fine across them and coarse along them.
    place = (azimuth + 180.0) * (512 / 360.0) * (1.0 - 0.3 * style.curl)
    place += 3.0 * style.curl * curls + 1.4 * tufts + 6.0 * parting * y
    strands = np.interp(place, np.arange(512), generator.standard_normal(512)).astype(np.float32)
    thickness += 0.0025 * min(1.0, 12.0 * style.top) * strands
    brightness = np.exp(0.16 * strands + 0.30 * style.curl * curls)
    return share, thickness * share, brightness


def _hair_edge(identity: Identity, azimuth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Height of the hair's lower edge all round, and its slope: 1 rises at 45 degrees."""
    edge = np.array(HAIR_STYLES[identity.hair_style].edge)
    edge[:3] += identity.hairline + identity.temple_recession * np.array([0.0, 0.5, 1.0])
    angle = np.abs(azimuth)
    here, before, after = (
        np.interp(angle + step, EDGE_ANGLES, edge).astype(np.float32) for step in (0, -4, 4)
    )
    return here, (after - before) * 9.0


def grow_beard(identity: Identity, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Density of the beard, 0 to 1, on the map."""
    who = identity
    if who.beard == "none":
        return np.zeros_like(x)
    side = np.abs(x)
    mouth_y = y - who.mouth_height
    over_lip = smoothstep(0.015, 0.04, mouth_y - 0.8 * who.upper_lip) * (
        1.0 - smoothstep(0.10, 0.14, mouth_y + 0.25 * side - 0.8 * who.upper_lip + 0.03)
    )
    moustache = over_lip * (1.0 - smoothstep(1.0, 1.25, side / who.mouth_width))
    under_lip = -1.35 * who.lower_lip
    chin = 1.0 - smoothstep(under_lip - 0.05, under_lip, mouth_y)
    from_chin = np.sqrt((side / (0.95 * who.mouth_width)) ** 2 + ((mouth_y + 0.3) / 0.34) ** 2)
    goatee = chin * (1.0 - smoothstep(0.75, 1.1, from_chin))
    cheek_line = who.mouth_height + 0.02 + 1.1 * np.maximum(side - 0.33, 0.0)
    full = np.maximum((1.0 - smoothstep(-0.04, 0.04, y - cheek_line)) * (side > 0.2), chin)
    full = full * smoothstep(-0.25, 0.0, z)
    if who.beard == "moustache":
        return moustache
    if who.beard == "goatee":
        return np.maximum(goatee, 0.9 * moustache)
    density = np.maximum(full, moustache)
    return 0.45 * density if who.beard == "stubble" else density
