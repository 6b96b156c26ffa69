"""``facenet embed-collection``, and ``facenet enroll`` with what it wrote."""

from __future__ import annotations

import contextlib
import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up_collections import ALIGNMENT, write_collection
from made_up_detectors import save
from made_up_embedders import ColourEmbedder
from pasted_faces import picture_of
from running_commands import one_line
from tiny_networks import tiny

from facenet_lib import collection
from facenet_lib.cli import main, recognition
from facenet_lib.collection import Collection
from facenet_lib.recognition.embedding_shards import open_shards
from facenet_lib.recognition.fingerprint import take_fingerprint
from facenet_lib.recognition.gallery import Gallery

pytest.importorskip("pyarrow", reason="the extra cluster is not installed")

SOURCES = [f"{name}/{number}.png" for name in ("Ann", "Bea") for number in range(3)]
DOUBTFUL = ["--keep-doubtful"]


def facenet(*words):
    return main(list(map(str, words)))


# facenet embed-collection


def test_every_option_arrives_and_the_end_is_told(tmp_path, monkeypatch, capsys):
    given = {}

    def embed_collection(photographs, out, model, make_embedder, make_detector, **options):
        given.update(options, photographs=photographs, model=model, detector=make_detector())
        return Collection(out, 17, 4, 15, 2, 1, ("notes.txt",))

    monkeypatch.setattr(collection, "embed_collection", embed_collection)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    words = ["embed-collection", "album", "out", "--model", "model", "--rule", "all"]
    words += ["--crop", "square", "--size", 80, "--margin", 0.5, "--shard-size", 7, "--workers", 2]
    assert facenet(*words) == 0
    detector = given.pop("detector")
    assert detector.name == "mtcnn"
    assert given == {
        "photographs": Path("album"),
        "model": str(tmp_path / "model"),  # as other processes and machines find it
        "rule": "all",
        "crop": "square",
        "size": 80,
        "margin": 0.5,
        "detection": "longest side 1000",
        "photographs_per_shard": 7,
        "workers": 2,
    }
    said = capsys.readouterr()
    assert said.out == (
        "out: 17 photographs, 4 of them done before; 15 embeddings; 2 photographs without a face, "
        "1 unusable, see unusable.csv\n"
    )
    assert said.err == "facenet: left out 1 other file, such as notes.txt\n"


