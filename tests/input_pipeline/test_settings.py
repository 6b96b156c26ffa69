"""Sizes, standardization and control bits; what they do is tested where they are used."""

from __future__ import annotations

import dataclasses

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import Control, Preprocessing


def test_a_window_is_the_crop_or_else_the_image() -> None:
    assert Preprocessing(80).window_size == 80
    assert Preprocessing(80, crop_size=112).window_size == 112
    whole = Preprocessing(80, crop_size=112, frame_size=120, standardization="per_image")
    assert dataclasses.astuple(whole.window_alone) == (112, None, 120, "fixed")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(FacenetError, match=r"(?s)2 problems.*image_size.*standardization"):
        Preprocessing(0, standardization="none")
    with pytest.raises(FacenetError, match="a window of 100 pixels in a frame_size of 90"):
        Preprocessing(80, crop_size=100, frame_size=90)


def test_the_control_of_inference_is_the_standardization() -> None:
    assert Preprocessing().control == Control.FIXED_STANDARDIZATION == 8
    assert Preprocessing(standardization="per_image").control == Control(0)
