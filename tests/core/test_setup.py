"""The set-up of the tests themselves."""

import warnings

import pytest


@pytest.mark.parametrize("module", ["ssagan_tf", "ssagan_tf.data.records"])
@pytest.mark.parametrize("category", [DeprecationWarning, UserWarning, RuntimeWarning])
def test_a_warning_of_ours_is_an_error(module, category):
    with pytest.raises(category):
        warnings.warn_explicit("old", category, "x.py", 1, module=module)
