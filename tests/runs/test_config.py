import dataclasses
import json
from pathlib import Path

import pytest

from facenet_lib.errors import FacenetError
from facenet_lib.runs.config import (
    END_OF_TRAINING,
    END_POINTS,
    TrainingConfig,
    config_from_dict,
    read_config,
    read_learning_rates,
    read_settings,
    recipe_names,
    rename_old_settings,
)

FLOATS = [field.name for field in dataclasses.fields(TrainingConfig) if field.type == "float"]
INTS = [field.name for field in dataclasses.fields(TrainingConfig) if field.type == "int"]
BOOLS = [field.name for field in dataclasses.fields(TrainingConfig) if field.type == "bool"]


def written(tmp_path, text, name="run.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_recipe_is_a_configuration():
    assert "lfw_view1" in recipe_names()
    for name in recipe_names():
        assert isinstance(read_config(name), TrainingConfig)


def test_changes_take_the_place_of_the_files_settings():
    assert read_config("lfw_view1", epochs=1).epochs == 1
    assert read_config("lfw_view1").epochs != 1


def test_a_file_beside_a_recipe_of_that_name_is_not_taken_for_it(tmp_path):
    path = written(tmp_path, "epochs: 3\n", "lfw_view1.yaml")
    assert read_config(path).epochs == 3
    with pytest.raises(FacenetError, match="expected a YAML file or a recipe"):
        read_config(tmp_path / "lfw_view1")  # without .yaml: no such file


def test_a_file_that_a_recipe_hides_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drawn_faces").mkdir()  # as draw-faces makes it: no file of settings
    assert read_config("drawn_faces").epochs > 3
    assert capsys.readouterr().err == ""
    written(tmp_path, "epochs: 3\n", "lfw_view1")
    assert read_config("./lfw_view1").epochs == read_config(Path("lfw_view1")).epochs == 3
    assert capsys.readouterr().err == ""
    assert read_config("lfw_view1").epochs > 3
    told = "lfw_view1: taken for the recipe of that name; what is here is named ./lfw_view1\n"
    assert capsys.readouterr().err == told


def test_what_is_neither_file_nor_recipe_is_refused_with_the_recipes():
    with pytest.raises(FacenetError, match=r"lfw_view2: expected .* lfw_view1"):
        read_config("lfw_view2")


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("spelling", ["2e-1", "2.0e-1", "0.2", "2E-1", "+2.e-1"])
def test_numbers_may_be_spelled_as_python_spells_them(tmp_path, name, spelling):
    # YAML 1.1 takes 2e-1 for a word. (The order of a norm is at least 1, the others below.)
    text = spelling.replace("0.2", "20.2").replace("2", "12", 1)
    text = text if name == "prelogits_norm_p" else spelling
    needed = {"softmax_margin": "softmax_scale: 1.0", "filter_percentile": "filter_distances: a"}
    config = read_config(written(tmp_path, f"{name}: {text}\n{needed.get(name, '')}\n"))
    assert getattr(config, name) == float(text)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("wrong", ["true", "'0.5'", "half", ".nan", ".inf", "[0.5]", "null"])
def test_floats_of_another_type_are_refused(tmp_path, name, wrong):
    with pytest.raises(FacenetError, match=f"{name}: expected a number, found"):
        read_config(written(tmp_path, f"{name}: {wrong}\n"))


@pytest.mark.parametrize("name", INTS)
@pytest.mark.parametrize("wrong", ["true", "1.0", "1e2", "'1'", "null"])
def test_whole_numbers_of_another_type_are_refused(tmp_path, name, wrong):
    with pytest.raises(FacenetError, match=f"{name}: expected a whole number, found"):
        read_config(written(tmp_path, f"{name}: {wrong}\n"))


@pytest.mark.parametrize("name", BOOLS)
@pytest.mark.parametrize("wrong", ["1", "0", "'true'", "null"])
def test_switches_of_another_type_are_refused(tmp_path, name, wrong):
    with pytest.raises(FacenetError, match=f"{name}: expected true or false, found"):
        read_config(written(tmp_path, f"{name}: {wrong}\n"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"image_size": 0}, "image_size: expected at least 1, found 0"),
        ({"batch_size": 1}, "batch_size: expected at least 2, found 1"),
        ({"dropout_rate": 1.0}, "dropout_rate: expected at least 0 and below 1.0, found 1.0"),
        ({"weight_decay": -1e-9}, "weight_decay: expected at least 0, found -1e-09"),
        ({"seed": 2**32}, "seed: expected at least 0 and below 4294967296"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"blocks": [1, 2]}, "blocks: expected three counts"),
        ({"blocks": [1, 2, -1]}, "blocks: expected three counts"),
        ({"blocks": [1, 2, True]}, "blocks: expected three counts"),
        ({"blocks": 3}, "blocks: expected three counts"),
        ({"standardization": "none"}, "standardization: expected fixed or per_image, found 'none'"),
        ({"damaged_images": "ignore"}, "damaged_images: expected raise or skip, found 'ignore'"),
        ({"initial_model": 3}, "initial_model: expected a word, found 3"),
        ({"freeze_until": "Mixed_6b"}, "freeze_until: expected an initial_model"),
        ({"freeze_until": "Mixed_9z", "initial_model": "m"}, f"expected {' or '.join(END_POINTS)}"),
        ({"freeze_until": 6, "initial_model": "m"}, "freeze_until: expected a word, found 6"),
        ({"crop_size": 100, "frame_size": 90}, "frame_size: expected at least 100"),
        ({"frame_size": 90}, "frame_size: expected at least 160"),
        ({"learning_rates": {1: 0.1}}, "learning_rates: expected a positive rate for epoch 0"),
        ({"learning_rates": {0: -1}}, "learning_rates: expected a positive rate for epoch 0"),
        ({"learning_rates": {}}, "learning_rates: expected a positive rate for epoch 0"),
        ({"learning_rates": {0: 0.0}}, "learning_rates: expected epoch: positive rate or -1"),
        ({"learning_rates": {0: 0.1, 1.5: 0.01}}, "learning_rates: expected epoch"),
        ({"learning_rates": {0: 0.1, "1": 0.01, 1: 0.02}}, "learning_rates: expected epoch"),
        ({"learning_rates": {0: True}}, "learning_rates: expected epoch"),
        ({"learning_rates": {0: float("nan")}}, "learning_rates: expected epoch"),
        ({"learning_rates": 0.1}, "learning_rates: expected epoch"),
        ({"loss": "arcface"}, "loss: expected softmax or triplet, found 'arcface'"),
        ({"optimizer": "adam"}, "expected ADAGRAD or ADADELTA or ADAM or RMSPROP or MOM"),
        ({"ema_decay": 1.0}, "ema_decay: expected at least 0 and below 1.0"),
        ({"softmax_margin": 0.2}, "softmax_margin: expected a softmax_scale"),
        ({"sampled_identities": -1}, "sampled_identities: expected at least 0"),
        ({"triplet_margin": 0.0}, "triplet_margin: expected at least 1e-06"),
        ({"triplet_selection": "all"}, "expected margin_violating or semi_hard or batch_hard"),
        ({"images_per_person": 1}, "images_per_person: expected at least 2, found 1"),
        ({"loss": "triplet", "batch_size": 90}, "found 90 for 4 images each"),
        ({"loss": "triplet", "batch_size": 4}, "for at least 2 people, found 4"),
        (
            {"loss": "triplet", "batch_size": 8, "validation_part": 0.1},
            "validation_by: expected identities, because a triplet run has no classifier",
        ),
        ({"validation_part": 1.0}, "validation_part: expected at least 0 and below 1.0"),
        ({"validation_by": "folds"}, "validation_by: expected images or identities"),
        ({"evaluate_metric": "angle"}, "evaluate_metric: expected sqeuclidean or angular"),
        ({"filter_percentile": 90.0}, "expected both or neither, found 90 and ''"),
        ({"filter_distances": "a.csv"}, "expected both or neither, found 0 and 'a.csv'"),
        ({"checkpoint_every": -1}, "checkpoint_every: expected at least 0"),
    ],
)
def test_settings_out_of_their_range_are_refused(settings, told):
    for make in (config_from_dict, lambda found: TrainingConfig(**found)):
        with pytest.raises(FacenetError) as caught:
            make(settings)
        assert told in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path):
    path = written(
        tmp_path, "epoch: 3\nbatch_size: 0\nwidth: wide\nblocks: [1]\nstandardization: none\n"
    )
    with pytest.raises(FacenetError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: 5 problems\n")
    for told in ("unknown setting 'epoch'", "batch_size", "width", "blocks", "standardization"):
        assert told in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words\n",
        "- 1\n- 2\n",
        "epochs: [1\n",
        "epochs: 3\nepochs: 4\n",
        "learning_rates: {0: 0.1, 0: 0.2}\n",
        "epochs: 2001-13-45\n",
        "epochs: !!python/object/apply:os.getcwd []\n",
        "epochs: \x07\n",
    ],
)
def test_what_is_no_yaml_of_settings_is_refused_by_name(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(FacenetError) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_of_other_bytes_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"epochs: 3 # \xff\n")
    with pytest.raises(
        FacenetError, match="expected text in UTF-8, found byte 0xff at position 13 of line 1"
    ):
        read_config(path)
    with pytest.raises(FacenetError, match=str(tmp_path)):
        read_config(tmp_path)  # a folder


