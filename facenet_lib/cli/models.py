"""Commands that make a model of another: ``facenet import-weights`` and ``facenet export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facenet_lib.cli.arguments import add_command, add_crop_arguments, check_folder_of
from facenet_lib.cli.loading import load_tensorflow
from facenet_lib.errors import FacenetError
from facenet_lib.files import check_new_folder, is_reserved
from facenet_lib.published.releases import RELEASES, find_release

if TYPE_CHECKING:
    from facenet_lib.alignment.graph import GraphAlignment


def add_import_weights(commands: Any) -> None:
    """Add ``facenet import-weights``."""
    parser = add_command(
        commands, "import-weights", _import_weights, "fetch and read published weights"
    )
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help=f"a name, to download the weights once ({', '.join(RELEASES)}), or a path: the folder "
        "of a TF 1 checkpoint, its frozen .pb, Keras' .h5, or PyTorch's .pt or checkpoint; a path "
        "that is also a name is written ./NAME",
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
        help="what they were trained on; if not named, what the file's sum or its number of "
        "identities tells",
    )


def _import_weights(options: argparse.Namespace) -> None:
    """Read weights that others published and write OUT, a folder that every command takes."""
    check_new_folder(options.out)
    file = _weights_file(options.weights)
    load_tensorflow()
    from facenet_lib.model_card import read_card
    from facenet_lib.published.model_folder import import_weights

    out = import_weights(
        file,
        options.out,
        image_size=options.image_size,
        standardization=options.standardization,
        training_set=options.training_set,
    )
    about = read_card(out).weights or {}
    release = find_release(about["sha256"])
    origin = f"that of {release.name}" if release else "of no release that is known here"
    print(
        f"{out}: from {about['source']} ({about['weights_format']}), sha256 {about['sha256']}, "
        f"{origin}"
    )
    print(
        f"embeddings of {about['embedding_size']} numbers, images of {about['image_size']} pixels, "
        f"standardization {about['standardization']}, training set: {about['training_set']}"
    )


def _weights_file(words: str) -> Path:
    """Return the path that is named, or that of the weights of this name, fetched."""
    from facenet_lib.published.fetching import fetch_weights

    try:
        if is_reserved(words, RELEASES, "the published weights", _holds_weights):
            return fetch_weights(words)
        is_there = _holds_weights(Path(words))
    except OSError as error:
        raise FacenetError(f"{words}: cannot be read: {error.strerror or error}") from error
    if not is_there:
        raise FacenetError(
            f"{words}: expected published weights, a path or one of {', '.join(RELEASES)}, found "
            "no such file, folder or name"
        )
    return Path(words)


def _holds_weights(path: Path) -> bool:
    """Whether a file or folder is there, or a checkpoint with this prefix."""
    return path.exists() or path.with_name(f"{path.name}.index").exists()


def add_export(commands: Any) -> None:
    """Add ``facenet export``."""
    parser = add_command(
        commands, "export", _export, "write a model as a SavedModel, or for another runtime"
    )
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="the folder of a run or of imported weights"
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the model's folder, in which a version is made"
    )
    _add_kind_arguments(parser)
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
    parser.add_argument(
        "--with-alignment",
        action="store_true",
        help="add the signature 'faces': photographs in, the embeddings of all their faces out",
    )
    add_crop_arguments(parser, of_what="with --with-alignment: ")
    parser.add_argument(
        "--most-faces",
        metavar="K",
        type=int,
        help="with --with-alignment: so many of a photograph, the surest; 8 if not named",
    )


def _add_kind_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="float32 if not named; bfloat16: half the size, faster where the processor has "
        "instructions for it",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--onnx",
        action="store_const",
        dest="runtime",
        const="onnx",
        help="write a network for ONNX Runtime, model.onnx, in place of a SavedModel",
    )
    kind.add_argument(
        "--openvino",
        action="store_const",
        dest="runtime",
        const="openvino",
        help="write a network for OpenVINO, model.xml and model.bin",
    )
    kind.add_argument(
        "--litert",
        choices=("float16", "int8"),
        help="write OUT as one LiteRT file, for phones, with weights of this type",
    )


def _export(options: argparse.Namespace) -> None:
    """Write the network of MODEL as a SavedModel that takes images and gives embeddings.

    It becomes a version of the model in OUT: OUT/1, or the next number. With --onnx or
    --openvino, one that these compute without TensorFlow, which every command takes alike.
    """
    stored = {
        name: getattr(options, name) for name in ("evaluation", "threshold", "false_accept_rate")
    }
    if options.litert:
        if options.dtype is not None:
            options.parser.error("argument --dtype: not allowed with argument --litert")
        if options.with_alignment or any(value is not None for value in stored.values()):
            options.parser.error(
                "--litert: such a file holds neither evaluation nor threshold nor alignment"
            )
        check_folder_of(options.out)
        load_tensorflow()
        from facenet_lib.export.litert import export_litert

        print(export_litert(options.model, options.out, options.litert))
        return
    dtype, alignment = options.dtype or "float32", _alignment_of(options)
    if options.runtime:
        if alignment is not None:
            options.parser.error(
                f"--with-alignment: not with --{options.runtime}, whose network takes windows and "
                "no photographs"
            )
        load_tensorflow()
        from facenet_lib.export.runtime_files import export_for_runtime

        print(export_for_runtime(options.model, options.out, options.runtime, dtype, **stored))
        return
    load_tensorflow()
    from facenet_lib.export.saved_model import export_model

    print(export_model(options.model, options.out, dtype, alignment=alignment, **stored))


def _alignment_of(options: argparse.Namespace) -> GraphAlignment | None:
    named = {name: getattr(options, name) for name in ("crop", "margin", "size", "most_faces")}
    named = {name: value for name, value in named.items() if value is not None}
    if not options.with_alignment:
        if named:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in named)
            options.parser.error(f"{words}: only with --with-alignment")
        return None
    from facenet_lib.alignment.graph import GraphAlignment

    return GraphAlignment(**named)
