"""What was published and where: addresses, sums, training sets and terms.

Nothing is known of a file but what its publishers say, so its sha256 stands beside its address:
what comes from there is taken for that file only if the sum is the same. Derived in chapter 11,
"The published weights".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownFile:
    """A file that somebody published, and the sum that it is known by.

    Attributes:
        address: a URL that ends with the file's name.
        sha256: 64 hexadecimal digits.
        about: what it is, what it was trained on, and the terms; said before it is fetched.
        by_hand: the command that takes the file by its path, for who downloaded it by hand.

    >>> YUNET.name
    'face_detection_yunet_2023mar.onnx'
    """

    address: str
    sha256: str
    about: str
    by_hand: str

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True)
class Release:
    """A network that was published.

    Attributes:
        name: the reference's name, the time at which the training began.
        training_set: the images it was trained on.
        file: its weights, in the format that is fetched.
        other_sums: sha256 of its files in the other formats; of a checkpoint, of the data file.
    """

    name: str
    training_set: str
    file: KnownFile
    other_sums: tuple[str, ...]


def find_release(sha256: str) -> Release | None:
    """Return the release that has a file with this sum; None if it is not known here.

    >>> find_release(RELEASES["vggface2"].file.sha256).name
    '20180402-114759'
    """
    return next(
        (
            release
            for release in RELEASES.values()
            if sha256 in (release.file.sha256, *release.other_sums)
        ),
        None,
    )


_PYTORCH = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
_KERAS = "https://github.com/faustomorales/keras-facenet/releases/download/v0.3.1"
_IMAGE_TERMS = {
    "VGGFace2": "were under a Creative Commons licence that asks to share alike, and went offline "
    "in 2020",
    "CASIA-WebFace": "are treated as for research only; no text of their terms is known at their "
    "source",
    "MS-Celeb-1M": "were taken from the web without asking the people in them, and were withdrawn "
    "in 2019",
}


def _release(name: str, training_set: str, address: str, sha256: str, *other_sums: str) -> Release:
    about = (
        f"{name}: weights that davidsandberg/facenet trained on {training_set}. They come without "
        f"terms of their own. The images {_IMAGE_TERMS[training_set]}. What follows for the "
        "weights is not settled; chapter 11 has the sources."
    )
    file_name = address.rpartition("/")[2]
    known = KnownFile(address, sha256, about, f"facenet import-weights {file_name} OUT")
    return Release(name, training_set, known, other_sums)


# Of the other formats: Keras' file of weights where it is not what is fetched, that of a whole
# model, the frozen graph, the checkpoint's data.
_RELEASES = (
    _release(
        "20180402-114759",
        "VGGFace2",
        f"{_PYTORCH}/20180402-114759-vggface2.pt",
        "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        "8b71e7045497e841c00ee568f031d1a4d30908fceadf6884aef2dec4d545202b",
        "c99bfb20ca9959afb7bb83a1a6f4b7fc65bacf471c7f945c15a39881057a56be",
        "bf2c12f31880aaa865fa5a9c168dcbd619f7a40b1633f6446d416fac2421ab99",
        "5ccfbec36aa87074e96507d1b2957c739ddd1ce928cdc8f31b70fd3f7091f25a",
    ),
    _release(
        "20180408-102900",
        "CASIA-WebFace",
        f"{_KERAS}/20180408-102900-weights.h5",
        "af526097bd89ff84dda94dc071ff39c4cf39922cf0a9d9dea652853cda9616be",
        "23cdb7f96553c3baa32fbb4f96aaa398a721ea26cd49de5a72c9beea6150d13e",
        "272568219fa6505371ceed76dca6b3925ef69b54962709cf76f763e9d8bf4cfb",
        "15d3109b99a6ca0d49843c183d4b417f7952f2948a1c246e2059813157b9d385",
    ),
    _release(
        "20170512-110547",
        "MS-Celeb-1M",
        f"{_KERAS}/20170512-110547-weights.h5",
        "668e950140ad76f1e21e3a2bc1d3ad9c673734ea8ea1abbf4ecc44d1dbdd400b",
        "0ce0e39b5c8b5a46b7005c520441e9776f058d650a66d7ef0ec28b67a8d06d6c",
        "8bdc3aed34e577113a656b8e5d0274346f8967fa7f0f9d6f3fdcd9608a29b9e4",
        "08bb31fc541d7cd2fcd2c499a1d90de45140828f0d08d23c34b65fab2d172ebb",
    ),
    _release(
        "20170511-185253",
        "CASIA-WebFace",
        f"{_KERAS}/20170511-185253-weights.h5",
        "28db99aaafce0e62b2cdb1db5ac733ffa9e52a365e1a3ca0a13c5159bd4363c4",
        "d7dbcee552427cd497190894ad5c9763313c3249f0b5dc2d6e0cc3e42d5ea063",
        "71fb49617aee7b007b66ed1e4474e749212ed9872ff3b47c25ee997c8262baa4",
        "8776a47ef7fd0a5848946295a763c2c10580c621f84f591d731f8c2b6d8eabf5",
    ),
)

RELEASES: Mapping[str, Release] = {
    "vggface2": _RELEASES[0],
    "casia-webface": _RELEASES[1],
    **{release.name: release for release in _RELEASES},
}
"""Name to network: the four that davidsandberg/facenet published, two of them also by what they
were trained on. Only files whose sum is known are in it.

Source: sums and addresses as keras-facenet's ``metadata.py`` has them, and for the file of
facenet-pytorch as several projects state its sum.
"""

YUNET = KnownFile(
    address="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    about="yunet: the face detector of OpenCV's model zoo, trained on WIDER FACE. The file is "
    "under the MIT licence.",
    by_hand="facenet align PHOTOS OUT --detector face_detection_yunet_2023mar.onnx",
)
"""The detector for ``cv2.FaceDetectorYN``, which chapter 10 uses."""
