"""Fixtures that several modules share."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def published() -> Path:
    """Give the folder of real published files that lies beside some checkouts."""
    folder = _SHARED / "nds"
    if not folder.is_dir():
        pytest.skip("the published files are not here: no folder shared/nds beside the checkout")
    return folder


@pytest.fixture(scope="session")
def cifar_images() -> Path:
    """Give the real CIFAR-10 images, without loss, that lie beside some checkouts."""
    file = _SHARED / "images" / "cifar10_lossless_subset.npz"
    if not file.is_file():
        pytest.skip(
            "the CIFAR-10 images are not here: no shared/images/cifar10_lossless_subset.npz beside the checkout"
        )
    return file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 160 kB, mounted for the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root and the right to mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Have torch compute on one thread, as runs do: small networks are faster so, and the numbers the same."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
