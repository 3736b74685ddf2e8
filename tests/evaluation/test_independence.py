"""A score does not depend on the number of threads, and memory does not depend on the number of pictures."""

import json
import os

import processes
import pytest

_SCRIPT = """
import json, re, sys
import keras
from ssagan_tf import SSAGAN, Vocabulary
from ssagan_tf.data.synthbirds import SynthBirds, captions
from ssagan_tf.evaluation.report import evaluate
from ssagan_tf.networks import Generator, TextEncoder

count, out = int(sys.argv[1]), sys.argv[2]
birds = SynthBirds(64, count={"test": 200})
words = Vocabulary.build([text for index in range(200) for text in captions(birds.bird("test", index))])
keras.utils.set_random_seed(1)
model = SSAGAN(
    Generator(8, 64, 20, 16, 8, name="generator"), None,
    TextEncoder(len(words), 16, 0.5, 20, name="text_encoder"), vocabulary=words,
)
report = evaluate(model, birds, ["fid", "kid", "is", "precision_recall", "semantics"], "synthbirds", count, out)
values = {name: score["value"] for name, score in report["scores"].items()}
# Not getrusage's maximum: a child begins with its parent's.
peak = int(re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().replace("\\t", " "))[1]) / 2**20
print(json.dumps({"values": values, "peak": peak}))
"""


def _evaluate(folder, count, threads=1):
    settings = {"TF_NUM_INTRAOP_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    settings |= {"TF_CPP_MIN_LOG_LEVEL": "2", "XDG_CACHE_HOME": str(folder / "cache")}
    environment = processes.environment(**settings)
    done = processes.python("-c", _SCRIPT, count, folder / "out", env=environment, check=True, seconds=900)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_threads(tmp_path):
    one, two = (_evaluate(tmp_path / str(threads), 320, threads)["values"] for threads in (1, 2))
    # Pixels may differ by a rounding; that moves a distance in its fifth digit at most.
    assert one == pytest.approx(two, rel=1e-4, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read where Linux has it")
def test_memory_does_not_depend_on_the_number_of_pictures(tmp_path):
    few, many = (_evaluate(tmp_path / str(count), count)["peak"] for count in (320, 3200))
    assert many < 3
    assert many < few + 0.2  # GiB; 2,880 pictures and their features are 0.04, in float32 pictures 0.14
