"""The command ``facenet serve``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.cli.arguments import (
    NAMING_THRESHOLD_HELP,
    add_command,
    naming_threshold,
    port,
)
from facenet_lib.cli.loading import load_tensorflow
from facenet_lib.errors import explain_missing
from facenet_lib.model_card import CARD, read_card
from facenet_lib.serving.model_folders import check_model_folders

if TYPE_CHECKING:
    from facenet_lib.serving.naming import Naming


def add_serve(commands: Any) -> None:
    """Add ``facenet serve``."""
    parser = add_command(commands, "serve", _serve, "serve an exported model over REST and gRPC")
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="the folder that facenet export wrote"
    )
    parser.add_argument("--name", default="facenet", help="what requests call it; facenet")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 127.0.0.1")
    parser.add_argument("--rest-port", metavar="PORT", type=port, default=8501, help="REST; 8501")
    parser.add_argument("--grpc-port", metavar="PORT", type=port, default=8500, help="gRPC; 8500")
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
    parser.add_argument(
        "--gallery", type=Path, help="of facenet enroll: the page and :identify name its people"
    )
    parser.add_argument("--threshold", type=float, help=f"with --gallery: {NAMING_THRESHOLD_HELP}")
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


def _serve(options: argparse.Namespace) -> None:
    """Serve the exported MODEL over REST and gRPC, TF Serving's protocols, until Ctrl-C.

    The server is our own and listens at 127.0.0.1; with --docker or --tensorflow-serving it is
    TF Serving itself. With --gallery our own also names faces, which TF Serving cannot do.
    """
    where = {"host": options.host, "rest_port": options.rest_port, "grpc_port": options.grpc_port}
    labels = dict(options.labels)
    if len(labels) < len(options.labels):
        options.parser.error("--label: expected different labels, found one twice")
    if options.image and not (options.docker or options.configure):
        options.parser.error("--image: only with --docker or --configure")
    by_tf_serving = options.docker or options.tensorflow_serving or options.configure
    if options.gallery and by_tf_serving:
        options.parser.error("--gallery: TF Serving names nobody; leave the other server out")
    if options.threshold is not None and not options.gallery:
        options.parser.error("--threshold: only with --gallery")
    if not by_tf_serving:
        with explain_missing("facenet serve", "serving"):
            import tornado  # noqa: F401

            from facenet_lib.serving.addresses import check_ports
        # First what can be told at once, since TensorFlow takes seconds to load.
        check_ports(**where)
        check_model_folders([options.model], options.versions)
        load_tensorflow()
        with explain_missing("facenet serve", "serving"):
            from facenet_lib.serving.server import serve

        serve(
            {options.name: options.model},
            versions=options.versions,
            labels={options.name: labels},
            naming=_naming(options) if options.gallery else None,
            **where,
        )
        return

    with explain_missing("facenet serve", "serving"):
        from facenet_lib.serving.configuration import (
            TENSORFLOW_SERVING_IMAGE,
            ServedModel,
            write_configuration,
        )
        from facenet_lib.serving.tensorflow_serving import run_tensorflow_serving

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


def _naming(options: argparse.Namespace) -> Naming:
    """The gallery, and the threshold for the version that will answer first."""
    from facenet_lib.recognition.gallery import Gallery
    from facenet_lib.serving.model_folders import complete_versions
    from facenet_lib.serving.naming import Naming

    gallery = Gallery.load(options.gallery)
    versions = complete_versions(options.model)
    wanted = versions if isinstance(options.versions, str) else versions.keys() & options.versions
    folder = versions[max(wanted)] if wanted else options.model
    of_pairs = read_card(folder).threshold if (folder / CARD).is_file() else None
    threshold = naming_threshold(options.threshold, options.gallery, gallery, of_pairs)
    chosen = gallery.threshold if options.threshold is None else None
    return Naming(gallery, threshold, str(options.gallery), chosen.by if chosen else "nearest")
