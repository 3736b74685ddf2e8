"""Training that begins with the weights of a model folder, a converted one for example."""

import numpy as np
import pytest

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.training import resume, train
from ssagan_tf.training.run import Run, load_model

_VOCABULARY = Vocabulary(["<end>", "picture", "noise", "dots"])


def _model_folder(path, config, randomize, sampling_only=False):
    model = SSAGAN.from_model_config(config.model, _VOCABULARY, sampling_only)
    for part in (model.generator, model.text_encoder, model.discriminator):
        if part is not None:
            randomize(part)
    model.save_to_preset(path, config, "# Random\n")
    return model


@pytest.mark.slow
def test_resuming_a_model_folder_starts_with_its_weights_and_so_does_the_average(tiny, randomize, tmp_path):
    # Nothing is learned and the average hardly moves, so that what is saved is what training began with.
    still = tiny.override(generator_rate=0.0, discriminator_rate=0.0, ema_pictures=10**9, steps=1)
    model = _model_folder(tmp_path / "model", still, randomize)
    run, config = resume.resolve(tmp_path / "model", True, steps=1)
    outcome = train.train(run, config)
    assert outcome.step == 1
    again = load_model(run.folder).sampling_variables()
    for name, variable in model.sampling_variables().items():
        if not name.endswith("batches"):
            np.testing.assert_allclose(again[name].numpy(), variable.numpy(), atol=1e-5, err_msg=name)


def test_a_folder_for_sampling_alone_is_not_trained_on(tiny, randomize, tmp_path):
    _model_folder(tmp_path / "model", tiny, randomize, sampling_only=True)
    with pytest.raises(UserError, match="training.safetensors"):
        train.train(Run(tmp_path / "model"), tiny)
