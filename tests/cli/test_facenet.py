import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running_commands import facenet, one_line
from toy_training import SETTINGS

from facenet_lib import __version__
from facenet_lib.cli import main
from facenet_lib.errors import FacenetError
from facenet_lib.lfw_pairs import read_pairs
from facenet_lib.recognition.fingerprint import Fingerprint
from facenet_lib.recognition.gallery import Gallery

COMMANDS = (
    "draw-faces",
    "import-weights",
    "train",
    "report",
    "evaluate",
    "distances",
    "embed",
    "export",
    "serve",
)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_comes_without_tensorflow(words):
    # TensorFlow's import, and keras', would fail.
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'matplotlib']));"
        "from facenet_lib.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: facenet")
    assert done.stderr == ""
    if words == ("--help",):
        assert all(command in done.stdout for command in COMMANDS)
    if words[0] == "train":
        assert all(f"--{name.replace('_', '-')}" in done.stdout for name in SETTINGS)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train", "are written ./lfw and ./drawn"),
        ("train", "called like a recipe is written ./NAME"),
        ("evaluate", "are written ./lfw and ./drawn"),
        ("distances", "are written ./lfw and ./drawn"),
        ("import-weights", "a path that is also a name is written ./NAME"),
        ("align", "./NAME for one that is called like a detector"),
    ],
)
def test_help_says_how_to_name_what_a_word_hides(command, told, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert told in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_the_module_is_the_command():
    done = facenet("--version")
    assert (done.returncode, done.stdout) == (0, f"facenet {__version__}\n")
    assert facenet().returncode == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: COMMAND"),
        (["swim"], "invalid choice"),
        (["train", "faces"], "required: --out"),
        (["train", "faces", "--out", "x", "--epochs", "many"], "invalid int value"),
        (["train", "faces", "--out", "x", "--epochs", "0"], "epochs: expected at least 1"),
        (["train", "faces", "--out", "x", "--blocks", "1", "2"], "expected 3 arguments"),
        (["train", "faces", "--out", "x", "--width", "nan"], "width: expected a number"),
        (["train", "faces", "--out", "x", "--learning-rates", "none.txt"], "none.txt"),
        (["embed", "model"], "required: --out"),
        (["embed", "--out", "x"], "required: MODEL, IMAGE"),
        (["embed", "model", "--out", "x"], "required: IMAGE"),
        (["evaluate", "faces"], "required: FACES"),
        (["serve"], "required: [NAME=]MODEL"),
        (["serve", "model", "--docker", "--tensorflow-serving"], "not allowed with"),
        (["serve", "model", "--versions", "newest"], "latest:N, all, or numbers such as 1,2"),
        (["serve", "model", "--label", "stable"], "expected LABEL=VERSION"),
        (["serve", "model", "--label", "a=1", "--label", "a=2"], "found one twice"),
        (["serve", "model", "--image", "x"], "only with --docker"),
        (["serve", "model", "--rest-port", "65536"], "expected a number from 0 to 65535"),
        (["serve", "model", "--grpc-port", "-1"], "expected a number from 0 to 65535"),
        (["export", "run"], "required: OUT"),
        (["export", "run", "x", "--litert", "int8", "--threshold", "1"], "neither evaluation nor"),
        (["export", "run", "x", "--litert", "int8", "--dtype", "bfloat16"], "not allowed with"),
        (["export", "run", "x", "--onnx", "--openvino"], "not allowed with"),
        (["export", "run", "x", "--onnx", "--with-alignment"], "takes windows and no photographs"),
        (["evaluate", "model", "faces", "--metric", "manhattan"], "invalid choice"),
        (["evaluate", "model", "faces", "--standardization", "none"], "invalid choice"),
        (["evaluate", "model", "faces", "--crop", "all"], "invalid int value"),
        (["train", "faces", "--out", "x", "--freeze-until", "Mixed_6b"], "an initial_model"),
        (["import-weights", "file"], "required: OUT"),
    ],
)
def test_wrong_usage_exits_with_2(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (["embed", "http://x", "image", "--out", "x"], "urllib3"),
        (["serve", "model", "--docker"], "urllib3"),
        (["serve", "model"], "tornado"),
    ],
)
def test_the_extra_that_is_missing_is_named(words, package):
    program = (
        "import sys; sys.modules[sys.argv.pop(1)] = None;"  # importing it raises
        "from facenet_lib.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, package, *words], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        f"needs the package {package}, which is not installed: pip install 'facenet-lib[serving]'"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_options_may_stand_anywhere(run, folder, tmp_path):
    images = [str(folder / "Known_1" / f"Known_1_000{number}.jpg") for number in (1, 2)]
    out = str(tmp_path / "x.npz")
    assert main(["embed", str(run), images[0], "--out", out, images[1]]) == 0
    with np.load(out) as archive:
        assert archive["paths"].tolist() == images
    figures = tmp_path / "x.json"
    assert main(["evaluate", str(run), "--json", str(figures), str(folder)]) == 0
    assert figures.is_file()


@pytest.mark.slow
def test_failures_are_explained_in_one_line(run, exported, folder, tmp_path, capsys):
    image = str(folder / "Known_1" / "Known_1_0001.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"GIF89a")
    for words, told in (
        (["evaluate", str(tmp_path), str(folder)], "expected the folder of a run"),
        (["evaluate", str(run), str(tmp_path / "none")], "none: expected a folder"),
        (["evaluate", str(run), str(folder), "--pairs", str(tmp_path / "p")], "expected a file"),
        (["evaluate", str(run), str(folder), "--json", str(tmp_path)], "expected a file in"),
        (["embed", str(run), str(tmp_path / "bad.jpg"), "--out", str(tmp_path / "x")], "GIF"),
        (["embed", str(run), image, "--out", str(tmp_path / "none" / "x")], "expected a file in"),
        (["embed", str(run), image, "--out", str(tmp_path)], "expected a file in"),
        (["export", str(run), str(run)], "already there"),
        (["export", str(run), str(tmp_path / "m"), "--threshold", "1"], "no false_accept_rate"),
        (
            ["export", str(run), str(tmp_path / "m"), "--evaluation", image],
            "'facenet evaluate --json' writes in UTF-8, found a JPEG image",
        ),
        (["export", str(tmp_path), str(tmp_path / "model")], "expected the folder of a run"),
        (["export", "run", str(tmp_path / "n" / "x"), "--litert", "int8"], "expected a file in a"),
        (["evaluate", str(exported), str(folder), "--crop", "60"], "has its standardization and"),
        (
            ["evaluate", str(run), str(folder), "--crop", "0"],
            "--crop: expected an integer of at least 1",
        ),
        (["import-weights", image, str(tmp_path / "model")], "Known_1_0001.jpg"),
        (["import-weights", str(tmp_path / "none"), str(tmp_path / "model")], "none"),
        (["train", str(folder), "--out", str(tmp_path / "x"), "--from", "none"], "none: expected"),
        (["train", str(folder), "--out", str(run), "--config", "none"], "none: expected a YAML"),
    ):
        assert main(words) == 1, words
        assert told in one_line(capsys.readouterr())
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jpg"]
    assert main(["train", str(folder), "--out", str(folder)]) == 1
    *taken, failure = capsys.readouterr().err.splitlines()  # first, whom it would train on
    assert "not empty and no training run" in failure
    assert all(line.startswith("facenet: ") for line in [*taken, failure])


NAME = "\u0141ukasz \u738b"  # of two scripts that cp1252 lacks
ESCAPED = "\\u0141ukasz \\u738b"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_name_that_the_output_s_encoding_lacks_is_escaped(tmp_path, monkeypatch, encoding):
    gallery = Gallery(Fingerprint("facenet", np.eye(4, 2)))
    gallery.enroll(NAME, [[1.0, 0.0]], ["1.jpg"])
    gallery.save(tmp_path / "people.npz")
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, file in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding, write_through=True))
    assert main(["gallery", str(tmp_path / "people.npz")]) == 0
    assert ESCAPED in written["stdout"].getvalue().decode()
    assert main(["report", NAME]) == 1
    assert (
        written["stderr"].getvalue().decode().startswith(f"facenet: {ESCAPED}/report.png: expected")
    )


