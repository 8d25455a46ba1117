import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edfkit.archive.files import TEMPORARY_SUFFIX, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "erst\n")
    write_text(path, "zweit: größer\n")
    assert path.read_bytes() == "zweit: größer\n".encode()
    assert names(tmp_path) == ["note.txt"]


def test_until_it_is_whole_the_old_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path  # a rename works within one file system only
        assert temporary.suffix == TEMPORARY_SUFFIX
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["note.txt"]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_inside_changes_nothing(tmp_path: Path, written: bool, existed: bool) -> None:
    path = tmp_path / "note.txt"
    if existed:
        path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            if written:
                temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert names(tmp_path) == (["note.txt"] if existed else [])
    assert not existed or path.read_text() == "old"


def test_nothing_written_inside_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_a_place_that_takes_no_file_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "absent" / "note.txt", "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "folder", "new")
    assert names(tmp_path) == ["folder"]


def test_a_kill_midway_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    program = """
import os, signal, sys
from pathlib import Path
from edfkit.archive.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-P", "-c", program, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    leftover = [name for name in names(tmp_path) if name != "note.txt"]
    assert len(leftover) == 1
    assert leftover[0].endswith(TEMPORARY_SUFFIX)  # which is how a run recognises and removes it
    write_text(path, "new")
    assert path.read_text() == "new"
