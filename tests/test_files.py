"""Files are written whole or not at all, and text is read as any editor saves it."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from made_up_windows import needs_descriptors, windows_files
from toy_training import full_disk

from facenet_lib.errors import FacenetError
from facenet_lib.files import (
    check_new_folder,
    decode_text,
    explain_write_errors,
    is_reserved,
    list_folder,
    normalize_name,
    open_whole_file,
    open_whole_folder,
    read_arrays,
    read_bytes,
    read_text,
    write_text,
)


def test_a_whole_file_appears_at_the_end_or_never(tmp_path):
    path = tmp_path / "card.json"
    with open_whole_file(path) as file:
        file.write(b"old")
        assert not path.exists()
    assert path.read_bytes() == b"old"
    with pytest.raises(KeyboardInterrupt), open_whole_file(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@needs_descriptors
def test_a_whole_folder_takes_the_place_of_an_empty_one_and_of_no_other(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for expected in ("written", "refused"):
        with windows_files():
            try:
                with open_whole_folder(folder) as part:
                    (part / expected).write_bytes(b"")
                told = "written"
            except FacenetError as error:
                assert "model: cannot be written: Directory not empty" in str(error)
                told = "refused"
        assert told == expected
        assert [path.name for path in folder.iterdir()] == ["written"]
    assert list(tmp_path.iterdir()) == [folder]


def test_what_cannot_be_written_is_told_and_what_there_was_stays(tmp_path):
    path = tmp_path / "card.json"
    write_text(path, "old")
    with full_disk(1000), pytest.raises(FacenetError, match=r"card\.json: cannot be written: File"):
        write_text(path, "x" * 2000)
    assert read_text(path) == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FacenetError, match="cannot be written: No such file"):
        write_text(tmp_path / "gone" / "card.json", "new")
    with (
        pytest.raises(FacenetError, match="folder: cannot be written: Not a directory"),
        explain_write_errors(tmp_path / "folder"),
    ):
        (path / "folder").mkdir()


def test_a_folder_to_write_is_new_or_empty(tmp_path):
    check_new_folder(tmp_path)
    check_new_folder(tmp_path / "new")
    (tmp_path / "file").write_bytes(b"")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(FacenetError) as raised:
            check_new_folder(taken)
        assert str(raised.value) == f"{taken}: already there; name a folder that is new or empty"
    with pytest.raises(FacenetError, match="cannot be read: File name too long"):
        check_new_folder(tmp_path / ("x" * 5000))


def test_a_word_goes_before_a_path_and_says_so_where_it_hides_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert is_reserved("lfw", ["lfw", "drawn"], "LFW")
    assert capsys.readouterr().err == ""
    (tmp_path / "lfw").mkdir()
    assert is_reserved("lfw", ["lfw", "drawn"], "LFW")
    assert capsys.readouterr().err == "lfw: taken for LFW; what is here is named ./lfw\n"
    assert is_reserved("lfw", ["lfw"], "LFW", Path.is_file)  # a folder was not meant
    for path in ("./lfw", Path("lfw"), "lfw/", "LFW", None):
        assert not is_reserved(path, ["lfw", "drawn"], "LFW")
    assert capsys.readouterr().err == ""


def test_what_no_text_can_hold_is_told_with_its_line(tmp_path):
    name = "Ren\udce9"
    with pytest.raises(FacenetError, match=r"names in UTF-8 to write, found 'Ren\\udce9'; rename"):
        write_text(tmp_path / "people.txt", f"Ann\n{name}\nBob\n")
    assert not list(tmp_path.iterdir())


def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "pairs.txt"
    write_text(path, "Zoë\n")
    assert read_text(path) == "Zoë\n"
    path.write_bytes("\ufeffZoë\r\n".encode())
    assert read_text(path) == "Zoë\n"


def test_what_is_no_archive_of_ours_is_told_and_nothing_is_unpickled(tmp_path):
    path = tmp_path / "people.npz"
    for content, told in (
        (b'{"a": 1}', "a file of another kind"),
        (b"\x80\x04N.", "a pickle of Python"),
        (b"\x93NUMPY\x01\x00", r"an array that NumPy saved \(\.npy\)"),
        (b"", "a damaged file or another: No data left in file"),
        (b"PK\x03\x04" + b"x" * 9999, "a damaged file or another: File is not a zip file"),
    ):
        path.write_bytes(content)
        with pytest.raises(FacenetError, match=rf"expected a gallery, found {told}$"):
            read_arrays(path, "a gallery")
    np.savez(path, embeddings=np.zeros(3))
    with pytest.raises(FacenetError, match=r"a gallery, found an archive of 'embeddings'$"):
        read_arrays(path, "a gallery")


@pytest.mark.parametrize("sign", [b"\xfe\xff", b"\0a\0b", b"\xff\xfe\0\0"])
def test_bytes_that_are_other_text_or_none_are_told(sign):
    with pytest.raises(FacenetError, match=r"^a: expected names in UTF-8, found (UTF|a file that)"):
        decode_text(sign * 9, "a", "names")


def test_bytes_are_read_as_they_are_or_it_is_told_why_not(tmp_path):
    (tmp_path / "face.jpg").write_bytes(b"\xff\r\n")
    assert read_bytes(tmp_path / "face.jpg") == b"\xff\r\n"
    with pytest.raises(FacenetError, match=r"gone\.jpg: cannot be read: No such file"):
        read_bytes(tmp_path / "gone.jpg")


def test_what_is_no_text_is_told(tmp_path):
    path = tmp_path / "pairs.txt"
    with pytest.raises(FacenetError, match=r"pairs\.txt: cannot be read: No such file"):
        read_text(path)
    path.write_bytes(b"Ann\xff")
    with pytest.raises(
        FacenetError, match=r"in UTF-8, found byte 0xff at position 4 of line 1; save"
    ):
        read_text(path)


def test_what_is_the_user_s_is_listed_and_a_system_s_own_is_not(tmp_path):
    systems = (
        "._Ann",
        ".DS_Store",
        "Thumbs.db",
        "thumbs.db",
        "desktop.ini",
        "@eaDir",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
        "#recycle",
        "lost+found",
    )
    users = ("Ann", "DS_Store", "Mac OS", "_Bob", "eaDir", "thumbs")
    for name in systems + users:
        (tmp_path / name).mkdir()
    assert [path.name for path in list_folder(tmp_path)] == sorted(users)
    with pytest.raises(FacenetError, match="already there"):
        check_new_folder(tmp_path)
    for name in users:
        (tmp_path / name).rmdir()
    check_new_folder(tmp_path)  # as good as empty


def test_names_are_in_order_and_equal_in_whichever_form_they_came(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert normalize_name(composed) == normalize_name(decomposed) == composed
    for name in (decomposed, "Josf"):
        (tmp_path / name).touch()
    assert [path.name for path in list_folder(tmp_path)] == ["Josf", decomposed]
