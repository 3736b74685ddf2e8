import pytest

from ssagan_tf.evaluation import statistics


@pytest.fixture
def small_blocks(monkeypatch):
    """Statistics of many pictures come block by block; here of seven."""
    monkeypatch.setattr(statistics, "_BLOCK", 7)
