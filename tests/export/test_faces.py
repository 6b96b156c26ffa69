"""Models that were exported with alignment: photographs in, embeddings of their faces out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pasted_faces import picture_of
from PIL import ExifTags, Image
from toy_training import CONFIG, draw_people, load_run, train

from facenet_lib.alignment import GraphAlignment, crop_face, read_photograph
from facenet_lib.alignment.mtcnn import MtcnnDetector
from facenet_lib.cli import main
from facenet_lib.embedding import PhotographFaces
from facenet_lib.errors import FacenetError
from facenet_lib.export.saved_model import export_model
from facenet_lib.model_card import CARD_FOR_PEOPLE, read_card
from facenet_lib.models import load_embedder
from facenet_lib.serving.remote_embedder import RemoteEmbedder
from facenet_lib.serving.server import LocalServer

pytestmark = pytest.mark.slow  # each test needs an exported model

ALIGNMENT = GraphAlignment("square", 0.3, size=110, most_faces=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = draw_people(tmp_path_factory.mktemp("faces"), "Known")
    out = tmp_path_factory.mktemp("runs") / "run"
    train(CONFIG, faces, out, progress=False)
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, run: Path) -> Path:
    out = tmp_path_factory.mktemp("models") / "album"
    return export_model(
        load_run(run), out, alignment=ALIGNMENT, threshold=0.3, false_accept_rate=0.1
    )


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Five people, of whom four are wanted; one who lies; nobody; and a damaged file."""
    root = tmp_path_factory.mktemp("album")
    paths = {name: root / f"{name}.jpg" for name in ("crowd", "damaged", "lying", "nobody")}
    places = [(x, y, 90) for x in (10, 160, 310) for y in (5, 200)]
    Image.fromarray(picture_of(400, 500, places, seed=9)).save(paths["crowd"], quality=95)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = Image.fromarray(np.rot90(picture_of(250, 250, [(40, 40, 170)])))
    lying.save(paths["lying"], exif=exif, quality=95)
    Image.new("RGB", (90, 60), "grey").save(paths["nobody"])
    paths["damaged"].write_bytes(paths["crowd"].read_bytes()[:3000])
    return paths


@pytest.fixture(scope="module")
def expected(exported: Path, album: Mapping[str, Path], tmp_path_factory) -> PhotographFaces:
    """What aligning and embedding give, one photograph after the other."""
    detector, crops = MtcnnDetector(), tmp_path_factory.mktemp("crops")
    paths, faces = [], []
    for name in ("crowd", "lying"):
        image = read_photograph(album[name])
        for number, face in enumerate(detector.detect([image])[0][: ALIGNMENT.most_faces]):
            crop = crop_face(image, face, "square", 110, 0.3)
            Image.fromarray(crop).save(crops / f"{name}{number}.png")
            paths.append(str(album[name]))
            faces.append((face, crops / f"{name}{number}.png"))
    return PhotographFaces(
        np.array(paths),
        np.array([face.box for face, _ in faces]),
        np.array([face.landmarks for face, _ in faces]),
        np.array([face.score for face, _ in faces]),
        load_embedder(exported).embed([path for _, path in faces]),
        (str(album["damaged"]),),
    )


def assert_same(found: PhotographFaces, expected: PhotographFaces) -> None:
    assert found.paths.tolist() == expected.paths.tolist()
    assert found.unusable == expected.unusable
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-4)


def test_faces_are_those_of_aligning_and_embedding(exported, album, expected) -> None:
    assert len(expected.paths) == 5
    found = load_embedder(exported).embed_faces(list(album.values()), progress=False)
    assert_same(found, expected)
    lengths = np.linalg.norm(found.embeddings, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_a_server_answers_the_same_over_both_protocols(exported, album, expected) -> None:
    with LocalServer({"facenet": exported.parent}) as server:
        for where in (server.rest_url, server.grpc_address):
            with RemoteEmbedder(where) as remote:
                assert_same(remote.embed_faces(list(album.values()), progress=False), expected)


def test_embed_writes_a_row_for_each_face(exported, album, expected, tmp_path, capsys) -> None:
    out, paths = tmp_path / "faces.npz", [str(path) for path in album.values()]
    assert main(["embed", str(exported), *paths, "--faces", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "4 photographs, 1 of them without a face",
        f"{out}: 5 embeddings of 16 numbers",
    ]
    assert f"left out 1 of 4 photographs, which cannot be decoded, such as {paths[1]}" in said.err
    with np.load(out) as arrays:
        assert_same(PhotographFaces(**arrays, unusable=expected.unusable), expected)


def test_the_card_says_how_faces_are_cut_out(exported: Path) -> None:
    alignment = read_card(exported).alignment
    assert alignment is not None
    assert alignment["detector"] == MtcnnDetector.version
    assert {name: alignment[name] for name in ("crop", "margin", "size", "most_faces")} == {
        "crop": "square",
        "margin": 0.3,
        "size": 110,
        "most_faces": 4,
    }
    assert "crop square of 110 pixels with margin 0.3" in (exported / CARD_FOR_PEOPLE).read_text()


def test_a_model_without_alignment_says_so(run: Path, tmp_path: Path, album) -> None:
    plain = export_model(load_run(run), tmp_path / "plain")
    with pytest.raises(FacenetError, match="takes crops and not photographs"):
        load_embedder(plain).embed_faces([album["crowd"]], progress=False)
    with (
        LocalServer({"facenet": plain.parent}) as server,
        RemoteEmbedder(server.rest_url) as remote,
        pytest.raises(FacenetError, match="faces"),
    ):
        remote.embed_faces([album["crowd"]], progress=False)


def test_the_report_tells_how_much_a_model_minds(exported, album, tmp_path, capsys) -> None:
    picture = tmp_path / "report.png"
    words = ["--crop", "square", "--margin", "0.3", "--size", "110", "--picture", str(picture)]
    folder = album["crowd"].parent
    assert main(["align-report", str(exported), str(folder), *words]) == 0
    said = capsys.readouterr()
    heading, *rows, summary, written = said.out.splitlines()
    assert " ".join(heading.split()) == "change how much median 9th decile not the same"
    assert len(rows) == 15 and rows[-1].startswith("colours      blue, green, red")
    assert summary == "2 faces; squared distances of embeddings; threshold 0.300"
    assert written == str(picture)
    assert "left out 1 photograph without a face, such as nobody.jpg" in said.err
    assert f"left out 1 photograph that cannot be used, such as {album['damaged']}" in said.err
    with Image.open(io.BytesIO(picture.read_bytes())) as drawn:
        assert drawn.width > 300


@pytest.mark.parametrize(
    ("words", "told"), [(["--most", "0"], "--most: expected"), (["--size", "0"], "size: expected")]
)
def test_a_report_of_nothing_is_refused(exported, album, capsys, words, told) -> None:
    assert main(["align-report", str(exported), str(album["crowd"].parent), *words]) == 1
    assert told in capsys.readouterr().err


def test_wrong_usage_is_told(run: Path, tmp_path: Path, capsys) -> None:
    for words, told in (
        (["--crop", "square"], "--crop: only with --with-alignment"),
        (["--most-faces", "3"], "--most-faces: only with --with-alignment"),
        (["--litert", "int8", "--with-alignment"], "--litert: such a file holds neither"),
    ):
        with pytest.raises(SystemExit):
            main(["export", str(run), str(tmp_path / "out"), *words])
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
