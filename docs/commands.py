"""Runs every command of README.md and docs/*.md, in the order of the site's menu.

    python docs/commands.py                     # trainings cut short: that all works, not what comes out
    python docs/commands.py --full              # as they stand; hours on a CPU
    python docs/commands.py README.md docs/data.md

All is run in a copy of the checkout, in an environment of its own that `make install` makes there. Each page finds it
as it was, but for `runs/first`, which the first page that trains it leaves to the others. A comment before a block
marks what cannot be run everywhere:

    <!-- needs: gpu -->      or data, download, docker, hours: the scripts' flags alone are checked, with --dry_run
    <!-- stays: 8501 -->     a server: it runs on while the rest of its page does, once it listens at that port
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
README = "README.md"
NEEDS = {"gpu", "data", "download", "docker", "hours"}
_BLOCK = re.compile(r"(?:<!-- (needs|stays): (\w+) -->\n)?```(?:sh|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_MENU = re.compile(r"([\w/]+\.md)")
# What cuts a command short: the last of a flag counts.
_SHORTER = {
    "train.py": "--max_minutes=0.3",
    "pretrain_damsm.py": "--max_minutes=0.3",
    "evaluate.py": "--count=150",
}
_NEW_TRAINING = "--pretraining_steps=2"  # not of one that is resumed, or that is given its encoders
_DRY = """
PATH={folder}
command_not_found_handle() {{ return 0; }}
cd() {{ :; }}
python() {{ if [[ $1 == scripts/*.py ]]; then {python} "{root}/$@" --dry_run; fi; }}
"""
_SECONDS = 3600
_LISTENING = 300  # seconds until a server must


@dataclasses.dataclass(frozen=True)
class Block:
    """Commands that stand together.

    Attributes:
        page: file, from the checkout.
        line: of the first command.
        commands: as they stand.
        needs: what they need that not every machine has, one of `NEEDS`, or None.
        stays: port at which they listen, and do not end; or None.
    """

    page: str
    line: int
    commands: str
    needs: str | None = None
    stays: int | None = None


def pages() -> list[str]:
    """README, then the pages in the order of the menu."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    return [README, *(f"docs/{page}" for page in _MENU.findall(menu))]


def blocks(page: str, text: str) -> list[Block]:
    """The blocks of a page. Raises ValueError for a mark that does not exist."""
    found = []
    for match in _BLOCK.finditer(text):
        kind, value, commands = match.groups()
        line = text.count("\n", 0, match.start(3)) + 1
        if kind == "needs" and value not in NEEDS:
            raise ValueError(f"{page}:{line}: no such mark: {value}; use one of {', '.join(sorted(NEEDS))}")
        needs, stays = (value if kind == "needs" else None), (int(value) if kind == "stays" else None)
        found.append(Block(page, line, commands, needs, stays))
    return found


def check(block: Block) -> None:
    """Checks the flags of a block's scripts. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "saved_models").symlink_to(ROOT / "saved_models")
        # Programs of environments that are not there are those that are.
        commands = re.sub(r"[\w.-]+(?:/[\w.-]+)*/bin/(python|pip) ", r"\1 ", block.commands)
        _bash(_DRY.format(folder=folder, root=ROOT, python=sys.executable) + commands, pathlib.Path(folder))


def shorter(commands: str) -> str:
    """The commands with trainings and scorings cut short."""
    return re.sub(r"python scripts/(\w+\.py) [^\n#|&]*", _shorter, commands.replace("\\\n", " "))


def _shorter(call: re.Match) -> str:
    flags = [_SHORTER.get(call[1], "")]
    if call[1] == "train.py" and not re.search("--(damsm|resume)", call[0]):
        flags.append(_NEW_TRAINING)
    return f"{call[0]} {' '.join(flags)} "


@contextlib.contextmanager
def staying(block: Block, folder: pathlib.Path) -> Iterator[None]:
    """Runs a block that does not end while the context lasts. Raises RuntimeError if it does not listen."""
    command = ["bash", "-e", "-c", block.commands]
    with subprocess.Popen(command, cwd=folder, env=_environment(folder), start_new_session=True) as process:
        try:
            _wait_for(block, process)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _wait_for(block: Block, process: subprocess.Popen) -> None:
    end = time.monotonic() + _LISTENING
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", block.stays), 1):
            return
        time.sleep(1)
    raise RuntimeError(f"{block.page}:{block.line}: nothing listens at port {block.stays}")


def run_page(page: str, folder: pathlib.Path, full: bool) -> None:
    """Runs a page's blocks in a folder. Raises CalledProcessError for the first that fails."""
    with contextlib.ExitStack() as servers:
        for block in blocks(page, (ROOT / page).read_text(encoding="utf-8")):
            print(f"=== {page}:{block.line} {f'flags alone: {block.needs}' if block.needs else ''}", flush=True)
            if block.needs is not None:
                check(block)
            elif block.stays is not None:
                servers.enter_context(staying(block, folder))
            else:
                _bash(block.commands if full else shorter(block.commands), folder)


def _bash(commands: str, folder: pathlib.Path) -> None:
    subprocess.run(["bash", "-e", "-c", commands], cwd=folder, env=_environment(folder), check=True, timeout=_SECONDS)


def _environment(folder: pathlib.Path) -> dict[str, str]:
    return os.environ | {"PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"}


def copied(scratch: pathlib.Path) -> pathlib.Path:
    """A copy of what git knows of the checkout, in which git can tell what came later."""
    folder = scratch / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split():
        shutil.copy2(ROOT / name, folder / name)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="[default: all]")
    parser.add_argument("--full", action="store_true", help="Trainings as long as they are.")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, first = copied(pathlib.Path(scratch)), pathlib.Path(scratch) / "first"
        asked = flags.pages or pages()
        if README not in asked:  # which does it itself
            _bash("make install", folder)
        for page in asked:
            if first.is_dir() and "--out=runs/first" not in (ROOT / page).read_text(encoding="utf-8"):
                shutil.copytree(first, folder / "runs" / "first")
            run_page(page, folder, flags.full)
            if (folder / "runs" / "first").is_dir() and not first.is_dir():
                shutil.copytree(folder / "runs" / "first", first)
            subprocess.run(["git", "clean", "-qxdff", "--exclude=.venv"], cwd=folder, check=True)
    print("All commands worked.")


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, RuntimeError) as error:
        sys.exit(f"error: {error}")
