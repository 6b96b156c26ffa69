import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from facenet_lib import plots


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        plots.style()
        yield
    plt.close("all")
