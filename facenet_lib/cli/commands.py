"""The command ``facenet``: draw faces, import weights, train, evaluate, embed, export, serve.

Ends with 0, with 1 after a failure that it explains, or with 2 after wrong usage. TensorFlow is
loaded only by the commands that compute with it, so that help comes at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib import __version__
from facenet_lib.errors import FacenetError, serving_extra
from facenet_lib.runs.config import (
    TrainingConfig,
    config_from_dict,
    read_settings,
    recipe_names,
)

if TYPE_CHECKING:
    import numpy as np

    from facenet_lib.serving.remote_embedder import RemoteEmbedder

_FACES_HELP = "a folder with one folder a person, 'lfw' (downloaded), or 'drawn'"
_MODEL_HELP = "the folder of a run, of imported weights, or of an exported SavedModel"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of ``facenet`` and of ``python -m facenet_lib``.

    Args:
        arguments: the words after ``facenet``; those of the process where None.

    Returns:
        0 when done, 1 after a failure that was explained on standard error. Wrong usage leaves
        through ``SystemExit(2)``, as argparse has it.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    options.words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command: Callable[[argparse.Namespace], None] = options.command
        command(options)
    except FacenetError as error:
        print(f"facenet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("facenet: interrupted", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facenet",
        description="Draw faces; train, import, evaluate, use, export and serve FaceNet.",
    )
    parser.add_argument("--version", action="version", version=f"facenet {__version__}")
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=_ParserOfOneCommand
    )
    _add_draw_faces(commands)
    _add_import_weights(commands)
    _add_train(commands)
    _add_report(commands)
    _add_evaluate(commands)
    _add_distances(commands)
    _add_embed(commands)
    _add_export(commands)
    _add_serve(commands)
    return parser


class _ParserOfOneCommand(argparse.ArgumentParser):
    """Takes a command's options before, between and after its other words.

    Without this, argparse decides at the first option which of those other words there are,
    and a MODEL that may be left out would be taken for the word behind it.
    """

    _mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._mixing:  # argparse's own two passes, one for the options and one for the rest
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False


def _add_draw_faces(commands: Any) -> None:
    parser = commands.add_parser(
        "draw-faces", help="draw a folder of made-up faces", description=_draw_faces.__doc__
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    parser.add_argument("--identities", type=int, default=300, help="people, test people included")
    parser.add_argument("--images-per-identity", type=int, default=16, help="images of each")
    parser.add_argument("--test-identities", type=int, help="people in pairs.txt; None: a fifth")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds draw equal faces")
    parser.add_argument("--size", type=int, default=160, help="side of an image in pixels")
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.set_defaults(command=_draw_faces)


def _add_import_weights(commands: Any) -> None:
    parser = commands.add_parser(
        "import-weights", help="read published weights", description=_import_weights.__doc__
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="folder of a TF 1 checkpoint, or its frozen .pb, or Keras' .h5, or PyTorch's .pt",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the model folder to write")
    parser.add_argument(
        "--image-size", type=int, default=160, help="side of the network's input; 160 if not named"
    )
    parser.add_argument(
        "--standardization",
        choices=("fixed", "per_image"),
        help="what the weights were trained with; if not named, as every release had it",
    )
    parser.add_argument(
        "--training-set",
        metavar="TEXT",
        help="what they were trained on; if not named, what the number of identities tells",
    )
    parser.set_defaults(command=_import_weights)


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train", help="train a network, or go on with a run", description=_train.__doc__
    )
    parser.add_argument("faces", metavar="FACES", help=_FACES_HELP)
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="the run's folder")
    parser.add_argument(
        "--config", help=f"YAML file of settings, or a recipe: {', '.join(recipe_names())}"
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
    parser.set_defaults(command=_train, parser=parser)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report", help="draw a run's curves as one picture", description=_report.__doc__
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a folder that facenet train made")
    parser.add_argument(
        "--out", metavar="FILE.png", type=Path, help="RUN/report.png where not named"
    )
    parser.set_defaults(command=_report)


def _add_distances(commands: Any) -> None:
    parser = commands.add_parser(
        "distances",
        help="measure how far each image is from its person's mean",
        description=_distances.__doc__,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help=_MODEL_HELP)
    parser.add_argument("faces", metavar="FACES", help=_FACES_HELP)
    parser.add_argument("--people", type=Path, help="people file, as the training will have it")
    parser.add_argument("--pairs", type=Path, help="pairs file, as the training will have it")
    parser.add_argument("--out", metavar="FILE.csv", type=Path, required=True)
    parser.set_defaults(command=_distances)


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate", help="verify pairs as LFW does", description=_evaluate.__doc__
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", type=Path, help=f"{_MODEL_HELP}; none with --server"
    )
    parser.add_argument("faces", metavar="FACES", help=_FACES_HELP)
    _add_server(parser)
    parser.add_argument("--pairs", type=Path, help="pairs file; FACES' own where not named")
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the figures here")
    parser.add_argument(
        "--false-accept-rate",
        metavar="RATE",
        type=_share,
        help="choose a threshold that accepts at most this share of the different pairs, too; "
        "facenet export --evaluation takes it from the --json file",
    )
    parser.add_argument(
        "--flip", action="store_true", help="add the embedding of the mirror image to each"
    )
    parser.add_argument(
        "--subtract-mean", action="store_true", help="subtract the embeddings' mean first"
    )
    parser.add_argument(
        "--metric",
        choices=("sqeuclidean", "angular"),
        default="sqeuclidean",
        help="squared distance, or angle; euclidean if not named",
    )
    parser.add_argument(
        "--standardization",
        choices=("fixed", "per_image"),
        help="in place of what the model was trained with",
    )
    parser.add_argument(
        "--crop",
        metavar="PIXELS",
        type=int,
        help="side of the centre of an image that is used, in place of the model's",
    )
    parser.set_defaults(command=_evaluate, parser=parser)


def _add_embed(commands: Any) -> None:
    parser = commands.add_parser(
        "embed", help="compute embeddings of images", description=_embed.__doc__
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help=f"{_MODEL_HELP}; none with --server"
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="JPEG or PNG files")
    parser.add_argument("--out", metavar="FILE.npz", type=Path, required=True)
    _add_server(parser)
    parser.set_defaults(command=_embed, parser=parser)


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        metavar="URL",
        help="ask a server in place of a MODEL: http://HOST:PORT for REST, HOST:PORT for gRPC",
    )
    parser.add_argument("--name", help="the model's name on the --server; facenet if not named")


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export", help="write a model as a SavedModel", description=_export.__doc__
    )
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="the folder of a run or of imported weights"
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the model's folder, in which a version is made"
    )
    stored = parser.add_mutually_exclusive_group()
    stored.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16: half the size, faster where the processor has instructions for it",
    )
    stored.add_argument(
        "--litert",
        choices=("float16", "int8"),
        help="write OUT as one LiteRT file, for phones, with weights of this type",
    )
    parser.add_argument(
        "--evaluation",
        metavar="FILE.json",
        type=Path,
        help="figures of facenet evaluate --json, for the card and the threshold; if not named, "
        "the run's last",
    )
    parser.add_argument(
        "--threshold", type=float, help="squared distance below which two images are one person"
    )
    parser.add_argument(
        "--false-accept-rate",
        metavar="RATE",
        type=float,
        help="what --threshold was chosen for: the share of different pairs that it accepts",
    )
    parser.set_defaults(command=_export, parser=parser)


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser(
        "serve", help="serve an exported model over REST and gRPC", description=_serve.__doc__
    )
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="the folder that facenet export wrote"
    )
    parser.add_argument("--name", default="facenet", help="what requests call it; facenet")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 127.0.0.1")
    parser.add_argument("--rest-port", metavar="PORT", type=_port, default=8501, help="REST; 8501")
    parser.add_argument("--grpc-port", metavar="PORT", type=_port, default=8500, help="gRPC; 8500")
    parser.add_argument(
        "--versions",
        type=_versions,
        default="latest",
        help="'latest', 'all', or numbers such as 1,2; the latest if not named",
    )
    parser.add_argument(
        "--label",
        metavar="LABEL=VERSION",
        dest="labels",
        type=_label,
        action="append",
        default=[],
        help="a name for a version that stays, such as stable=1; may be repeated",
    )
    by = parser.add_mutually_exclusive_group()
    by.add_argument("--docker", action="store_true", help="by TF Serving in a Docker container")
    by.add_argument(
        "--tensorflow-serving", action="store_true", help="by tensorflow_model_server on the PATH"
    )
    by.add_argument(
        "--configure",
        metavar="FOLDER",
        type=Path,
        help="serve nothing; write TF Serving's configuration and a compose.yaml into FOLDER",
    )
    parser.add_argument("--image", help="TF Serving's Docker image, in place of ours")
    parser.set_defaults(command=_serve, parser=parser)


def _share(words: str) -> float:
    """How argparse reads a rate."""
    with contextlib.suppress(ValueError):
        if 0 <= float(words) <= 1:
            return float(words)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {words!r}")


def _port(words: str) -> int:
    """How argparse reads a port; 0 is a free one."""
    if not re.fullmatch("[0-9]{1,5}", words) or int(words) > 65535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, found {words!r}")
    return int(words)


def _versions(words: str) -> str | tuple[int, ...]:
    """How argparse reads --versions."""
    if words in ("latest", "all"):
        return words
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected latest, all, or numbers such as 1,2, found {words!r}"
        ) from None


def _label(words: str) -> tuple[str, int]:
    """How argparse reads --label."""
    label, _, version = words.partition("=")
    try:
        return label, int(version)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected LABEL=VERSION, such as stable=1, found {words!r}"
        ) from None


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


def _draw_faces(options: argparse.Namespace) -> None:
    """Draw made-up people in LFW's layout, with pairs.txt, people.txt and peopleDevTrain.txt."""
    from facenet_lib.drawn_faces.dataset import write_faces

    drawn = write_faces(
        options.out,
        options.identities,
        options.images_per_identity,
        seed=options.seed,
        size=options.size,
        test_identities=options.test_identities,
    )
    print(
        f"{drawn.root}: {drawn.images} images; {len(drawn.train_names)} people to train on, "
        f"{len(drawn.test_names)} in {drawn.pairs} pairs to test on"
    )


