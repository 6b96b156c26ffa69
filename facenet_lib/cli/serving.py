"""The command ``facenet serve``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.checks import check_model_name
from facenet_lib.cli.arguments import (
    NAMING_THRESHOLD_HELP,
    add_command,
    naming_threshold,
    port,
)
from facenet_lib.cli.loading import load_tensorflow
from facenet_lib.errors import FacenetError, explain_missing, refuse
from facenet_lib.model_card import CARD, read_card
from facenet_lib.runtimes import RUNTIMES
from facenet_lib.serving.model_folders import (
    check_model_folders,
    choose_versions,
    complete_versions,
    label_problems,
    versions_problems,
)

if TYPE_CHECKING:
    from facenet_lib.serving.naming import Naming

_OF_THE_LOCAL_SERVER = (
    "runtime",
    "allow_origin",
    "max_message_bytes",
    "seconds_to_send",
    "seconds_to_answer",
)


def add_serve(commands: Any) -> None:
    """Add ``facenet serve``."""
    parser = add_command(commands, "serve", _serve, "serve an exported model over REST and gRPC")
    parser.add_argument(
        "models",
        metavar="[NAME=]MODEL",
        nargs="+",
        help="the folder that facenet export wrote; of several models, each with the name by "
        "which requests call it",
    )
    parser.add_argument("--name", help="of one model, in place of NAME=; facenet if not named")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 127.0.0.1")
    parser.add_argument("--rest-port", metavar="PORT", type=port, default=8501, help="REST; 8501")
    parser.add_argument("--grpc-port", metavar="PORT", type=port, default=8500, help="gRPC; 8500")
    parser.add_argument(
        "--versions",
        type=_versions,
        default="latest",
        help="'latest', 'latest:N' for so many of the newest, 'all', or numbers such as 1,2, of "
        "each model; the latest if not named",
    )
    parser.add_argument(
        "--label",
        metavar="[NAME:]LABEL=VERSION",
        dest="labels",
        type=_label,
        action="append",
        default=[],
        help="a name for a version that stays, such as stable=1; may be repeated; of several "
        "models, NAME says which",
    )
    parser.add_argument(
        "--gallery", type=Path, help="of facenet enroll: the page and :identify name its people"
    )
    parser.add_argument("--threshold", type=float, help=f"with --gallery: {NAMING_THRESHOLD_HELP}")
    parser.add_argument(
        "--max-batch-size",
        metavar="IMAGES",
        type=int,
        help="most images, or pairs, of one request, and of what is computed at a time; 32",
    )
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help="what computes networks that facenet export wrote with --onnx or --openvino; "
        "TensorFlow if not named",
    )
    _add_limits(parser)
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


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add what TF Serving has not, or by other words."""
    group = parser.add_argument_group("of the local server alone")
    group.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        help="a site such as https://example.com whose pages may ask over REST, or * for any; may "
        "be repeated; none if not named",
    )
    group.add_argument(
        "--max-message-bytes",
        metavar="BYTES",
        type=int,
        help="most bytes of one request, unpacked; 33554432",
    )
    group.add_argument(
        "--seconds-to-send",
        metavar="SECONDS",
        type=float,
        help="in which a request has to arrive once it has begun, and an answer to be read; 20",
    )
    group.add_argument(
        "--seconds-to-answer",
        metavar="SECONDS",
        type=float,
        help="after which a request that is not answered is given up; 30",
    )


def _versions(words: str) -> str | tuple[int, ...]:
    """How argparse reads --versions."""
    if not versions_problems(words):
        return words
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected latest, latest:N, all, or numbers such as 1,2, found {words!r}"
        ) from None


def _label(words: str) -> tuple[str, str, int]:
    """How argparse reads --label: the model's name, if any, the label and the version."""
    named, _, version = words.partition("=")
    name, _, label = named.rpartition(":")
    try:
        return name, label, int(version)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected LABEL=VERSION, such as stable=1, found {words!r}"
        ) from None


def _serve(options: argparse.Namespace) -> None:
    """Serve the exported MODEL over REST and gRPC, TF Serving's protocols, until Ctrl-C.

    The server is our own and listens at 127.0.0.1; with --docker or --tensorflow-serving it is
    TF Serving itself. With --gallery our own also names faces, and with --runtime another runtime
    than TensorFlow computes its networks, which TF Serving cannot do.
    """
    where = {"host": options.host, "rest_port": options.rest_port, "grpc_port": options.grpc_port}
    models = _models(options)
    labels = _labels(options, models)
    if options.image and not (options.docker or options.configure):
        options.parser.error("--image: only with --docker or --configure")
    by_tf_serving = options.docker or options.tensorflow_serving or options.configure
    if options.gallery and by_tf_serving:
        options.parser.error("--gallery: TF Serving names nobody; leave the other server out")
    if options.gallery and len(models) > 1:
        options.parser.error("--gallery: expected one model beside it")
    if options.threshold is not None and not options.gallery:
        options.parser.error("--threshold: only with --gallery")
    for name in _OF_THE_LOCAL_SERVER if by_tf_serving else ():
        if getattr(options, name) is not None:
            options.parser.error(f"--{name.replace('_', '-')}: only for the local server")
    serve = _serve_by_tf_serving if by_tf_serving else _serve_by_ourselves
    serve(options, models, labels, where)


