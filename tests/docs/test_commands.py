"""The commands of README and docs: found, marked where they cannot be run everywhere, and right in their flags."""

import importlib.util
import pathlib
import subprocess
import sys

import processes
import pytest
from processes import ROOT

_SPEC = importlib.util.spec_from_file_location("docs_commands", ROOT / "docs" / "commands.py")
commands = importlib.util.module_from_spec(_SPEC)
sys.modules["docs_commands"] = commands
_SPEC.loader.exec_module(commands)
BLOCKS = [block for page in commands.pages() for block in commands.blocks(page, (ROOT / page).read_text())]


def test_every_page_is_in_the_menu():
    assert set(commands.pages()) == {"README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))}


def test_blocks_are_found_with_their_marks_and_lines():
    page = "# Page\n\n```sh\nls\n```\n\n<!-- needs: gpu -->\n```sh\npython scripts/train.py\n```\n\n```python\nx\n```\n"
    page += "<!-- stays: 80 -->\n```sh\nserve\n```\n"
    found = commands.blocks("page.md", page)
    assert [(block.line, block.commands, block.needs, block.stays) for block in found] == [
        (4, "ls\n", None, None),
        (9, "python scripts/train.py\n", "gpu", None),
        (17, "serve\n", None, 80),
    ]
    with pytest.raises(ValueError, match="page.md:3: no such mark: luck"):
        commands.blocks("page.md", "<!-- needs: luck -->\n```sh\nls\n```\n")


def test_trainings_are_cut_short_and_nothing_else():
    told = "python scripts/train.py --steps=900 \\\n  --out=x    # a comment\npython scripts/sample.py --model=x\n"
    shorter = commands.shorter(told).splitlines()
    flags = "--steps=900 --out=x --max_minutes=0.3 --pretraining_steps=2"
    assert shorter[0].split() == f"python scripts/train.py {flags} # a comment".split()
    assert shorter[1].split() == ["python", "scripts/sample.py", "--model=x"]
    assert "pretraining_steps" not in commands.shorter("python scripts/train.py --damsm=runs/damsm\n")


def test_a_wrong_flag_is_found_and_nothing_is_run():
    block = commands.Block("page.md", 1, "python scripts/sample.py --caption=x --out=/x.png\nnot_there\ncd nowhere\n")
    commands.check(block)
    assert not pathlib.Path("/x.png").exists()
    with pytest.raises(subprocess.CalledProcessError):
        commands.check(commands.Block("page.md", 1, "python scripts/sample.py --captoin=x\n"))


def test_pages_run_in_an_environment_of_their_own(tmp_path, monkeypatch):
    """So that what they install never changes that of whoever runs them."""
    project = tmp_path / "project"
    (project / "docs").mkdir(parents=True)
    program = f"printf '#!/bin/sh\\necho $$0 >> {tmp_path}/ran\\n' > .venv/bin/python; chmod +x .venv/bin/python"
    (project / "Makefile").write_text(f"install:\n\tmkdir -p .venv/bin; {program}\n")
    (project / "README.md").write_text("```sh\nmake install\npython\n```\n")
    (project / "docs" / "page.md").write_text("```sh\npython\n```\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=all"]):
        processes.run(*git, *command, cwd=project, check=True)
    monkeypatch.setattr(commands, "ROOT", project)
    for page in ("README.md", "docs/page.md"):
        monkeypatch.setattr(sys, "argv", ["commands.py", page])
        commands.main()
    ran = [pathlib.Path(line) for line in (tmp_path / "ran").read_text().split()]
    assert [path.parts[-4:] for path in ran] == [("checkout", ".venv", "bin", "python")] * 2
    assert not any(path.is_relative_to(sys.prefix) for path in ran)


def test_no_script_is_called_outside_of_a_block():
    """So that every whole command of a page is one that is run or checked."""
    for page in commands.pages():
        text = (ROOT / page).read_text()
        whole = text.count("\npython scripts/") + text.count("\n.venv/bin/python scripts/")
        inside = "\n" + "".join("\n" + block.commands for block in commands.blocks(page, text))
        assert whole == inside.count("\npython scripts/") + inside.count("\n.venv/bin/python scripts/"), page


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_script_that_is_called_takes_these_flags(block):
    commands.check(block)
