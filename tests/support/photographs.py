"""Real photographs of 32 x 32 pixels, unpacked as an image folder from where they lie beside some checkouts."""

import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def unpack(beside: Path, root: Path, *, train: int, test: int, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write so many images of each class to root/train/CLASS and root/test/CLASS.

    Parameters
    ----------
    beside : Path
        Any file in the folder of the archive; the test is skipped if the archive is not there.
    root : Path
        Where to.
    train, test : int
        Images of a class.
    classes : tuple of str
    """
    archive = beside.with_name("cifar10_jpg.tar.xz")
    if not archive.is_file():
        pytest.skip("the photographs are not here: no shared/images/cifar10_jpg.tar.xz beside the checkout")
    wanted = Counter({(part, name): n for part, n in (("train", train), ("test", test)) for name in classes})
    with tarfile.open(archive) as content:
        for member in content:
            if not wanted.total():
                break
            place = PurePosixPath(member.name)
            key = place.parts[0], place.parent.name
            if member.isfile() and wanted[key] > 0:
                wanted[key] -= 1
                file = root / place
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.extractfile(member).read())  # type: ignore[union-attr]  # it is a file
    assert not wanted.total()
    return root