def _import_weights(options: argparse.Namespace) -> None:
    """Read weights that others published and write OUT, a folder that every command takes."""
    _load_tensorflow()
    from facenet_lib.model_card import read_card
    from facenet_lib.published.model_folder import import_weights

    out = import_weights(
        options.file,
        options.out,
        image_size=options.image_size,
        standardization=options.standardization,
        training_set=options.training_set,
    )
    about = read_card(out).weights or {}
    print(f"{out}: from {about['source']} ({about['weights_format']}), sha256 {about['sha256']}")
    print(
        f"embeddings of {about['embedding_size']} numbers, images of {about['image_size']} pixels, "
        f"standardization {about['standardization']}, training set: {about['training_set']}"
    )


def _train(options: argparse.Namespace) -> None:
    """Train on FACES and write RUN; the same command again goes on where it stopped."""
    from facenet_lib.datasets import open_faces, training_faces

    config = _training_config(options)  # first: FACES may be downloaded or drawn
    folder = open_faces(options.faces, options.pairs, options.people)
    faces = training_faces(folder)

    _load_tensorflow()
    from facenet_lib.training.loop import train
    from facenet_lib.training.workers import strategy_of_environment, worker_of
    from facenet_lib.verification import EvaluationPairs

    strategy = strategy_of_environment()  # several workers find each other here
    pairs = EvaluationPairs.from_file(folder.pairs, folder.root) if folder.pairs else None
    with strategy.scope():
        result = train(config, faces, options.out, pairs, arguments=options.words)
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