def _serve_by_ourselves(
    options: argparse.Namespace,
    models: Mapping[str, Path],
    labels: Mapping[str, Mapping[str, int]],
    where: Mapping[str, Any],
) -> None:
    with explain_missing("facenet serve", "serving"):
        import tornado  # noqa: F401

        from facenet_lib.serving.addresses import check_ports
    # First what can be told at once, since TensorFlow takes seconds to load.
    check_ports(**where)
    check_model_folders(models.values(), options.versions)
    for name, known in labels.items():
        refuse("labels", label_problems(known, options.versions, models[name]))
    load_tensorflow()
    with explain_missing("facenet serve", "serving"):
        from facenet_lib.serving.server import serve

    serve(
        models,
        versions=options.versions,
        labels=labels,
        runtime=options.runtime,
        naming=_naming(options, *models.values()) if options.gallery else None,
        allowed_origins=options.allow_origin or (),
        **_limits(options),
        **where,
    )


def _serve_by_tf_serving(
    options: argparse.Namespace,
    models: Mapping[str, Path],
    labels: Mapping[str, Mapping[str, int]],
    where: Mapping[str, Any],
) -> None:
    with explain_missing("facenet serve", "serving"):
        from facenet_lib.serving.configuration import (
            TENSORFLOW_SERVING_IMAGE,
            BatchingParameters,
            ServedModel,
            write_configuration,
        )
        from facenet_lib.serving.tensorflow_serving import run_tensorflow_serving

    served = [
        ServedModel(folder, name, options.versions, labels.get(name, {}))
        for name, folder in models.items()
    ]
    where = {**where, "image": options.image or TENSORFLOW_SERVING_IMAGE}
    if options.max_batch_size is not None:
        where["batching"] = BatchingParameters(max_batch_size=options.max_batch_size)
    if options.configure:
        for path in write_configuration(options.configure, served, **where):
            print(path)
        return
    if options.tensorflow_serving:
        print(
            "facenet: warning: TF Serving listens at every address of this machine, "
            "whatever --host says",
            file=sys.stderr,
        )
    run_tensorflow_serving(served, kind="docker" if options.docker else "binary", **where)


def _models(options: argparse.Namespace) -> dict[str, Path]:
    """Each model's folder by its name: the words NAME=MODEL, or one folder and --name."""
    models: dict[str, Path] = {}
    for words in options.models:
        name, equals, folder = words.partition("=")
        if not equals or not _is_model_name(name):  # a folder, which may have = in its path
            name, folder = options.name or "facenet", words
            if len(options.models) > 1:
                options.parser.error(f"expected NAME=MODEL for each of several, found {words}")
        elif options.name:
            options.parser.error(f"--name: expected a MODEL without a name, found {words}")
        if name in models:
            options.parser.error(f"expected different names, found {name} twice")
        models[name] = Path(folder)
    return models


def _is_model_name(words: str) -> bool:
    try:
        check_model_name(words)
    except FacenetError:
        return False
    return True


def _labels(options: argparse.Namespace, models: Mapping[str, Path]) -> dict[str, dict[str, int]]:
    """The versions by their labels, of each model that has any."""
    labels: dict[str, dict[str, int]] = {}
    for name, label, version in options.labels:
        if not name and len(models) > 1:
            options.parser.error(f"--label: expected NAME:{label}={version} with several models")
        of_model = labels.setdefault(name or next(iter(models)), {})
        if label in of_model:
            options.parser.error("--label: expected different labels, found one twice")
        of_model[label] = version
    if unknown := [name for name in labels if name not in models]:
        options.parser.error(f"--label: expected the name of a model, found {unknown[0]}")
    return labels


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    """The local server's batching and limits, as far as they were named."""
    from facenet_lib.serving.batching import Batching
    from facenet_lib.serving.limits import Limits

    rows, size = options.max_batch_size, options.max_message_bytes
    batching, limits = Batching(), Limits()
    if rows is not None:
        batching = Batching(rows, max(rows, batching.max_waiting))
    if size is not None:
        total = max(size, limits.total_body_bytes)
        limits = dataclasses.replace(limits, body_bytes=size, total_body_bytes=total)
    for name in ("seconds_to_send", "seconds_to_answer"):
        if (seconds := getattr(options, name)) is not None:
            limits = dataclasses.replace(limits, **{name: seconds})
    return {"batching": batching, "limits": limits}


def _naming(options: argparse.Namespace, model: Path) -> Naming:
    """The gallery, and the threshold for the version that will answer first."""
    from facenet_lib.recognition.gallery import Gallery
    from facenet_lib.serving.naming import Naming

    gallery = Gallery.load(options.gallery)
    versions = complete_versions(model)
    wanted = choose_versions(options.versions, versions)
    folder = versions[wanted[0]] if wanted else model
    of_pairs = read_card(folder).threshold if (folder / CARD).is_file() else None
    threshold = naming_threshold(options.threshold, options.gallery, gallery, of_pairs)
    chosen = gallery.threshold if options.threshold is None else None
    return Naming(gallery, threshold, str(options.gallery), chosen.by if chosen else "nearest")
