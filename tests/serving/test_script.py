"""The command: what it opens, and what it says where it cannot."""

import json
import sys
import urllib.request

import processes
import pytest
import servers

from ssagan_tf.config import preset
from ssagan_tf.core.files import BUNDLED_MODEL

SCRIPT = processes.ROOT / "scripts/demo.py"


def run(*arguments):
    return processes.python(SCRIPT, *arguments)


def test_what_cannot_be_opened_is_told_in_a_line(tmp_path):
    done = run(f"--model={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: No model found. Received: {tmp_path}. Give a run folder ")
    assert done.stderr.count("\n") == 1
    done = run(f"--model={tmp_path}", "--server=localhost")
    assert done.returncode == 1 and done.stderr.startswith("error: No such address. Received: localhost.")
    assert run("--port=70000").returncode == 2


def test_a_name_is_the_model_of_that_name():
    assert "Received: ftp://birds. Use a local path or hf://" in run("--model=ftp://birds").stderr
    command = [sys.executable, SCRIPT, "--model=synthbirds_64", "--server=http://localhost:8501", "--port=0"]
    with processes.started(*command) as process:
        url = process.stdout.readline().split()[1]
        words = (BUNDLED_MODEL / "vocabulary.txt").read_bytes()
        assert urllib.request.urlopen(f"{url}vocabulary.txt").read() == words


def test_help_says_what_exposing_it_means():
    done = run("--help")
    assert done.returncode == 0 and "no password" in done.stdout and "--host" in done.stdout


@pytest.mark.slow
def test_a_model_folder_is_exported_and_drawn_with(tmp_path):
    from ssagan_tf import SSAGAN, Vocabulary

    config = preset("small", "synthbirds")
    model = SSAGAN.from_model_config(config.model, Vocabulary.build(["a red bird"]), sampling_only=True)
    model.save_to_preset(tmp_path / "small", config, "A model that knows nothing.")
    command = [sys.executable, SCRIPT, f"--model={tmp_path / 'small'}", "--port=0"]
    with processes.started(*command) as process:
        assert process.stdout.readline() == "The model is being exported.\n"
        url = process.stdout.readline().split()[1]
        assert urllib.request.urlopen(f"{url}vocabulary.txt").read() == b"<end>\na\nred\nbird\n"
        servers.wait_until_ready(url)
        request = urllib.request.Request(f"{url}v1/models/small:predict", b'{"instances": ["a red bird"]}')
        assert json.load(urllib.request.urlopen(request))["predictions"][0]["b64"].startswith("iVBOR")
