"""Runs that begin with the weights of another model."""

import json

import keras
import numpy as np
import pytest
from toy_training import (
    CONFIG,
    SIZE,
    StopAfter,
    changed,
    checkpoints,
    contents,
    load_run,
    train,
)

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import Preprocessing
from facenet_lib.models import load_network, network_settings
from facenet_lib.network.inception_resnet import inception_resnet_v1
from facenet_lib.published.model_folder import tf1_variable_names
from facenet_lib.runs.config import END_POINTS, TrainingConfig
from facenet_lib.runs.tables import read_metrics
from facenet_lib.training import fine_tuning
from facenet_lib.training.fine_tuning import freeze

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained

FROZEN = ("conv", "conv.BatchNorm")  # up to the toy network's Mixed_6b


def tuned_from(model, **settings):
    """Another recipe than CONFIG's, on the weights of ``model``."""
    others = {"initial_model": str(model), "seed": 5, "epoch_size": 4, "epochs": 2}
    return changed(**others | settings)


def by_layer(network):
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in network.layers
        for weight in layer.weights
    }


class Beginning(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.weights = by_layer(self.model)


def assert_same_weights(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.fixture(scope="module")
def some_people(faces):
    return dict(list(faces.items())[:3])


@pytest.fixture(scope="module")
def frozen_run(tmp_path_factory, whole_run, some_people):
    out = tmp_path_factory.mktemp("runs") / "frozen"
    config = tuned_from(whole_run, freeze_until="Mixed_6b")
    assert train(config, some_people, out, progress=False).finished
    return out


def test_a_run_begins_with_its_initial_models_weights_and_nothing_else_of_it(
    tmp_path, whole_run, some_people
):
    beginning = Beginning()
    config = tuned_from(whole_run, epoch_size=1, epochs=1)
    train(config, some_people, tmp_path / "run", progress=False, callbacks=[beginning])
    assert_same_weights(beginning.weights, by_layer(load_run(whole_run).network))
    with np.load(checkpoints(tmp_path / "run")[-1]) as archive:
        assert archive["optimizer/0000/iteration"] == 1
        state = json.loads(archive["state"].tobytes())
    assert (state["step"], state["queue"]["position"]) == (1, config.batch_size)
    # A fresh head answers evenly; that of the initial model would know these people.
    assert read_metrics(tmp_path / "run" / "metrics.csv")["cross_entropy"][0] > 0.5


def test_frozen_layers_stay_to_the_last_bit_and_the_others_learn(whole_run, frozen_run):
    before, after = (by_layer(load_run(run).network) for run in (whole_run, frozen_run))
    for name in before:
        if name.split("/")[0] in FROZEN:
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
        else:
            assert not np.array_equal(after[name], before[name]), name
    assert {
        "conv.BatchNorm/moving_mean",
        "conv/kernel",
        "dense.BatchNorm/moving_mean",
    } <= before.keys()


def test_there_is_no_weight_decay_on_what_is_frozen(tmp_path, whole_run, frozen_run, some_people):
    train(tuned_from(whole_run, epoch_size=1, epochs=1), some_people, tmp_path, progress=False)
    free, frozen = (read_metrics(run / "metrics.csv") for run in (tmp_path, frozen_run))
    kernel = by_layer(load_run(whole_run).network)["conv/kernel"]
    assert free["weight_decay"][0] - frozen["weight_decay"][0] == pytest.approx(
        np.square(kernel).sum() / 2, rel=1e-3
    )


@pytest.mark.parametrize("stops", [(2,), (1, 4)])
def test_a_stopped_fine_tuning_needs_its_initial_model_no_more(
    tmp_path, whole_run, frozen_run, some_people, stops, monkeypatch
):
    config = tuned_from(whole_run, freeze_until="Mixed_6b")
    out = tmp_path / "run"
    for stop in stops:
        train(config, some_people, out, progress=False, callbacks=[StopAfter(stop)])

        def gone(model):
            raise AssertionError("the initial model was read again")

        monkeypatch.setattr(fine_tuning, "load_network", gone)
    assert train(config, some_people, out, progress=False).finished
    with np.load(checkpoints(out)[-1]) as one, np.load(checkpoints(frozen_run)[-1]) as two:
        assert set(one.files) == set(two.files)
        for name in set(one.files) - {"state"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_fine_tuning_killed_before_its_first_checkpoint_begins_again_with_the_model(
    tmp_path, whole_run, frozen_run, some_people
):
    config = tuned_from(whole_run, freeze_until="Mixed_6b")
    out = tmp_path / "run"
    train(config, some_people, out, progress=False, callbacks=[StopAfter(2)])
    for path in checkpoints(out):
        path.unlink()
    train(config, some_people, out, progress=False)
    assert_same_weights(by_layer(load_run(out).network), by_layer(load_run(frozen_run).network))


def test_all_that_disagrees_with_the_initial_model_is_told(tmp_path, whole_run, some_people):
    config = tuned_from(
        whole_run, embedding_size=8, width=0.2, blocks=(0, 1, 0), standardization="per_image"
    )
    with pytest.raises(FacenetError) as caught:
        train(config, some_people, tmp_path / "run", progress=False)
    message = str(caught.value)
    assert message.startswith(f"{whole_run}: cannot be the beginning of this run: 4 problems")
    for told in (
        "embedding_size is 16 in the initial model, but 8 in the settings",
        "width is 0.1 in the initial model, but 0.2 in",
        "blocks is [0, 0, 0] in the initial model, but [0, 1, 0] in",
        "standardization is 'fixed' in the initial model, but 'per_image' in",
    ):
        assert told in message
    assert not (tmp_path / "run").exists()


def test_where_the_face_is_may_differ_from_the_initial_model(tmp_path, whole_run, some_people):
    config = tuned_from(whole_run, crop_size=60, frame_size=70, epoch_size=1, epochs=1)
    train(config, some_people, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").preprocessing == Preprocessing(SIZE, 60, 70)


def test_another_initial_model_is_another_run(tmp_path, whole_run, frozen_run, some_people):
    before = contents(frozen_run)
    for config, told in (
        (tuned_from(frozen_run, freeze_until="Mixed_6b"), "initial_model was"),
        (tuned_from(whole_run), "freeze_until was 'Mixed_6b' when the run began, now ''"),
    ):
        with pytest.raises(FacenetError, match=f"holds another run.*{told}"):
            train(config, some_people, frozen_run, progress=False)
    assert contents(frozen_run) == before


def test_an_initial_model_in_another_spelling_is_the_same(whole_run, frozen_run, some_people):
    before = contents(frozen_run)
    for spelled in (f"{whole_run}/", f"{whole_run.parent}/./{whole_run.name}"):
        config = tuned_from(spelled, freeze_until="Mixed_6b")
        assert train(config, some_people, frozen_run, progress=False).finished
    assert contents(frozen_run) == before


@pytest.mark.parametrize("content", [None, "nothing", "a file", "saved_model.pb"])
def test_what_holds_no_network_begins_no_run(tmp_path, some_people, content):
    model = tmp_path / "model"
    if content == "a file":
        model.touch()
    elif content != "nothing":
        model.mkdir()
        if content:
            (model / content).touch()
    told = f"model: expected the folder of a run .* found {content or 'an empty folder'}"
    for attempt in (
        lambda: train(tuned_from(model), some_people, tmp_path / "run", progress=False),
        lambda: network_settings(model),
        lambda: load_network(model),
    ):
        with pytest.raises(FacenetError, match=told) as caught:
            attempt()
        said = "facenet import-weights makes one of a published file"
        assert str(caught.value).endswith(f"a file; {said}") == (content == "a file")
    assert not (tmp_path / "run").exists()


def test_the_settings_of_a_run_are_enough_to_begin_with_it(whole_run, frozen_run):
    for run in (whole_run, frozen_run):
        settings = network_settings(run)
        assert "initial_model" not in settings
        config = TrainingConfig(**settings, initial_model=run)
        for name in ("image_size", "standardization", "embedding_size", "width", "blocks"):
            assert getattr(config, name) == getattr(CONFIG, name)
        assert config.epochs == TrainingConfig().epochs


def test_imported_weights_begin_a_run_as_a_runs_do(tmp_path, whole_run, some_people):
    """The imported network is the whole one; the small one stands for it.

    Its settings are those of the card alone, which takes no network.
    """
    (tmp_path / "model").mkdir()
    card = {
        "source": "x.pt",
        "weights_format": "facenet_pytorch",
        "sha256": "0" * 64,
        "embedding_size": 16,
        "image_size": SIZE,
        "standardization": "per_image",
        "training_set": "VGGFace2",
    }
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    (tmp_path / "model" / "weights.npz").touch()
    assert network_settings(tmp_path / "model") == {
        "image_size": SIZE,
        "standardization": "per_image",
        "embedding_size": 16,
        "width": 1.0,
        "blocks": [5, 10, 5],
        "crop_size": 0,
        "frame_size": 0,
    }
    network = load_run(whole_run).network
    variables = tf1_variable_names(network)
    values = {name: variable.numpy() for name, variable in variables.items()}
    np.savez(tmp_path / "model" / "weights.npz", **values)
    whole = {"width": 1.0, "blocks": (5, 10, 5), "standardization": "per_image"}
    config = tuned_from(tmp_path / "model", epoch_size=1, epochs=1, **whole)
    beginning = Beginning()
    train(config, some_people, tmp_path / "run", progress=False, callbacks=[beginning])
    assert_same_weights(beginning.weights, by_layer(network))
    with pytest.raises(FacenetError, match="3 problems"):
        train(tuned_from(tmp_path / "model"), some_people, tmp_path / "other", progress=False)


@pytest.fixture(scope="module")
def real_network():
    return inception_resnet_v1(SIZE, 16, dropout_rate=0.0, width=0.1, blocks=(1, 1, 1))


@pytest.mark.parametrize("end_point", END_POINTS)
def test_what_leads_to_an_end_point_is_frozen(real_network, end_point):
    real_network.trainable = True
    freeze(real_network, end_point)
    leading = keras.Model(real_network.input, real_network.get_layer(end_point).output)
    names = {layer.name for layer in leading.layers}
    for layer in real_network.layers:
        assert layer.trainable == (layer.name not in names), layer.name
    assert not leading.trainable_variables
    assert real_network.trainable_variables


def test_frozen_layers_normalize_as_in_inference(real_network):
    real_network.trainable = True
    outputs = [real_network.get_layer("Mixed_6b").output, real_network.output]
    both = keras.Model(real_network.input, outputs)
    freeze(real_network, "Mixed_6b")
    images = np.random.default_rng(0).normal(size=(4, SIZE, SIZE, 3)).astype(np.float32)
    before = by_layer(real_network)
    inference, trained = both(images, training=False), both(images, training=True)
    np.testing.assert_allclose(trained[0], inference[0], atol=1e-5)
    assert np.abs(trained[1] - inference[1]).max() > 0.1
    after = by_layer(real_network)
    moved = {name.split("/")[0] for name in before if not np.array_equal(before[name], after[name])}
    leading = keras.Model(real_network.input, outputs[0])
    assert moved
    assert not moved & {layer.name for layer in leading.layers}
