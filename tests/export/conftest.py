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
def rest_server(exported):
    """The small server with the SavedModel behind it, listening; see `server_address`."""
    import threading

    from ssagan_tf.export.server import serve

    with serve(exported.parent, port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def served(rest_server):
    """The `ServedModel` behind `rest_server`."""
    return rest_server.RequestHandlerClass.model