def _report(options: argparse.Namespace) -> None:
    """Draw a run's loss terms, rates, accuracies and prelogits as one picture."""
    out: Path = options.out or options.run / "report.png"
    _check_folder_of(out)
    _load_tensorflow()
    from facenet_lib import plots
    from facenet_lib.files import open_whole_file
    from facenet_lib.runs.folder import read_run_tables

    plots.style()
    figure = plots.run_report(*read_run_tables(options.run))
    with open_whole_file(out) as file:
        # Not transparent: a picture in a folder is looked at on whatever ground a viewer has.
        figure.savefig(file, format="png", facecolor="white", transparent=False)
    print(out)


def _distances(options: argparse.Namespace) -> None:
    """Write each image's distance to the mean of its person's, for train --filter-distances."""
    from facenet_lib.datasets import (
        distances_to_centers,
        open_faces,
        training_faces,
        write_distances,
    )
    from facenet_lib.index_queue import image_and_label_lists

    _check_folder_of(options.out)
    faces = training_faces(open_faces(options.faces, options.pairs, options.people))
    _load_tensorflow()
    from facenet_lib.models import load_embedder

    paths, labels = image_and_label_lists(faces)
    distances = distances_to_centers(load_embedder(options.model).embed(paths), labels)
    write_distances(options.out, faces, distances)
    print(f"{options.out}: {len(paths)} images of {len(faces)} people")


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
    _load_tensorflow()
    from facenet_lib.models import network_settings
    from facenet_lib.runs.folder import CONFIG_FILE

    return network_settings(out if (out / CONFIG_FILE).is_file() else initial_model)


