"""One model with random weights for all, large enough that nothing is at its start and drawn in no time; its export."""

import pytest


@pytest.fixture(scope="session")
def random_model(random_sampler):
    """SSAGAN for sampling whose pictures are no plain colour."""
    return random_sampler("a red bird with yellow wings")


@pytest.fixture(scope="session")
def exported(random_model, tmp_path_factory):
    """The version's folder of its SavedModel, `.../birds/1`."""
    from ssagan_tf.export import export

    return export(random_model, tmp_path_factory.mktemp("exported") / "birds")


@pytest.fixture(scope="session")
def rest_address(exported):
    """Address of a server with the SavedModel behind it."""
    import servers

    with servers.running(exported.parent) as server:
        yield server.url.rstrip("/")


@pytest.fixture(scope="session")
def served(exported):
    """The SavedModel as a server has it."""
    from ssagan_tf.serving.saved_model import SavedModel

    return SavedModel(exported)
