"""The real data sets, where they are at hand."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of small real data sets and of deliberately broken inputs."""
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    return SHARED
