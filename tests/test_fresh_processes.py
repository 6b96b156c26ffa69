from pathlib import Path

import fresh_processes
import pytest

pytestmark = pytest.mark.slow  # the first one loads TensorFlow


def test_words_and_environment_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THIS_TEST", "1")
    program = "import os, sys; print(sys.argv[1:], os.environ['OF_THIS_TEST'], __name__)"
    fresh_processes.run(program, "a", 2, log=tmp_path / "log")
    assert (tmp_path / "log").read_text() == "['a', '2'] 1 __main__\n"


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("raise SystemExit('no good')", 1, "no good"),
        ("def f():\n    1 / 0\nf()", 1, "    1 / 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
    ],
)
def test_a_bad_end_is_told(tmp_path: Path, program: str, code: int, said: str) -> None:
    with pytest.raises(AssertionError) as caught:
        fresh_processes.run(program, log=tmp_path / "log")
    assert str(caught.value).startswith(f"ended with {code}: ")
    assert said in str(caught.value)
