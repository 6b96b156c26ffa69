"""Control bits: the script adds them up as Python does, and shows the picture of their sum."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from headless_chromium import in_browser
from PIL import Image
from running_scripts import evaluate_script, use_figure

from facenet_lib import explorables
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import Control

BITS = {bit.name: bit.value for bit in Control}
GREYS = {control: np.full((40, 40, 3), (control + 1) / 40) for control in range(32)}


def make(pictures=GREYS, bits=BITS, shown=(0, 8, 14)):
    return explorables.control_bits(pictures, bits, shown)


def test_every_picture_is_in_its_place_of_the_sheet():
    data = make().data
    sheet = Image.open(io.BytesIO(base64.b64decode(data["sheet"].partition(",")[2])))
    side = data["side"]
    for control in GREYS:
        row, column = divmod(control, data["columns"])
        box = (column * side, row * side, (column + 1) * side, (row + 1) * side)
        tile = np.asarray(sheet.crop(box), float)
        assert abs(tile - 255 * (control + 1) / 40).max() < 3  # of JPEG's losses
    assert make().alt.endswith("0, 8, 2 + 4 + 8 = 14.")


@pytest.mark.parametrize(
    ("pictures", "told"),
    [
        ({0: GREYS[0]}, "one for each control from 0 to 31, found 1"),
        (GREYS | {32: GREYS[0]}, "found 33"),
        ({control + 1: grey for control, grey in GREYS.items()}, "found 32 of them"),
        (GREYS | {7: np.zeros((40, 40))}, r"pictures\[7\]: .* \(40, 40, 3\), found float64 of"),
        (GREYS | {7: np.zeros((20, 40, 3))}, r"pictures\[7\]: .* \(40, 40, 3\)"),
        (GREYS | {7: np.zeros((20, 20, 3))}, r"pictures\[7\]: .* \(40, 40, 3\)"),
        ({control: np.zeros((20, 40, 3)) for control in range(32)}, r"pictures\[0\]: .* \(20, 20"),
        ({control: np.zeros((0, 0, 3)) for control in range(32)}, r"pictures\[0\]: .* in \[0, 1\]"),
        (GREYS | {7: np.zeros((40, 40, 3), np.uint8)}, r"pictures\[7\]: expected floating point"),
        (GREYS | {7: GREYS[0] * np.nan}, r"pictures\[7\]: expected numbers in \[0, 1\]"),
        (GREYS | {7: GREYS[0] + 1}, r"pictures\[7\]: expected numbers in \[0, 1\]"),
        (GREYS | {7: -GREYS[0]}, r"pictures\[7\]: expected numbers in \[0, 1\]"),
    ],
)
def test_refuses_pictures_that_are_missing_or_others(pictures, told):
    with pytest.raises(FacenetError, match=told):
        make(pictures)


@pytest.mark.parametrize("values", [(1, 2, 3), (1, 2, 2), (2, 4), (0, 1), ()])
def test_refuses_bits_of_which_a_sum_is_not_one_choice(values):
    bits = {f"BIT_{place}": value for place, value in enumerate(values)}
    pictures = {control: GREYS[control] for control in range(sum(values) + 1)}
    with pytest.raises(FacenetError, match="bits: expected 1, 2, 4 and so on, each once, found"):
        make(pictures, bits, shown=(0,))


@pytest.mark.parametrize(
    ("shown", "told"),
    [((), "shown: expected at least one"), ((0, 32), "from 0 to 31, found 32"), ((0.5,), "shown:")],
)
def test_refuses_sums_that_are_not_there(shown, told):
    with pytest.raises(FacenetError, match=told):
        make(shown=shown)


def test_numpys_integers_are_integers():
    bits = {name: np.int64(value) for name, value in BITS.items()}
    assert make(bits=bits, shown=np.array([0, 8, 14]))._repr_html_() == make()._repr_html_()


@pytest.mark.slow
@in_browser
def test_sums_and_bits_are_pythons(tmp_path):
    values = list(BITS.values())
    expression = """Array.from({ length: 32 }, (_, control) => {
      const switches = switchesOf(control, given);
      return [switches, controlOf(switches, given), writeSum(control, given)];
    })"""
    found = evaluate_script("control_bits", values, expression, tmp_path)
    for control, (switches, back, written) in enumerate(found):
        assert switches == [bit in Control(control) for bit in Control]
        assert back == control
        assert all(eval(part) == control for part in written.split(" = "))


@pytest.mark.slow
@in_browser
def test_buttons_and_slider_switch_bits_together(tmp_path):
    program = """
    const look = () => [
      told(), block.querySelector("input").value, block.querySelector(".picture").ariaLabel,
      block.querySelector(".picture").getAttribute("viewBox"),
      [...block.querySelectorAll("button[aria-pressed=true]")].map((one) => one.textContent),
    ];
    const found = [look()];
    press("RANDOM_ROTATE"); found.push(look());
    press("FIXED"); found.push(look());
    slide(0, 0); found.push(look());
    return found;
    """
    start, more, less, nothing = use_figure(make(), program, tmp_path)
    assert start[1:4] == ["14", "The face as control 14 makes it", "672 112 112 112"]
    assert start[4] == ["2 RANDOM_CROP", "4 RANDOM_FLIP", "8 FIXED_STANDARDIZATION"]
    assert more[0].startswith("1 + 2 + 4 + 8 = 15 = 0b01111: Control.RANDOM_ROTATE | Control.RAND")
    assert less[1] == "7" and "8 FIXED_STANDARDIZATION" not in less[4]
    assert nothing[0] == "0 = 0b00000: Control(0)" and nothing[4] == []
