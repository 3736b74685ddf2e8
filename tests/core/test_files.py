import errno
import fcntl
import hashlib
import os
import pathlib
import signal
import socket
import sys
import textwrap

import processes
import pytest

from ssagan_tf.core import files
from ssagan_tf.errors import UserError

_HOLDER = """
import pathlib, sys, time
from ssagan_tf.core import files
with files.folder_locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_processs_as_long_as_it_lives(tmp_path):
    folder = tmp_path / "run"
    with processes.started(sys.executable, "-c", _HOLDER, folder) as holder:
        assert holder.stdout.readline() == "held\n"
        told = f"Received: {folder}, in use by process {holder.pid} on {socket.gethostname()}. Wait"
        with pytest.raises(UserError, match=told), files.folder_locked(folder):
            pass
    assert (folder / files.LOCK).exists()  # what a killed process leaves does not matter
    with files.folder_locked(folder):
        assert f"process {os.getpid()} " in (folder / files.LOCK).read_text()


@pytest.mark.parametrize("before", [False, True])
def test_a_lock_leaves_nothing_behind(tmp_path, before):
    folder = tmp_path / "run"
    if before:
        folder.mkdir()
    with files.folder_locked(folder):
        assert [path.name for path in folder.iterdir()] == [files.LOCK]
    assert folder.exists() == before and not list(folder.glob("*"))


@pytest.mark.parametrize(
    "text, path", [("~/x", "/home/me/x"), ("a/b", "a/b"), ("C:x", "C:x"), ("hf://me/birds", "hf://me/birds")]
)
def test_a_users_path_is_expanded(text, path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert files.user_path(text, ("hf",)) == path


@pytest.mark.parametrize("text", ["gs://bucket/x", "s3://x", "file:///x", "hf2://x", "git\\+ssh://x"])
def test_an_address_that_would_become_a_folder_is_refused(text):
    with pytest.raises(UserError, match=f"Received: {text}. Use a local path or hf://"):
        files.user_path(text.replace("\\", ""), ("hf",))


def test_the_home_of_nobody_is_refused():
    with pytest.raises(UserError, match="no such user. Received: ~nobody-here/x"):
        files.user_path("~nobody-here/x")


@pytest.fixture
def read_only(tmp_path, mounted):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    if not os.access(folder, os.W_OK):
        yield folder
    else:  # permissions do not bind the superuser
        with mounted(tmp_path / "read_only", "ro") as place:
            yield place


def entries(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_holds_what_was_written_and_nothing_stays_beside_it(tmp_path):
    files.write_atomically(tmp_path / "new" / "a.txt", "grün\n")
    files.write_atomically(str(tmp_path / "new" / "b"), b"\x00\r\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"gr\xc3\xbcn\n"
    assert (tmp_path / "new" / "b").read_bytes() == b"\x00\r\n"
    assert entries(tmp_path) == ["new", "new/a.txt", "new/b"]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    files.write_atomically(path, "long " * 1000)
    with open(path) as reader:
        files.write_atomically(path, "short")
        assert reader.read() == "long " * 1000
    assert path.read_text() == "short"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError, MemoryError])
def test_interrupted_writing_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, interruption):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted(descriptor):
        raise interruption

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(UserError if interruption is OSError else interruption):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["a.txt"]


def test_a_killed_process_leaves_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from ssagan_tf.core import files\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(sys.argv[1], 'new')\n"
    )
    done = processes.python("-c", code, path)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_a_folder_is_no_file_to_write(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="This is a folder. Received: "):
        files.write_atomically(path, "x")


def test_a_file_is_no_folder_to_write_into(tmp_path):
    (tmp_path / "a").write_text("file")
    with pytest.raises(UserError, match="Could not write. Received: .*(Not a directory|File exists)"):
        files.write_atomically(tmp_path / "a" / "b", "x")
    with pytest.raises(UserError, match="Could not write. Received: .*(Not a directory|File exists)"):
        with files.folder_written_atomically(tmp_path / "a" / "b"):
            pass


def test_a_file_for_a_full_disk_is_refused_and_the_old_one_kept(full_disk):
    files.write_atomically(full_disk / "a", "old")
    with pytest.raises(UserError, match="Could not write. Received: .*No space left.*Free some space") as refused:
        files.write_atomically(full_disk / "a", bytes(200_000))
    assert "\n" not in str(refused.value)
    assert (full_disk / "a").read_text() == "old"
    assert entries(full_disk) == ["a"]


def test_a_folder_for_a_full_disk_vanishes(full_disk):
    with pytest.raises(UserError, match="Could not write. Received: .*/b: No space left"):
        with files.folder_written_atomically(full_disk / "b") as aside:
            (aside / "first").write_text("fits")
            (aside / "second").write_bytes(bytes(200_000))
    assert entries(full_disk) == []


def test_a_read_only_folder_is_refused(read_only):
    with pytest.raises(UserError, match="Could not write. Received: .*/a: (Permission denied|Read-only).*. Choose a"):
        files.write_atomically(read_only / "a", "x")
    with pytest.raises(UserError, match="Could not write. Received: .*/b: (Permission denied|Read-only)"):
        with files.folder_written_atomically(read_only / "deep" / "b"):
            pytest.fail("there is nothing to fill")
    assert entries(read_only) == []


def test_a_folder_appears_only_when_it_is_filled(tmp_path):
    path = tmp_path / "deep" / "b"
    with files.folder_written_atomically(path) as aside:
        (aside / "inner").mkdir()
        (aside / "inner" / "c.txt").write_text("c")
        assert not path.exists()
    assert entries(path) == ["inner", "inner/c.txt"]
    assert entries(tmp_path / "deep") == ["b", "b/inner", "b/inner/c.txt"]


def test_a_folder_is_filled_under_its_own_name_where_that_matters(tmp_path):
    path = tmp_path / "b"
    with files.folder_written_atomically(path, same_name=True) as aside:
        assert aside.name == "b" and aside != path and not aside.exists()
        with files.folder_written_atomically(aside) as further:
            (further / "c.txt").write_text("c")
        assert not path.exists()
    assert entries(tmp_path) == ["b", "b/c.txt"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, KeyError, UserError])
def test_a_folder_vanishes_when_its_filling_is_interrupted(tmp_path, interruption):
    with pytest.raises(interruption):
        with files.folder_written_atomically(tmp_path / "b") as aside:
            (aside / "c.txt").write_text("c")
            raise interruption
    assert entries(tmp_path) == []


def test_an_error_of_reading_something_else_is_not_told_as_one_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError):
        with files.folder_written_atomically(tmp_path / "b"):
            (tmp_path / "missing").read_text()
    assert entries(tmp_path) == []


def test_what_a_killed_process_left_behind_is_removed_by_the_next_and_what_is_being_filled_is_not(tmp_path):
    program = """
        import sys, time
        from ssagan_tf.core import files
        with files.folder_written_atomically(sys.argv[1]) as aside:
            (aside / "half").write_text("half")
            print("filling", flush=True)
            time.sleep(60)
    """
    with processes.started(sys.executable, "-c", textwrap.dedent(program), tmp_path / "b", seconds=60) as other:
        assert other.stdout.readline() == "filling\n"
        with files.folder_written_atomically(tmp_path / "b", replace=True):
            assert len(list(tmp_path.glob(".b.*.partial"))) == 2
    assert len(list(tmp_path.glob(".b.*.partial"))) == 1
    with files.folder_written_atomically(tmp_path / "b", replace=True):
        pass
    assert entries(tmp_path) == ["b"]


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch, when):
    """Another process, which looks for abandoned folders, sees one between its making and its lock."""
    usual, done = os.open, []

    def open_(path, flags, *args):
        if not done and pathlib.Path(path).suffix == ".partial":
            done.append(path)
            if when == "before it is opened":
                os.rmdir(path)
                return usual(path, flags, *args)
            descriptor = usual(path, flags, *args)
            os.rmdir(path)
            return descriptor
        return usual(path, flags, *args)

    monkeypatch.setattr(os, "open", open_)
    with files.folder_written_atomically(tmp_path / "b") as aside:
        (aside / "a").write_text("a")
    assert entries(tmp_path) == ["b", "b/a"] and done


def test_a_folder_is_written_where_there_are_no_locks(tmp_path, monkeypatch):
    def flock(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.folder_written_atomically(tmp_path / "b") as aside:
        (aside / "a").write_text("a")
    assert entries(tmp_path) == ["b", "b/a"]


def test_an_error_of_another_library_that_the_disk_is_full_is_told_as_such(tmp_path):
    with pytest.raises(UserError, match="Could not write. Received: .*/b: No space left on device. Free some space."):
        with files.folder_written_atomically(tmp_path / "b"):
            raise RuntimeError(f"{tmp_path}/b/x; {os.strerror(errno.ENOSPC)} [Op:Save]")


def test_a_folder_that_exists_is_kept(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("mine")
    with pytest.raises(UserError, match="exists already. Received: .*/b. Choose another name"):
        with files.folder_written_atomically(tmp_path / "b"):
            pytest.fail("there is nothing to fill")
    assert entries(tmp_path) == ["b", "b/mine"]


@pytest.mark.parametrize(("there", "kept"), [("whole", "theirs"), ("damaged", "ours")])
def test_of_two_folders_with_the_same_files_a_whole_one_stays(tmp_path, there, kept):
    path = tmp_path / "b"
    with files.folder_written_atomically(path, as_good=lambda folder: (folder / "whole").exists()) as aside:
        (aside / "whole").write_text("ours")
        path.mkdir()  # by another process
        (path / there).write_text("theirs")
    assert [(file.name, file.read_text()) for file in path.iterdir()] == [("whole", kept)]
    assert list(tmp_path.iterdir()) == [path]


def test_the_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-2
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    large = bytes(range(256)) * 10_000
    (tmp_path / "b").write_bytes(large)
    assert files.sha256(tmp_path / "b") == hashlib.sha256(large).hexdigest()
