"""Embeddings that are kept: computed once, whatever stops the call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from made_up_embedders import EMBEDDING_SIZE, ColourEmbedder, embed_picture

from facenet_lib.errors import FacenetError
from facenet_lib.recognition import embedding_cache
from facenet_lib.recognition.embedding_cache import embed_resumably
from facenet_lib.recognition.fingerprint import Fingerprint, take_fingerprint


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(embedding_cache, "_BATCH", 2)


def embed(embedder: ColourEmbedder, paths: list[Path], cache: Path):
    return embed_resumably(embedder, fingerprint(embedder), paths, cache, progress=False)


def fingerprint(embedder: ColourEmbedder) -> Fingerprint:
    return take_fingerprint(ColourEmbedder(embedder.turned), "colours")


@pytest.mark.parametrize("stop", range(0, 9, 2))
def test_a_call_that_was_stopped_goes_on(pictures, tmp_path, small_batches, stop):
    cache = tmp_path / "embeddings.npz"
    stopped, again = ColourEmbedder(fails_after=stop), ColourEmbedder()
    with pytest.raises(KeyboardInterrupt):
        embed(stopped, pictures, cache)
    found = embed(again, pictures, cache)
    assert np.array_equal(found, [embed_picture(path) for path in pictures])
    assert stopped.embedded + again.embedded == [path.name for path in pictures]


def test_what_changed_is_embedded_again(pictures, tmp_path):
    cache, embedder = tmp_path / "embeddings.npz", ColourEmbedder()
    embed(embedder, pictures, cache)
    PIL.Image.new("RGB", (9, 9), "red").save(pictures[3])
    found = embed(embedder, pictures[2:5], cache)
    assert embedder.embedded[9:] == ["3.png"]
    assert np.array_equal(found, [embed_picture(path) for path in pictures[2:5]])


def test_another_model_takes_nothing_over(pictures, tmp_path):
    cache = tmp_path / "embeddings.npz"
    embed(ColourEmbedder(), pictures, cache)
    turned = ColourEmbedder(turned=True)
    assert np.array_equal(
        embed(turned, pictures, cache), [embed_picture(path, turned=True) for path in pictures]
    )
    assert len(turned.embedded) == 9


def test_a_damaged_file_is_computed_anew(pictures, tmp_path):
    cache = tmp_path / "embeddings.npz"
    cache.write_bytes(b"PK\x03\x04 no archive")
    assert embed(ColourEmbedder(), pictures, cache).shape == (9, EMBEDDING_SIZE)


def test_a_damaged_image_is_named_and_the_others_are_kept(pictures, tmp_path, small_batches):
    pictures[5].write_bytes(b"no image")
    cache, embedder = tmp_path / "embeddings.npz", ColourEmbedder()
    with pytest.raises(FacenetError, match=r"5\.png"):
        embed(embedder, pictures, cache)
    del pictures[5]
    embed(embedder, pictures, cache)
    assert embedder.embedded.count("0.png") == 1
    with pytest.raises(FacenetError, match=r"nowhere\.png: cannot be read"):
        embed(embedder, [tmp_path / "nowhere.png"], cache)
