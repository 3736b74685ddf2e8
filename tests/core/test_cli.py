"""What scripts have in common, seen from outside: each test runs a small script in another working folder."""

import re
import signal
import sys
import time

import processes
import pytest
from processes import ROOT

from ssagan_tf.core import calling

SCRIPT = '''"""Does what the tests ask of it.

    python script.py --do=nothing

The tests read this.
"""
import os
import sys
import time

from absl import app, flags, logging

from ssagan_tf.core import cli
from ssagan_tf.errors import UserError

_DEEDS = ["nothing", "settings", "refuse", "usage", "fail", "wait", "three", "chat", "path", "odd"]
_DO = flags.DEFINE_enum("do", None, _DEEDS, "What.", required=True)
_COUNT = flags.DEFINE_integer("count", 0, "How many.", lower_bound=0)
_NAMES = flags.DEFINE_multi_string("name", [], "Of whom.")
_FILE = cli.path_flag("file", None, "Where.")
_LOUD = flags.DEFINE_bool("loud", False, "Say it loudly.")

def main(argv):
    assert "tensorflow" not in sys.modules
    match _DO.value:
        case "path": cli.say(_FILE.value)
        case "settings": cli.say(os.environ["TF_CPP_MIN_LOG_LEVEL"] + os.environ["TF_ENABLE_ONEDNN_OPTS"])
        case "refuse": raise UserError("The picture is broken.\\nReceived: x.png. Remove it.")
        case "usage": raise app.UsageError("Give --count.")
        case "fail": raise KeyError("a mistake of ours")
        case "wait":
            cli.say("waiting")
            time.sleep(60)
        case "odd":
            cli.say("said \\x1b[31m\\u202e")
            logging.warning("logged %s", "\\x1b]0;owned\\x07")
        case "three": return 3
        case "chat":
            logging.info("From a library: all goes well.")
            logging.warning("From a library: something is odd.")
            exec(compile("logging.info('From the package.')", cli.__file__, "exec"))

if __name__ == "__main__":
    cli.run(main)
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def clean(**variables):
    return {"PATH": "", "PYTHONPATH": str(ROOT), **variables}


def run(script, *arguments, **environment):
    return processes.python(script, *arguments, cwd=script.parent, env=clean(**environment))


def test_the_users_folder_is_found_in_a_path(script):
    assert run(script, "--do=path", "--file=~/x/y", HOME="/home/me").stdout == "/home/me/x/y\n"


def test_a_terminal_that_lacks_a_letter_shows_its_code(script):
    done = run(script, "--do=path", "--file=ř", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stdout) == (0, "\\u0159\n")


def test_a_good_run_ends_with_0_and_says_nothing(script):
    done = run(script, "--do=nothing")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_status_that_main_returns_is_the_exit_status(script):
    assert run(script, "--do=three").returncode == 3


def test_of_other_packages_only_warnings_are_told(script):
    assert run(script, "--do=chat").stderr == "warning: From a library: something is odd.\nFrom the package.\n"


def test_a_terminal_obeys_nothing_that_is_said_or_logged(script):
    done = run(script, "--do=odd")
    assert (done.stdout, done.stderr) == ("said \\x1b[31m\\u202e\n", "warning: logged \\x1b]0;owned\\x07\n")


def test_a_user_error_is_one_line_without_traceback(script):
    done = run(script, "--do=refuse")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: The picture is broken. Received: x.png. Remove it.\n"


def test_a_mistake_of_ours_keeps_its_traceback(script):
    done = run(script, "--do=fail")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "a mistake of ours" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing: --do."),
        (["--cout=1"], "No such flag. Received: --cout. Did you mean --count?"),
        (["--num_images=4"], "No such flag. Received: --num_images. Did you mean --count?"),
        (["--zzz=4"], "No such flag. Received: --zzz. See"),
        (["--file=gs://bucket/x"], "--file=gs://bucket/x: Addresses of this kind are not read or written."),
        (["--do=sing"], "--do=sing: value should be one of <nothing|"),
        (["--do=nothing", "--count=few"], "--count=few: invalid"),
        (["--do=nothing", "--count=-1"], "--count=-1: -1 is not"),
        (["--do=nothing", "stray"], "Received: stray."),
        (["--do"], "Missing value for flag --do."),
    ],
)
def test_wrong_flags_are_one_line_with_a_hint_and_status_2(script, arguments, told):
    done = run(script, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert told in done.stderr
    assert done.stderr.endswith(f"See python {script} --help.\n")


def test_a_usage_error_of_main_has_status_2(script):
    done = run(script, "--do=usage")
    assert (done.returncode, done.stderr) == (2, "error: Give --count.\n")


@pytest.mark.parametrize(
    ("number", "status", "told"), [(signal.SIGINT, 130, "Interrupted.\n"), (signal.SIGTERM, 143, "Terminated.\n")]
)
def test_a_signal_ends_with_its_status_and_one_line(script, number, status, told):
    with processes.started(sys.executable, script, "--do=wait", stderr=processes.PIPE, seconds=30) as process:
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)
        process.send_signal(number)
        _, stderr = process.communicate()
    assert (process.returncode, stderr) == (status, told)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_the_docstring_and_the_scripts_own_flags(script, flag):
    done = run(script, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Does what the tests ask of it.",
        "",
        "    python script.py --do=nothing",
        "",
        "The tests read this.",
        "",
        "Flags:",
        "  --do=nothing|settings|refuse|usage|fail|wait|three|chat|path|odd",
        "                        What.",
        "  --count=INTEGER       How many. [default: 0]",
        "  --name=TEXT           Of whom.",
        "  --file=PATH           Where.",
        "  --loud                Say it loudly.",
        "  --dry_run             Check the flags, and do nothing.",
    ]


def test_tensorflow_is_told_to_be_quiet_and_fast_unless_the_user_says_otherwise(script):
    assert run(script, "--do=settings").stdout == "21\n"
    assert run(script, "--do=settings", TF_CPP_MIN_LOG_LEVEL="0", TF_ENABLE_ONEDNN_OPTS="0").stdout == "00\n"


def test_tensorflow_starts_without_a_word():
    code = (
        "from ssagan_tf.core import cli; cli.start_tensorflow(); import tensorflow as tf; print(tf.add(1, 1).numpy())"
    )
    code += "; tf.transpose(tf.constant([[True, False]]))"  # of which oneDNN speaks, once
    done = processes.python("-c", code, env=clean(TF_CPP_MIN_LOG_LEVEL="2"))
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_what_tensorflow_says_is_shown_if_it_does_not_start(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'no such driver\\n')\nraise ImportError('broken')")
    code = "from ssagan_tf.core import cli; cli.start_tensorflow()"
    done = processes.python("-c", code, env=clean(PYTHONPATH=f"{tmp_path}:{ROOT}"))
    assert done.returncode == 1
    assert "no such driver" in done.stderr and "ImportError: broken" in done.stderr


def test_what_tensorflow_says_is_not_shown_if_its_start_is_broken_off(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'no such driver\\n')\nraise KeyboardInterrupt")
    code = "from ssagan_tf.core import cli\ntry: cli.start_tensorflow()\nexcept KeyboardInterrupt: print('broken off')"
    done = processes.python("-c", code, env=clean(PYTHONPATH=f"{tmp_path}:{ROOT}"))
    assert (done.stdout, done.stderr) == ("broken off\n", "")


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("[a-z]*.py")), ids=lambda path: path.name)
def test_every_script_helps_without_importing_tensorflow(path, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    done = processes.python(path, "--help", cwd=tmp_path, env=clean(PYTHONPATH=f"{tmp_path}:{ROOT}"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python scripts/{path.name} --" in done.stdout


def test_commands_name_each_other_as_they_were_called(monkeypatch):
    told = "Next: python scripts/prepare_data.py --check"
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    assert (calling.command(), calling.usage(told)) == ("python scripts/train.py", told)
    assert calling.command_of("prepare_data") == "python scripts/prepare_data.py"
    monkeypatch.setattr(sys, "argv", ["/venv/bin/ssagan-serve-client"])
    assert (calling.command(), calling.script()) == ("ssagan-serve-client", "serve_client")
    assert calling.usage(told) == "Next: ssagan-prepare-data --check"
    assert calling.command_of("prepare_data") == "ssagan-prepare-data"


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_every_flag_of_a_file_or_a_folder_is_a_path(script):
    plain = re.findall(
        r"flags\.DEFINE_string\(\s*\"(\w+)\",[^()]*?\b(?:[Ff]older|[Ff]ile|checkpoint)\b", script.read_text()
    )
    assert plain == []