def test_what_would_steer_a_terminal_is_escaped(monkeypatch, capsys):
    def refused(*arguments, **options):
        raise FacenetError("a.h5: 2 problems\n  \x1b]0;title\x07\x9b: a\tlink\r\n  Zo\u00eb \u738b")

    monkeypatch.setattr("facenet_lib.drawn_faces.dataset.write_faces", refused)
    assert main(["draw-faces", "nowhere"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "facenet: a.h5: 2 problems",
        "  \\x1b]0;title\\x07\\x9b: a\\tlink\\r",
        "  Zo\u00eb \u738b",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "C"])
def test_commands_end_well_whatever_the_terminal_can_show(tmp_path, encoding):
    """Redirected, with a bar of progress; "C" is the encoding of LANG=C, for names of files too."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    if encoding == "C":
        of_python = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        environment = {**os.environ, "LC_ALL": "C", **of_python}
    faces = tmp_path / NAME
    words = ("--identities", 21, "--images-per-identity", 2, "--size", 64)
    done = facenet("draw-faces", faces, *words, env=environment)
    assert done.returncode == 0, done.stderr
    assert "drawing: 100%" in done.stderr
    assert "ukasz" in done.stdout
    assert read_pairs(faces / "pairs.txt")
    done = facenet("report", faces, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert ": not a training run" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [
        (("--help",), ""),
        (("draw-faces", "--help"), ""),
        (("gallery", "people.npz"), ""),
        (("gallery", "people.npz"), "1"),  # argparse says nothing of its help's fate
    ],
)
def test_a_reader_that_goes_away_ends_a_command_without_complaint(tmp_path, words, unbuffered):
    gallery = Gallery(Fingerprint("facenet", np.eye(4, 2)))
    gallery.enroll(NAME, [[1.0, 0.0]], ["1.jpg"])
    gallery.save(tmp_path / "people.npz")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        assert run_into(output, tmp_path, words, unbuffered) == (1, "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_is_full_is_told_in_one_line(tmp_path):
    with Path("/dev/full").open("wb") as output:
        code, told = run_into(output, tmp_path, ("--help",))
    assert code == 1
    assert told == "facenet: the output cannot be written: No space left on device\n"


FAILS_AFTER_SOME_OUTPUT = """
from facenet_lib.cli.facenet import main
from facenet_lib.drawn_faces import dataset
from facenet_lib.errors import FacenetError