def test_the_settings_survive_json():
    config = TrainingConfig(
        width=0.25, blocks=(1, 2, 3), learning_rates={10: END_OF_TRAINING, 0: 1e-3}, seed=7
    )
    again = config_from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.to_dict() == config.to_dict()


def test_the_learning_rate_holds_until_the_next_is_named():
    config = TrainingConfig(epochs=20, learning_rates={5: 0.01, 0: 0.1, 12: END_OF_TRAINING})
    rates = [config.learning_rate(epoch) for epoch in range(25)]
    assert rates == [0.1] * 5 + [0.01] * 7 + [END_OF_TRAINING] * 13
    shorter = dataclasses.replace(config, epochs=3)
    assert [shorter.learning_rate(epoch) for epoch in (2, 3)] == [0.1, END_OF_TRAINING]


def test_a_schedule_file_has_comments_and_an_end(tmp_path):
    path = written(
        tmp_path, "# learning rates\n0: 0.05 # warm\n\n60:  5e-3\n91:-1\n", "schedule.txt"
    )
    assert read_learning_rates(path) == {0: 0.05, 60: 0.005, 91: END_OF_TRAINING}
    assert TrainingConfig(learning_rates=str(path)).learning_rate(60) == 0.005


def test_a_schedule_file_is_looked_for_beside_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    written(tmp_path, "0: 0.25\n", "schedule.txt")
    config = read_config(written(tmp_path, "learning_rates: schedule.txt\n"))
    assert config.learning_rates == {0: 0.25}