def _evaluate(options: argparse.Namespace) -> None:
    """Verify the pairs of a pairs file with MODEL's embeddings, ten-fold.

    With --server, with those of the model that is served there, whose preprocessing takes the
    images as they are: --flip, --standardization and --crop need the MODEL itself.
    """
    from facenet_lib.datasets import open_faces
    from facenet_lib.files import open_whole_file

    _check_server_or_model(options)
    for option in ("flip", "standardization", "crop"):
        given = getattr(options, option) != options.parser.get_default(option)
        if options.server and given:
            options.parser.error(f"--{option}: not with --server, which takes images as they are")
    _check_folder_of(options.json)
    folder = open_faces(options.faces, options.pairs)
    if folder.pairs is None:
        raise FacenetError(f"{folder.root}: has no pairs.txt; name a pairs file with --pairs")

    _load_tensorflow()
    from facenet_lib.models import load_embedder
    from facenet_lib.verification import EvaluationPairs, evaluate_pairs

    pairs = EvaluationPairs.from_file(folder.pairs, folder.root)
    how: dict[str, Any] = {
        "flip": options.flip,
        "subtract_mean": options.subtract_mean,
        "metric": options.metric,
    }
    embed: Callable[[Sequence[str]], np.ndarray]
    with contextlib.ExitStack() as stack:
        if options.server:
            remote = stack.enter_context(_remote_embedder(options))
            embed = remote.embed
            how |= remote.about
        else:
            model = load_embedder(
                options.model, standardization=options.standardization, crop_size=options.crop
            )
            _warn_of_known_people(model.identities, pairs.paths)
            embed = functools.partial(model.embed, flip=options.flip)
            how |= model.about
        result = evaluate_pairs(embed, pairs, options.metric, options.subtract_mean)
    print(result)
    rate = options.false_accept_rate
    if rate is not None:
        how["chosen"] = {"threshold": result.threshold_at(rate), "false_accept_rate": rate}
        print(f"threshold {how['chosen']['threshold']:.4f} for a false accept rate of {rate:g}")
    if options.json:
        with open_whole_file(options.json) as file:
            file.write((json.dumps(result.to_dict() | how, indent=2) + "\n").encode())


def _warn_of_known_people(identities: Sequence[str], paths: Sequence[str]) -> None:
    """Say that an accuracy is not one on unseen people, where the model knows whom it saw."""
    compared = {Path(path).parent.name for path in paths}
    known = compared.intersection(identities)
    if known:
        print(
            f"facenet: warning: the model was trained on {len(known)} of the {len(compared)} "
            f"people in these pairs, such as {min(known)}: expect less on people it never saw",
            file=sys.stderr,
        )