@pytest.mark.slow
def test_faces_and_embeddings_are_those_of_align_and_embed(tmp_path, monkeypatch):
    """With MTCNN and a network, in two processes."""
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    from facenet_lib.export.saved_model import export_model
    from facenet_lib.models import LoadedNetwork
    from facenet_lib.runs.config import TrainingConfig

    config = TrainingConfig(image_size=75, embedding_size=8, width=0.1, blocks=(1, 1, 1))
    export_model(LoadedNetwork(tiny(), config, {}), tmp_path / "model")
    for number in range(4):
        places = [(20 + 150 * face, 30, 110) for face in range(number)]
        save(tmp_path / "album" / f"{number}.png", picture_of(200, 500, places, seed=10 * number))
    monkeypatch.chdir(tmp_path)
    words = ["embed-collection", "album", "out", "--model", "model", "--rule", "all"]
    assert facenet(*words, "--workers", 2, "--shard-size", 2) == 0
    assert facenet("align", "album", "faces", "--rule", "all") == 0
    with (tmp_path / "faces" / "faces.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["crop"]]
    assert len(rows) >= 5
    assert facenet("embed", "model", *(f"faces/{r['crop']}" for r in rows), "--out", "e.npz") == 0
    found = open_shards("out").faces()
    assert found.paths.tolist() == [row["source"] for row in rows]
    np.testing.assert_allclose(found.boxes[:, 0], [float(row["left"]) for row in rows], rtol=1e-6)
    np.testing.assert_allclose(found.embeddings, np.load("e.npz")["embeddings"], atol=1e-5)


def test_failures_are_one_line(tmp_path, capsys, monkeypatch):
    words = ["embed-collection", tmp_path / "nowhere", tmp_path / "out", "--model", "m"]
    assert facenet(*words) == 1
    assert "expected a folder of photographs" in one_line(capsys.readouterr())
    save(tmp_path / "album" / "a.png", np.zeros((9, 9, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert facenet("embed-collection", tmp_path / "album", tmp_path / "out", "--model", "m") == 1
    assert "pip install 'facenet-lib[cluster]'" in one_line(capsys.readouterr())


# facenet enroll


@pytest.fixture
def model(monkeypatch, tmp_path):
    @contextlib.contextmanager
    def open_embedder(model):
        yield ColourEmbedder(turned="turned" in model)

    monkeypatch.setattr(recognition, "open_embedder", open_embedder)
    monkeypatch.setenv("FACENET_CACHE", str(tmp_path / "cache"))


def shards(folder, model="colours", **changes):
    """Two people's three photographs each, Ann's second under a wrong name."""
    rows = np.eye(2, 48, dtype=np.float32)[[0, 1, 0, 1, 1, 1]]
    rows[:, 2:] = np.random.default_rng(0).normal(0, 0.02, (6, 46))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    fingerprint = take_fingerprint(ColourEmbedder(turned="turned" in model), model)
    write_collection(folder, rows, SOURCES, fingerprint, per_shard=4, **changes)
    return rows


@pytest.mark.usefixtures("model")
def test_a_collection_is_enrolled_with_its_own_model_and_crops(tmp_path, capsys):
    rows, out = shards(tmp_path / "shards"), tmp_path / "people.npz"
    assert facenet("enroll", out, tmp_path / "shards", *DOUBTFUL) == 0
    held = Gallery.load(out)
    assert list(zip(held.names, held.sources, strict=True)) == [(s[:3], s) for s in SOURCES]
    np.testing.assert_array_equal(held.embeddings, rows)
    assert held.fingerprint.model == "colours"
    assert held.alignment == ALIGNMENT
    assert facenet("enroll", out, tmp_path / "shards", *DOUBTFUL) == 0
    assert "6 were there already" in capsys.readouterr().out


@pytest.mark.usefixtures("model")
def test_doubtful_faces_of_a_collection_are_told_but_not_as_blurred(tmp_path, capsys):
    shards(tmp_path / "shards")
    assert facenet("enroll", tmp_path / "people.npz", tmp_path / "shards") == 0
    said = capsys.readouterr().err
    assert "Ann, Ann/1.png: nearer to somebody else" in said
    assert "blurred" not in said and "tiny" not in said


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--crop", "square"], "--crop: not for a collection"),
        (["--aligned", "--detector", "yunet"], "--detector, --aligned: not for a collection"),
        (["--margin", 0], "--margin: not for a collection"),
    ],
)
def test_options_that_a_collection_has_no_use_for_are_refused(tmp_path, capsys, words, told):
    shards(tmp_path / "shards")
    with pytest.raises(SystemExit):
        facenet("enroll", tmp_path / "people.npz", tmp_path / "shards", *words)
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("model")
def test_collections_that_do_not_fit_the_gallery_are_refused(tmp_path, capsys):
    from dataclasses import replace

    out = tmp_path / "people.npz"
    shards(tmp_path / "all", alignment=replace(ALIGNMENT, rule="all"))
    assert facenet("enroll", out, tmp_path / "all") == 1
    assert "expected one face of each photograph, found all" in one_line(capsys.readouterr())
    shards(tmp_path / "shards")
    assert facenet("enroll", out, tmp_path / "shards", *DOUBTFUL) == 0
    capsys.readouterr()
    shards(tmp_path / "turned", model="turned")
    assert facenet("enroll", out, tmp_path / "turned") == 1
    assert "of the model colours, found those of turned" in one_line(capsys.readouterr())
    assert facenet("enroll", out, tmp_path / "turned", "--model", "colours") == 1
    assert "of the model colours, found those of turned" in capsys.readouterr().err
    shards(tmp_path / "wider", alignment=replace(ALIGNMENT, margin=0.5))
    assert facenet("enroll", out, tmp_path / "wider") == 1
    assert "margin: expected 0.0, as GALLERY was made, found 0.5" in one_line(capsys.readouterr())
    face = save(tmp_path / "faces" / "Ann" / "1.png", np.full((9, 9, 3), (255, 0, 9), np.uint8))
    aligned = ["--model", "colours", "--aligned", *DOUBTFUL]
    assert facenet("enroll", tmp_path / "cut.npz", face.parents[1], *aligned) == 0
    capsys.readouterr()
    assert facenet("enroll", tmp_path / "cut.npz", tmp_path / "shards") == 1
    assert "was made of faces that were cut out before" in one_line(capsys.readouterr())