def test_every_bad_line_of_a_schedule_is_told(tmp_path):
    path = written(tmp_path, "0: 0.1\n1 0.2\n2: fast\n0: 0.3\n1.5: 0.1\n", "schedule.txt")
    with pytest.raises(FacenetError) as caught:
        read_learning_rates(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 4 problems"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
    ]
    with pytest.raises(FacenetError, match=r"nowhere\.txt"):
        TrainingConfig(learning_rates=tmp_path / "nowhere.txt")


def test_an_initial_model_is_looked_for_beside_the_configuration(tmp_path):
    path = written(tmp_path, "initial_model: models/faces\n")
    assert read_config(path).initial_model == str(tmp_path / "models" / "faces")
    assert read_config(path, initial_model="here").initial_model == "here"
    path = written(tmp_path, f"initial_model: {tmp_path / 'elsewhere'}\n")
    assert read_config(path).initial_model == str(tmp_path / "elsewhere")
    assert read_config(written(tmp_path, "initial_model: ''\n")).initial_model == ""


def test_a_file_of_distances_is_looked_for_beside_the_configuration(tmp_path):
    path = written(tmp_path, "filter_distances: far.csv\nfilter_percentile: 90.0\n")
    assert read_config(path).filter_distances == str(tmp_path / "far.csv")


def test_an_initial_model_may_be_a_path(tmp_path):
    for make in (config_from_dict, lambda found: TrainingConfig(**found)):
        config = make({"initial_model": tmp_path, "freeze_until": "Mixed_5a"})
        assert config.initial_model == str(tmp_path)
        assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("spelled", ["models/faces/", "./models/faces", "models//./faces"])
def test_a_path_has_one_spelling(tmp_path, spelled):
    for config in (
        TrainingConfig(initial_model=spelled),
        config_from_dict({"initial_model": spelled}),
        dataclasses.replace(TrainingConfig(), initial_model=spelled),
    ):
        assert config.initial_model == "models/faces"
    assert TrainingConfig(initial_model="").initial_model == ""  # none, and not this folder
    file = written(tmp_path, f"initial_model: {spelled}\n")
    assert read_config(file).initial_model == str(tmp_path / "models" / "faces")


def test_the_settings_of_a_file_are_those_that_it_names(tmp_path):
    assert read_settings(written(tmp_path, "epochs: 3\nwidth: wide\n")) == {
        "epochs": 3,
        "width": "wide",
    }


def test_a_file_with_the_old_names_is_read(tmp_path):
    path = written(
        tmp_path, "average_decay: 0.5\ngradient_norm: 2.0\nevaluate_metric: cosine\nseed: 3\n"
    )
    config = read_config(path, seed=4)
    assert (config.ema_decay, config.clip_norm, config.seed) == (0.5, 2.0, 4)
    assert config.evaluate_metric == "angular"
    assert read_config(path, ema_decay=0.0).ema_decay == 0.0
    assert rename_old_settings({"evaluate_metric": "euclidean"}) == {
        "evaluate_metric": "sqeuclidean"
    }


def test_today_s_words_and_what_is_no_word_stay_as_they_are():
    settings = TrainingConfig().to_dict()
    assert rename_old_settings(settings) == settings
    assert rename_old_settings({"evaluate_metric": ["cosine"]}) == {"evaluate_metric": ["cosine"]}


def test_old_and_new_name_in_one_file_are_refused(tmp_path):
    with pytest.raises(FacenetError, match="unknown setting 'average_decay'"):
        read_config(written(tmp_path, "average_decay: 0.5\nema_decay: 0.6\n"))


def test_only_files_may_use_the_old_names():
    with pytest.raises(FacenetError, match="unknown setting 'average_decay'"):
        config_from_dict({"average_decay": 0.5})