def write_faces(*arguments, **options):
    print("drawn")
    raise FacenetError("no more room")

dataset.write_faces = write_faces
raise SystemExit(main(["draw-faces", "faces"]))
"""


@pytest.mark.slow
def test_a_failure_is_all_that_is_told_where_nobody_reads_the_output(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = run_into(output, tmp_path, ("-c", FAILS_AFTER_SOME_OUTPUT), program=())
    assert done == (1, "facenet: no more room\n")


def run_into(output, folder, words, unbuffered="", program=("-m", "facenet_lib")):
    """A command's exit code, and what it says beside what it writes to ``output``."""
    done = subprocess.run(
        [sys.executable, *program, *words],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_ctrl_c_before_anything_is_done_is_one_line(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("facenet_lib.drawn_faces.dataset.write_faces", interrupted)
    assert main(["draw-faces", "nowhere"]) == 1
    assert one_line(capsys.readouterr()) == "facenet: interrupted\n"


@pytest.mark.parametrize("mistake", [ZeroDivisionError, BrokenPipeError])
def test_a_mistake_of_our_own_keeps_its_traceback(monkeypatch, mistake):
    """Also one that looks as if the output had failed, which can still be written."""

    def wrong(*arguments, **options):
        raise mistake

    monkeypatch.setattr("facenet_lib.drawn_faces.dataset.write_faces", wrong)
    with pytest.raises(mistake):
        main(["draw-faces", str(Path("nowhere"))])
