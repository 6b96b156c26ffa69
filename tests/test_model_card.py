import dataclasses
import json
import subprocess
import sys

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.model_card import (
    CARD,
    INTENDED_USE,
    LIMITS,
    ModelCard,
    read_card,
    version_folders,
)

NEEDED = ModelCard("1.0", 128, "float32", {"image_size": 80, "crop_size": 144})
FULL = ModelCard(
    facenet_lib="1.0",
    embedding_size=512,
    dtype="bfloat16",
    preprocessing={
        "image_size": 160,
        "crop_size": None,
        "frame_size": 200,
        "standardization": "per_image",
    },
    max_pixels=25_000_000,
    threshold=1.25,
    threshold_chosen_for="false_accept_rate",
    false_accept_rate=0.001,
    accuracy=0.9865,
    standard_error=0.0021,
    evaluation={"accuracy": 0.9865, "same_pairs": 3000},
    weights={"source": "20180402-114759.pt", "training_set": "VGGFace2"},
)


def stored(folder, text):
    (folder / CARD).parent.mkdir(exist_ok=True)
    (folder / CARD).write_text(text)
    return folder


@pytest.mark.parametrize("card", [NEEDED, FULL])
def test_a_card_is_read_as_it_was_written(tmp_path, card):
    assert read_card(stored(tmp_path, card.to_json())) == card
    assert read_card(str(tmp_path)) == card


def test_the_json_is_readable_without_this_library():
    found = json.loads(FULL.to_json())
    assert list(found) == [field.name for field in dataclasses.fields(ModelCard)]
    assert found["threshold"] == 1.25
    assert found["false_accept_rate"] == 0.001
    assert found["preprocessing"]["standardization"] == "per_image"
    assert found["limits"] == list(LIMITS)
    assert found["intended_use"] == INTENDED_USE
    assert json.loads(NEEDED.to_json())["threshold"] is None


def test_what_an_older_or_a_newer_version_wrote_is_read(tmp_path):
    needed = ("facenet_lib", "embedding_size", "dtype", "preprocessing")
    old = {name: getattr(NEEDED, name) for name in needed}
    assert read_card(stored(tmp_path, json.dumps(old))) == NEEDED
    new = json.loads(FULL.to_json()) | {"quantized": True}
    assert read_card(stored(tmp_path, json.dumps(new))) == FULL


def test_the_page_says_everything():
    page = FULL.to_markdown()
    for told in (
        "512 numbers",
        "bfloat16",
        "up to 25,000,000 pixels",
        "160 x 160 pixels at the centre of the central 200 x 200 pixels",
        "standardized: per_image",
        "training set: VGGFace2",
        "0.9865 +- 0.0021 (standard error",
        "at the threshold that was best on the others",
        "below 1.2500, chosen for a false accept rate of 0.001",
        *LIMITS,
        INTENDED_USE,
    ):
        assert told in page
    assert "resized" not in page


def test_the_page_says_what_is_not_known():
    page = NEEDED.to_markdown()
    assert "cut to 144 x 144 pixels at the centre of the image" in page
    assert "resized to 80 x 80 pixels" in page
    assert "trained on: unknown" in page
    assert "Not measured" in page
    assert "distances and no decisions" in page
    best = dataclasses.replace(NEEDED, threshold=1.0, threshold_chosen_for="accuracy")
    assert "chosen for the best accuracy" in best.to_markdown()
    trained = dataclasses.replace(NEEDED, training={"identities": 240})
    assert "- identities: 240" in trained.to_markdown()


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "7", "[" * 100_000, "\xff"])
def test_what_is_no_card_is_refused(tmp_path, text):
    if text is not None:
        stored(tmp_path, "")
        (tmp_path / CARD).write_bytes(text.encode("latin-1"))
    with pytest.raises(FacenetError, match=r"facenet\.json: expected the card of a model"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("facenet_lib", 1, "expected a version, found 1"),
        ("embedding_size", 0, "expected an integer of at least 1, found 0"),
        ("embedding_size", True, "expected an integer of at least 1, found true"),
        ("dtype", None, "found null"),
        ("preprocessing", {"image_size": -1}, "expected an object with image_size"),
        ("preprocessing", [], "expected an object with image_size"),
        ("max_pixels", 0.5, "found 0.5"),
        ("threshold", -1, "expected a distance from 0 to 4, or null, found -1"),
        ("threshold", float("nan"), "found NaN"),
        ("threshold", 10**400, "found 1000"),
        ("threshold", "1.1", 'found "1.1"'),
        ("threshold_chosen_for", "luck", 'found "luck"'),
        ("threshold_chosen_for", [], "found []"),
        ("false_accept_rate", 2, "expected a number from 0 to 1, or null, found 2"),
        ("accuracy", float("inf"), "found Infinity"),
        ("standard_error", True, "found true"),
        ("evaluation", [1], "expected an object, or null, found [1]"),
        ("training", "VGGFace2", 'found "VGGFace2"'),
        ("weights", 1, "found 1"),
        ("intended_use", {}, "expected a text, found {}"),
        ("limits", "none", "expected a list of texts"),
        ("limits", [1], "expected a list of texts, found [1]"),
    ],
)
def test_a_damaged_field_is_named(tmp_path, name, value, told):
    card = json.loads(FULL.to_json()) | {name: value}
    with pytest.raises(FacenetError) as caught:
        read_card(stored(tmp_path, json.dumps(card)))
    assert f"{name}: " in str(caught.value)
    assert told in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    card = {"facenet_lib": "1.0", "dtype": 3, "preprocessing": {"image_size": 80}}
    with pytest.raises(FacenetError, match="2 problems") as caught:
        read_card(stored(tmp_path, json.dumps(card)))
    assert "embedding_size: missing, expected an integer" in str(caught.value)
    assert "dtype: expected" in str(caught.value)


def test_versions_are_folders_whose_name_is_a_number(tmp_path):
    for name in ("2", "10", "007", "latest", ".export-1", "1.5", "-1", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").touch()
    found = version_folders(str(tmp_path))
    assert list(found.items()) == [
        (2, tmp_path / "2"),
        (7, tmp_path / "007"),
        (10, tmp_path / "10"),
    ]
    assert version_folders(tmp_path / "none") == {}
    assert version_folders(tmp_path / "3") == {}


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def denied(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", denied)
    with pytest.raises(FacenetError, match="cannot be read: Permission denied"):
        version_folders(tmp_path)


def test_cards_need_neither_tensorflow_nor_numpy():
    program = """
        import sys
        sys.modules["tensorflow"] = sys.modules["numpy"] = None  # importing them raises
        import facenet_lib.model_card
    """
    done = subprocess.run([sys.executable, "-c", "if True:" + program], capture_output=True)
    assert done.returncode == 0, done.stderr
