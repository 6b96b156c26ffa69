"""Commands about runs: ``facenet train`` and ``facenet report``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from facenet_lib.cli.arguments import FACES_HELP, add_command, check_folder_of, tell_left_out
from facenet_lib.cli.loading import load_tensorflow
from facenet_lib.errors import FacenetError
from facenet_lib.runs.config import (
    TrainingConfig,
    config_from_dict,
    read_settings,
    recipe_names,
)


def add_train(commands: Any) -> None:
    """Add ``facenet train``, with an option for every setting of a run."""
    parser = add_command(commands, "train", _train, "train a network, or go on with a run")
    parser.add_argument("faces", metavar="FACES", help=FACES_HELP)
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="the run's folder")
    parser.add_argument(
        "--config",
        help=f"YAML file of settings, or a recipe: {', '.join(recipe_names())}; a file that is "
        "called like a recipe is written ./NAME",
    )
    parser.add_argument("--people", type=Path, help="people file that names whom to train on")
    parser.add_argument("--pairs", type=Path, help="pairs file to evaluate on while training")
    settings = parser.add_argument_group("settings", "each takes the place of the --config file's")
    for field in dataclasses.fields(TrainingConfig):
        settings.add_argument(
            f"--{field.name.replace('_', '-')}",
            *(["--from"] if field.name == "initial_model" else []),
            default=argparse.SUPPRESS,
            help=field.metadata["help"],
            **_argument_type(field),
        )


def _argument_type(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """How argparse reads a setting: by the type that its dataclass field has."""
    kind = str(field.type)
    if field.name == "learning_rates":
        return {"metavar": "FILE"}
    if field.name == "blocks":
        return {"type": int, "nargs": 3, "metavar": "N"}
    if kind == "bool":
        return {"action": argparse.BooleanOptionalAction}
    return {"type": {"int": int, "float": float, "str": str}[kind], "metavar": kind.upper()}


def _train(options: argparse.Namespace) -> None:
    """Train on FACES and write RUN; the same command again goes on where it stopped."""
    from facenet_lib.datasets import find_training_faces, open_faces

    config = _training_config(options)  # first: FACES may be downloaded or drawn
    folder = open_faces(options.faces, options.pairs, options.people)
    found = find_training_faces(folder)
    tell_left_out(found)

    load_tensorflow()
    from facenet_lib.training.loop import train
    from facenet_lib.training.workers import strategy_of_environment, worker_of
    from facenet_lib.verification import EvaluationPairs

    strategy = strategy_of_environment()  # several workers find each other here
    pairs = EvaluationPairs.from_file(folder.pairs, folder.root) if folder.pairs else None
    with strategy.scope():
        result = train(config, found.faces, options.out, pairs, arguments=options.words)
    if not result.finished:
        raise FacenetError(
            f"stopped after step {result.steps}; the same command goes on from there"
        )
    if not worker_of(strategy).is_chief:
        return
    print(f"{result.run}: {result.steps} steps")
    if result.evaluation:
        print(
            f"accuracy {result.evaluation['accuracy']:.4f} "
            f"+- {result.evaluation['standard_error']:.4f} (standard error)"
        )


def _training_config(options: argparse.Namespace) -> TrainingConfig:
    names = [field.name for field in dataclasses.fields(TrainingConfig)]
    changes = {name: getattr(options, name) for name in names if hasattr(options, name)}
    settings = read_settings(options.config) if options.config else {}
    initial_model = (settings | changes).get("initial_model")
    if initial_model and isinstance(initial_model, str):
        initial_model = str(Path(initial_model))
        # The initial model is named here too, so that the file may speak of what it needs.
        settings = _settings_of(initial_model, options.out) | settings
        settings["initial_model"] = initial_model
    source = " with ".join(str(name) for name in (options.config, initial_model) if name)
    config = config_from_dict(settings, source=source or "settings")
    try:
        return dataclasses.replace(config, **changes)
    except FacenetError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(str(error))  # the words of the command are at fault: exit with 2


def _settings_of(initial_model: str, out: Path) -> dict[str, Any]:
    """What the initial model decides; a run that has begun knows it, and may have outlived it."""
    load_tensorflow()
    from facenet_lib.models import network_settings
    from facenet_lib.runs.folder import CONFIG_FILE

    return network_settings(out if (out / CONFIG_FILE).is_file() else initial_model)


def add_report(commands: Any) -> None:
    """Add ``facenet report``."""
    parser = add_command(commands, "report", _report, "draw a run's curves as one picture")
    parser.add_argument("run", metavar="RUN", type=Path, help="a folder that facenet train made")
    parser.add_argument(
        "--out", metavar="FILE.png", type=Path, help="RUN/report.png where not named"
    )


def _report(options: argparse.Namespace) -> None:
    """Draw a run's loss terms, rates, accuracies and prelogits as one picture."""
    from facenet_lib.plots.book_style import style, write_figure
    from facenet_lib.plots.training import run_report
    from facenet_lib.runs.folder import read_run_tables

    out: Path = options.out or options.run / "report.png"
    check_folder_of(out)
    style()
    write_figure(run_report(*read_run_tables(options.run)), out)
    print(out)