def _embed(options: argparse.Namespace) -> None:
    """Write embeddings, float32 (n, embedding_size), and paths of images to an .npz file."""
    import numpy as np

    from facenet_lib.files import open_whole_file

    if options.server and options.model:  # the first word, which is an image here
        options.images.insert(0, options.model)
        options.model = None
    _check_server_or_model(options)
    _check_folder_of(options.out)
    if options.server:
        with _remote_embedder(options) as remote:
            embeddings = remote.embed(options.images)
    else:
        _load_tensorflow()
        from facenet_lib.models import load_embedder

        embeddings = load_embedder(options.model).embed(options.images)
    with open_whole_file(options.out) as file:
        np.savez(file, embeddings=embeddings, paths=np.array(options.images))
    print(f"{options.out}: {embeddings.shape[0]} embeddings of {embeddings.shape[1]} numbers")


def _export(options: argparse.Namespace) -> None:
    """Write the network of MODEL as a SavedModel that takes images and gives embeddings.

    It becomes a version of the model in OUT: OUT/1, or the next number.
    """
    stored = (options.evaluation, options.threshold, options.false_accept_rate)
    if options.litert and stored != (None, None, None):
        options.parser.error("--litert: such a file holds neither evaluation nor threshold")
    if options.litert:
        _check_folder_of(options.out)
    _load_tensorflow()
    if options.litert:
        from facenet_lib.export.litert import export_litert

        print(export_litert(options.model, options.out, options.litert))
        return
    from facenet_lib.export.saved_model import export_model

    folder = export_model(
        options.model,
        options.out,
        options.dtype,
        evaluation=options.evaluation,
        threshold=options.threshold,
        false_accept_rate=options.false_accept_rate,
    )
    print(folder)


def _check_server_or_model(options: argparse.Namespace) -> None:
    if options.server and options.model:
        options.parser.error("expected a MODEL or a --server, found both")
    if not options.server and not options.model:
        options.parser.error("the following arguments are required: MODEL, or --server URL")
    if options.name and not options.server:
        options.parser.error("--name: only with --server")


def _remote_embedder(options: argparse.Namespace) -> RemoteEmbedder:
    if "://" not in options.server:
        _load_tensorflow()  # which gRPC's protos do, and less quietly
    with serving_extra("--server"):
        from facenet_lib.serving.remote_embedder import RemoteEmbedder

    return RemoteEmbedder(options.server, options.name or "facenet")


def _serve(options: argparse.Namespace) -> None:
    """Serve the exported MODEL over REST and gRPC, TF Serving's protocols, until Ctrl-C.

    The server is our own and listens at 127.0.0.1; with --docker or --tensorflow-serving it is
    TF Serving itself.
    """
    where = {"host": options.host, "rest_port": options.rest_port, "grpc_port": options.grpc_port}
    labels = dict(options.labels)
    if len(labels) < len(options.labels):
        options.parser.error("--label: expected different labels, found one twice")
    if options.image and not (options.docker or options.configure):
        options.parser.error("--image: only with --docker or --configure")
    if not (options.docker or options.tensorflow_serving or options.configure):
        _load_tensorflow()
        with serving_extra("facenet serve"):
            from facenet_lib.serving.server import serve

        models = {options.name: options.model}
        serve(models, versions=options.versions, labels={options.name: labels}, **where)
        return

    with serving_extra("facenet serve"):
        from facenet_lib.serving import (
            TENSORFLOW_SERVING_IMAGE,
            ServedModel,
            run_tensorflow_serving,
            write_configuration,
        )

    model = ServedModel(options.model, options.name, options.versions, labels)
    where["image"] = options.image or TENSORFLOW_SERVING_IMAGE
    if options.configure:
        for path in write_configuration(options.configure, [model], **where):
            print(path)
        return
    if options.tensorflow_serving:
        print(
            "facenet: warning: TF Serving listens at every address of this machine, "
            "whatever --host says",
            file=sys.stderr,
        )
    run_tensorflow_serving([model], kind="docker" if options.docker else "binary", **where)


def _check_folder_of(path: Path | None) -> None:
    """Refuse, before anything long is computed, a file that could not be written afterwards."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise FacenetError(f"{path}: expected a file in a folder that exists")


def _load_tensorflow() -> None:
    """Import TensorFlow without what it writes about processors and drivers on the way.

    Its first lines come before its own log level holds, straight from C++, so that the file
    descriptor of standard error is put aside for the import. TF_CPP_MIN_LOG_LEVEL=0 shows all.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    standard_error = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
