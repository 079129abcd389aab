"""A full disk: refused before a start, and named when it filled up in the middle of one."""

import contextlib
import errno
import os
import subprocess

import pytest

from regulars import leash, places, room
from regulars.trouble import Trouble


@contextlib.contextmanager
def small_disk(folder, size: str):
    """A disk of this size at a folder. Skips where we may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("no right to mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_too_little_room_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "FRESH", 10**9)
    with leash.temporary(tmp_path / "stack") as stack:
        sentence = rf"^The disk of {stack.places.data} is full: \d+ MB are free and the stack needs 1000000000;"
        with pytest.raises(Trouble, match=sentence):
            stack.up_parts()
        assert not (stack.places.folder / "state.json").exists()


@pytest.mark.parametrize("size", ["20m", "60m"])
def test_a_disk_that_fills_up_during_the_start_is_named(tmp_path, monkeypatch, size):
    """While the programs are copied, and while the cluster is made; nothing runs afterwards."""
    monkeypatch.setattr(room, "FRESH", 0)
    monkeypatch.setattr(room, "GOING_ON", 0)
    with leash.temporary(tmp_path / "stack") as stack, small_disk(stack.places.data, size):
        with pytest.raises(Trouble, match=f"^The disk of {stack.places.data} is full: .* then `regulars up`.$"):
            stack.up_parts()
        assert not stack.is_up


@pytest.fixture
def here(tmp_path):
    """The folders of a stack that never ran."""
    here = places.lay_out(tmp_path / "stack")
    places.make(here)
    yield here
    places.erase(here)


def test_what_the_logs_said_before_this_start_is_no_cause(here):
    log, failed = here.log("kafka"), Trouble("kafka does not start")
    log.write_text("java.io.IOException: No space left on device\n")
    before = room.mark(here)
    assert room.cause(here, before, failed) is None
    with log.open("a") as more:
        more.write("java.io.IOException: No space left on device\n")
    assert "is full" in room.cause(here, before, failed)


def test_an_error_that_says_so_itself_names_its_own_folder(here):
    failed = Trouble("it did not work")
    failed.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/elsewhere/file")
    assert room.cause(here, {}, failed).startswith("The disk of /elsewhere is full")
