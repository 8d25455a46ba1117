"""Digits as scikit-learn has them; CIFAR from real images in the official layouts; npz files of one's own."""

import hashlib
import io
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.generator.training import data
from edfkit.generator.training import stages as models
from edfkit.generator.training.arrays import measure_pixels
from edfkit.generator.training.images import Images
from edfkit.generator.training.recipe import Recipe
from edfkit.generator.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_digits_are_the_real_ones_split_in_their_order() -> None:
    images = data.find("digits").load(None)
    from sklearn.datasets import load_digits  # here, as every process of pytest-xdist loads the module

    source = load_digits()
    assert images.x_train.shape == (1000, 8, 8, 1)
    assert images.x_test.shape == (797, 8, 8, 1)
    assert images.x_train.dtype == np.uint8
    np.testing.assert_array_equal(np.concatenate([images.x_train, images.x_test])[..., 0], source.images)
    np.testing.assert_array_equal(np.concatenate([images.y_train, images.y_test]), source.target)
    assert images.mean == (source.images[:1000].mean(),)
    assert images.std == pytest.approx((source.images[:1000].std(),))


def test_digits_are_read_by_scikit_learn_where_its_file_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = data.find("digits").load(None)
    monkeypatch.setattr("edfkit.generator.training.data.find_spec", lambda name: None)
    other = data.find("digits").load(None)
    assert isinstance(usual, Images)
    assert isinstance(other, Images)
    for name in ("x_train", "y_train", "x_test", "y_test"):
        one, two = getattr(usual, name), getattr(other, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def test_the_number_of_digits_is_as_said() -> None:
    dataset = data.find("digits")
    images = dataset.load(None)
    assert dataset.images == (len(images.y_train), len(images.y_test))
    assert data.find("cifar10").images == data.find("cifar100").images == (50_000, 10_000)


@pytest.mark.parametrize(("name", "classes"), [("digits", 10), ("cifar10", 10), ("cifar100", 100)])
def test_what_is_said_of_a_data_set_is_a_valid_recipe(name: str, classes: int) -> None:
    dataset = data.find(name)
    Recipe(**dataset.recipe)
    assert (dataset.name, dataset.classes) == (name, classes)
    assert data.geometry(name) == dataset.geometry
    assert {"digits", "cifar10", "cifar100"} == set(data.DATASETS)


def test_cifar100_is_counted_and_trained_as_cifar10_but_for_its_classes() -> None:
    assert data.geometry("CIFAR-100") == data.geometry("cifar10") | {"classes": 100}
    assert data.find("cifar100").recipe == data.find("cifar10").recipe == {}


@pytest.fixture
def cifar_folder(tmp_path: Path, cifar_images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write real images the way the official archives unpack; their checksums, of all 60,000, cannot hold and are off.

    The images are those of CIFAR-10, also in the files of CIFAR-100: label 7 is 97 there, so that all 100 are in range.
    """
    with np.load(cifar_images) as subset:
        rows = subset["x"].transpose(0, 3, 1, 2).reshape(len(subset["y"]), 3072)
        labels = subset["y"]
    ten, hundred = tmp_path / "cifar-10-batches-py", tmp_path / "cifar-100-python"
    import torchvision  # here, as every process of pytest-xdist loads the module

    official = torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100
    for folder, kind, key, names in (
        (ten, official[0], "labels", ("data_batch_1", "test_batch", "batches.meta", "label_names")),
        (hundred, official[1], "fine_labels", ("train", "test", "meta", "fine_label_names")),
    ):
        folder.mkdir()
        written = (labels + 90 * (labels == 7) if folder is hundred else labels).tolist()
        for name, part in zip(names, (slice(0, 800), slice(800, None)), strict=False):
            (folder / name).write_bytes(pickle.dumps({"data": rows[part], key: written[part]}))
        (folder / names[2]).write_bytes(pickle.dumps({names[3]: [str(i) for i in range(100)]}))
        monkeypatch.setattr(kind, "train_list", [[names[0], None]])
        monkeypatch.setattr(kind, "test_list", [[names[1], None]])
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return tmp_path


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_is_read_from_a_folder_and_trained_on(cifar_folder: Path, cifar_images: Path, classes: int) -> None:
    dataset = data.find(f"cifar{classes}")
    images = dataset.load(cifar_folder)
    with np.load(cifar_images) as subset:
        np.testing.assert_array_equal(images.x_train, subset["x"][:800])
        np.testing.assert_array_equal(images.y_test % 90, subset["y"][800:])
    assert max(images.y_train) == (97 if classes == 100 else 9)
    if classes == 10:
        # The statistics are those of all 50,000 images; those of 800 must be near.
        mean, std = measure_pixels(images.x_train)
        np.testing.assert_allclose(mean, images.mean, rtol=0.05)
        np.testing.assert_allclose(std, images.std, rtol=0.05)

    rng = torch.Generator().manual_seed(0)
    model = models.build("res_basic_block", [1, 1, 1], [16, 16, 16], classes=dataset.classes, rng=rng)
    result = train(model, images, Recipe(**dataset.recipe | {"epochs": 2, "precise_bn": 256}), rng=rng)
    assert result.train_loss[-1] < result.train_loss[0]
    assert result.status == "finished"


@pytest.mark.parametrize(("name", "holds"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_a_folder_without_cifar_is_refused(tmp_path: Path, name: str, holds: str) -> None:
    with pytest.raises(EdfkitError, match=rf"CIFAR-\d+ could not be read .* give the folder that holds {holds}"):
        data.find(name).load(tmp_path)


def test_a_folder_for_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match="come with scikit-learn; leave it out"):
        data.find("digits").load(tmp_path)


def test_an_unknown_data_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(EdfkitError, match="'mnist'; choose one of digits, cifar10, cifar100, or say where your own"):
        data.find("mnist")


Arrays = dict[str, NDArray[Any]]


def digits() -> Arrays:
    """Give the digits as a user would, 3 pixels larger, without an axis for the one channel."""
    images = data.find("digits").load(None)
    x = {part: np.pad(getattr(images, f"x_{part}")[..., 0], ((0, 0), (2, 1), (1, 2))) for part in ("train", "test")}
    return {"x_train": x["train"], "y_train": images.y_train, "x_test": x["test"], "y_test": images.y_test}


def write(folder: Path, given: Arrays, name: str = "own.npz") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that only newer headers can hold
        np.savez_compressed(folder / name, **given)  # type: ignore[arg-type]  # its stubs see allow_pickle
    return folder / name


def test_images_of_ones_own_are_read_and_trained_on(tmp_path: Path) -> None:
    path = write(tmp_path, digits(), "my digits.npz")
    dataset = data.own(path)
    assert dataset.name == "my digits-" + hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert dataset.geometry == {"image_size": 11, "channels": 1, "classes": 10}
    assert dataset.recipe == {"shift": 1}
    assert dataset.images == (1000, 797)
    images = dataset.load(None)
    assert images.x_train.shape == (1000, 11, 11, 1)
    assert images.mean == pytest.approx((digits()["x_train"].mean(),))
    assert images.std == pytest.approx((digits()["x_train"].std(),))

    rng = torch.Generator().manual_seed(0)
    model = models.build("res_basic_block", [1, 1, 1], [16, 16, 16], channels=1, rng=rng)
    result = train(model, images, Recipe(**dataset.recipe | {"epochs": 3, "batch": 50, "flip": False}), rng=rng)
    assert result.test_error[-1] < 50 < result.test_error[0] + 60
    assert result.train_loss[-1] < 0.7 * result.train_loss[0]


@pytest.mark.parametrize(("side", "shift"), [(32, 4), (28, 3), (64, 8), (7, 0)])
def test_shifts_are_an_eighth_of_the_side(tmp_path: Path, side: int, shift: int) -> None:
    x, y = np.zeros((2, side, side, 5), np.uint8), np.array([0, 1], np.uint16)
    dataset = data.own(write(tmp_path, {"x_train": x, "y_train": y, "x_test": x, "y_test": y}))
    assert dataset.recipe == {"shift": shift}
    assert dataset.geometry == {"image_size": side, "channels": 5, "classes": 2}


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))),
    st.integers(1, 3),
)
def test_statistics_of_the_channels_are_those_of_numpy(images: NDArray[np.uint8], repeats: int) -> None:
    images = np.concatenate([images] * repeats)
    mean, std = images.mean((0, 1, 2)), images.std((0, 1, 2))
    if (images == images[0, 0, 0]).all((0, 1, 2)).any():
        with pytest.raises(EdfkitError, match=r"All pixels of channel \d of the training images are"):
            measure_pixels(images)
        return
    found = measure_pixels(images)
    np.testing.assert_allclose(found, (mean, std), rtol=1e-9, atol=1e-9)


def test_statistics_of_many_images_are_those_of_numpy() -> None:
    images = np.random.default_rng(0).integers(256, size=(1500, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(measure_pixels(images), (images.mean((0, 1, 2)), images.std((0, 1, 2))), rtol=1e-9)


def test_a_run_goes_on_with_the_same_bytes_alone(tmp_path: Path) -> None:
    path = write(tmp_path, digits())
    name = data.own(path).name
    assert data.find(name, path).name == name
    assert data.find("digits", path).name == "digits"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert data.find(name, Path(shutil.copy(path, elsewhere))).name == name
    other = digits()
    other["x_train"][0, 5, 5] ^= 1
    write(tmp_path, other)
    with pytest.raises(EdfkitError, match=rf"own\.npz are not those that the run began with: .* expected {name}"):
        data.find(name, path)
    with pytest.raises(EdfkitError, match=r"There is no file or folder .*absent"):
        data.find(name, tmp_path / "absent")
    with pytest.raises(EdfkitError, match="or say where your own images are"):
        data.find(name)


def test_a_file_has_the_size_that_it_has(tmp_path: Path) -> None:
    path = write(tmp_path, digits())
    assert data.own(path, 11).image_size == 11
    with pytest.raises(EdfkitError, match="have 11 pixels and 64 were asked for"):
        data.own(path, 64)


def changed(**given: Callable[[NDArray[Any]], NDArray[Any]]) -> Arrays:
    return digits() | {name: change(digits()[name]) for name, change in given.items()}


BAD: dict[str, tuple[Callable[[], Arrays], str]] = {
    "missing": (lambda: {k: v for k, v in digits().items() if k != "y_test"}, "the array y_test is missing; the file "),
    "floats": (lambda: changed(x_train=lambda x: x / 255), "x_train is of type float64, expected uint8"),
    "float labels": (lambda: changed(y_train=lambda y: y / 1), "y_train is of type float64, expected whole numbers"),
    "names": (lambda: changed(y_test=lambda y: y.astype(str)), "y_test is of type <U21, expected whole numbers"),
    "objects": (lambda: changed(x_test=lambda x: x.astype(object)), "x_test is of type object, expected uint8"),
    "object labels": (lambda: changed(y_test=lambda x: x.astype(object)), "y_test is of type object, expected whole"),
    "a table": (lambda: changed(x_test=lambda x: x.view([("λ", "u1")])), "x_test has the header of a table"),
    "flat": (lambda: changed(x_train=lambda x: x.reshape(1000, -1)), r"x_train has the shape \(1000, 121\), expected"),
    "one-hot": (lambda: changed(y_train=lambda y: np.eye(10, dtype=int)[y]), r"y_train has the shape \(1000, 10\)"),
    "no shape": (lambda: changed(y_train=lambda y: y[0]), r"y_train has the shape \(\), expected"),
    "oblong": (lambda: changed(x_test=lambda x: x[:, 1:]), "the images of x_test have 10 x 11 pixels, expected square"),
    "channels first": (lambda: changed(x_train=lambda x: x[:, None]), "images of x_train have 1 x 11 pixels"),
    "other sizes": (
        lambda: changed(x_test=lambda x: x[:, 1:, 1:]),
        "x_train have 11 x 11 pixels of 1 channels and those of x_test 10 x 10 pixels of 1 channels",
    ),
    "other channels": (lambda: changed(x_test=lambda x: np.stack([x] * 3, 3)), "x_test 11 x 11 pixels of 3 channels"),
    "lengths": (lambda: changed(y_train=lambda y: y[1:]), "x_train has 1,000 images and y_train 999 labels"),
    "no tests": (lambda: changed(x_test=lambda x: x[:0], y_test=lambda y: y[:0]), "the array x_test is empty"),
    "no channels": (lambda: changed(x_train=lambda x: x[..., None][..., :0]), "the array x_train is empty"),
    "negative": (lambda: changed(y_train=lambda y: y - 1), "y_train has the label -1; give whole numbers from 0"),
    "negative test": (lambda: changed(y_test=lambda y: y - 1), "y_test has the label -1"),
    "from 1": (lambda: changed(y_train=lambda y: y + 1), "y_train has no label 0, but goes up to 10"),
    "gap": (lambda: changed(y_train=lambda y: y + (y > 4)), "y_train has no label 5, but goes up to 10"),
    "huge": (
        lambda: changed(y_train=lambda y: np.where(y == 9, 2**64 - 1, y.astype(np.uint64))),
        "y_train has no label 9, but goes up to 18446744073709551615",
    ),
    "unknown": (lambda: changed(y_test=lambda y: y + (y == 9)), "y_test has the label 10, which y_train, .* 0 to 9"),
    "huge test": (
        lambda: changed(y_test=lambda y: y.astype(np.uint64) + np.uint64(2**63)),
        "y_test has the label 9223372036854775",
    ),
    "one class": (lambda: changed(y_train=lambda y: 0 * y, y_test=lambda y: 0 * y), "give images of at least two"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_no_data_set_is_refused(tmp_path: Path, case: str) -> None:
    make, said = BAD[case]
    path = write(tmp_path, make())
    with pytest.raises(EdfkitError, match=said) as caught:
        data.own(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_channel_that_never_changes_is_refused(tmp_path: Path) -> None:
    dataset = data.own(
        write(tmp_path, changed(x_train=lambda x: np.stack([x, 0 * x + 255], 3), x_test=lambda x: np.stack([x] * 2, 3)))
    )
    with pytest.raises(EdfkitError, match="All pixels of channel 1 of the training images are 255"):
        dataset.load(None)


class Attack:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attack = np.array([Attack(mark)] * 2, dtype=object)
    path = write(tmp_path, digits() | {"y_train": attack})
    with pytest.raises(EdfkitError, match="y_train is of type object"):
        data.own(path)
    # A header that lies about the type of what follows.
    lie = io.BytesIO()
    np.save(lie, digits()["y_train"])
    with zipfile.ZipFile(write(tmp_path, digits()), "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the second entry of this name, which is the one that counts
        archive.writestr("y_train.npy", lie.getvalue()[:128] + pickle.dumps(attack).ljust(8000, b"\0"))
    with pytest.raises(EdfkitError, match="y_train"):
        data.own(path)
    (tmp_path / "own.npz").write_bytes(pickle.dumps(attack))
    with pytest.raises(EdfkitError, match="is no npz file, or is cut short or damaged"):
        data.own(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()  # so the attack would be seen


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "text": b"x_train,y_train\n", "npy": b"\x93NUMPY\x01\x00"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EdfkitError, match=f"{name} is no npz file, or is cut short or damaged"):
            data.own(tmp_path / name)
    with pytest.raises(EdfkitError, match=r"There is no file or folder .*absent\.npz"):
        data.own(tmp_path / "absent.npz")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("x_train.npy", b"no array")
    with pytest.raises(EdfkitError, match=r"other\.zip is no npz file, .*magic string"):
        data.own(tmp_path / "other.zip")


def test_a_header_cannot_have_more_memory_taken_than_there_is_data(tmp_path: Path) -> None:
    path = write(tmp_path, {name: array for name, array in digits().items() if name != "x_train"})
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 8, 8)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", header.getvalue() + b"few")
    with pytest.raises(EdfkitError, match=r"x_train of the shape \(1125899906842624, 8, 8\) does not fit into 131"):
        data.own(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Images]:
    few = {name: array[:100] for name, array in digits().items()}
    path = write(tmp_path_factory.mktemp("whole"), few)
    return path, path.read_bytes(), data.own(path).load(None)


def loaded(path: Path) -> Images | None:
    try:
        images: Images = data.own(path).load(None)
    except EdfkitError:
        return None
    return images


@given(share=st.floats(0, 0.9999))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_is_cut_short_is_refused(whole: tuple[Path, bytes, Images], share: float) -> None:
    path, content, _ = whole
    path.write_bytes(content[: int(share * len(content))])
    assert loaded(path) is None


@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_garbled_byte_is_refused_or_without_effect(
    whole: tuple[Path, bytes, Images], place: float, bits: int
) -> None:
    path, content, images = whole
    garbled = bytearray(content)
    garbled[int(place * len(content))] ^= bits
    path.write_bytes(garbled)
    found = loaded(path)
    if found is not None:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            np.testing.assert_array_equal(getattr(found, name), getattr(images, name))
