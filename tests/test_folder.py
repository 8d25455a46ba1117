"""Image folders: digits written as PNG, and real photographs where they are at hand."""

import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from photographs import unpack
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from edfkit import EdfkitError
from edfkit.cli import edfkit
from edfkit.generator import spaces
from edfkit.generator.training import data
from edfkit.generator.training import stages as models
from edfkit.generator.training.folder import Cropped, Folder, read_folder
from edfkit.generator.training.recipe import Recipe
from edfkit.generator.training.train import Result, train

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # more processes than there are cores
]

CPU = torch.device("cpu")
RECIPE = Recipe(**data._IMAGENET | {"epochs": 2, "batch": 20, "precise_bn": 50})
NAMES = ["zero", "one", "two", "three"]  # whose order by name is not that of the digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 165 digits for training and 61 for the test, 16 pixels large; the test has three of four classes."""
    root = tmp_path_factory.mktemp("folders") / "digits"
    source = load_digits()
    for part, rows in (("train", range(0, 400)), ("val", range(400, 600))):
        for row in rows:
            if (digit := int(source.target[row])) > (3 if part == "train" else 2):
                continue
            folder = root / part / NAMES[digit]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = (15 * source.images[row]).astype(np.uint8).repeat(2, 0).repeat(2, 1)
            Image.fromarray(pixels).save(folder / f"{row:04}.png")
    return root


@pytest.fixture
def copied(digits: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits, tmp_path / "digits"))


def pipeline(folder: Folder, recipe: Recipe = RECIPE, seed: int = 0) -> Cropped:
    return folder.pipeline(recipe, CPU, torch.Generator().manual_seed(seed))


def batches(source: Cropped) -> list[tuple[Tensor, Tensor]]:
    return [source.augmented(*parts) for parts in source.epoch()]


def build() -> nn.Module:
    rng = torch.Generator().manual_seed(0)
    model: nn.Module = models.build("res_basic_block", [1, 1], [16, 16], classes=4, rng=rng)
    return model


def test_files_and_labels_are_those_of_imagefolder(digits: Path) -> None:
    folder = read_folder(digits, 16)
    theirs = ImageFolder(str(digits / "train"))
    assert folder.train == theirs.samples
    assert list(folder.classes) == theirs.classes == sorted(NAMES)
    # The test has no "three": ImageFolder would number its classes 0, 1, 2, those of training are 0, 2 and 3.
    theirs = ImageFolder(str(digits / "val"))
    assert [path for path, _ in folder.test] == [path for path, _ in theirs.samples]
    assert {label for _, label in folder.test} == {0, 2, 3}
    assert {Path(path).parent.name == folder.classes[label] for path, label in folder.test} == {True}


def test_the_test_lies_in_val_or_in_test(copied: Path) -> None:
    images = len(read_folder(copied).test)
    (copied / "val").rename(copied / "test")
    assert len(read_folder(copied).test) == images
    shutil.copytree(copied / "test" / "one", copied / "val" / "one")
    assert {path.split(os.sep)[-2] for path, _ in read_folder(copied).test} == {"one"}


def test_the_data_set_has_the_recipe_of_imagenet(digits: Path) -> None:
    dataset = data.own(digits)
    assert dataset.geometry == {"image_size": 224, "channels": 3, "classes": 4}
    recipe = Recipe(**dataset.recipe)
    assert (recipe.epochs, recipe.lr, recipe.weight_decay, recipe.batch) == (50, 0.05, 5e-5, 128)
    small = data.own(digits, 16)
    assert small.images == (165, 61)
    assert small.geometry == {"image_size": 16, "channels": 3, "classes": 4}
    assert isinstance(small.load(None), Folder)


def test_the_name_tells_the_size_and_the_files_apart(copied: Path, tmp_path: Path) -> None:
    names = [data.own(copied, size).name for size in (16, 224)]
    prefixes, hashes = zip(*(name.rsplit("-", 1) for name in names), strict=True)
    assert prefixes == ("digits-16", "digits-224")
    assert len(set(hashes)) == 1
    assert len(hashes[0]) == 8
    for name, size in zip(names, (16, 224), strict=True):
        assert data.find(name, copied).image_size == size
    moved = tmp_path / "elsewhere" / "digits"
    shutil.copytree(copied, moved)
    assert data.find(names[0], moved).name == names[0]
    (copied / "train" / "one" / "notes.txt").write_text("not an image")
    assert data.own(copied, 16).name == names[0]

    image = next((copied / "train" / "one").glob("*.png"))
    image.rename(image.with_name("other.png"))
    renamed = data.own(copied, 16).name
    with open(image.with_name("other.png"), "ab") as file:
        file.write(b"\0")
    longer = data.own(copied, 16).name
    assert len({names[0], renamed, longer}) == 3
    for wanted in (names[0], "faces-16-00000000", "faces-1a2b3c4d"):
        with pytest.raises(EdfkitError, match=f"are not those that the run began with: .* expected {wanted}"):
            data.find(wanted, copied)


def test_training_images_are_crops_of_their_own(digits: Path) -> None:
    # With torchvision's transforms, given the seed of an image, its crop is found again.
    folder = read_folder(digits, 12)
    source = pipeline(folder)
    x, y = batches(source)[0]
    assert x.shape == (20, 3, 12, 12)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)

    rng = torch.Generator().manual_seed(0)
    whole = len(folder.train) // 20 * 20
    order = torch.randperm(len(folder.train), generator=rng)
    seeds = torch.randint(2**63 - 1, (whole,), generator=rng)
    theirs = v2.Compose(
        [
            v2.RandomResizedCrop(12),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.random.fork_rng(devices=[]):
        for i in range(20):
            path, label = folder.train[order[i]]
            torch.manual_seed(int(seeds[i]))
            torch.testing.assert_close(x[i], theirs(Image.open(path).convert("RGB")), rtol=1e-4, atol=1e-5)
            assert y[i] == label


def test_test_images_are_the_centres_resized_by_256_of_224(digits: Path) -> None:
    folder = read_folder(digits, 14)
    found = list(pipeline(folder).test())
    assert [len(y) for _, y in found] == [20] * (len(folder.test) // 20) + [len(folder.test) % 20]
    theirs = v2.Compose(
        [
            v2.Resize(16),
            v2.CenterCrop(14),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    expected = torch.stack([theirs(Image.open(path).convert("RGB")) for path, _ in folder.test])
    torch.testing.assert_close(torch.cat([x for x, _ in found]), expected, rtol=1e-4, atol=1e-5)
    assert torch.cat([y for _, y in found]).tolist() == [label for _, label in folder.test]


@pytest.mark.parametrize(("side", "resized"), [(224, 256), (64, 73)])
def test_oblong_images_are_resized_by_their_shorter_side(tmp_path: Path, side: int, resized: int) -> None:
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("L", (300, 200), 128).save(tmp_path / part / name / "1.png")
    source = pipeline(read_folder(tmp_path, side), replace(RECIPE, batch=2))
    assert source._loader.dataset.test(Image.new("RGB", (300, 200))).size == (side, side)
    assert source._loader.dataset.test.transforms[0].size == [resized]
    assert next(source.test())[0].shape == batches(source)[0][0].shape == (2, 3, side, side)


def test_an_epoch_visits_every_image_once_in_whole_batches(digits: Path) -> None:
    folder = read_folder(digits, 12)
    source = pipeline(folder)
    assert source.train_images == len(folder.train)
    assert source.test_images == len(folder.test)
    asked: list[str] = []
    for _ in source.epoch():
        asked = [path for samples, _ in source._wanted for path, _ in samples]
    assert len(asked) == len(set(asked)) == len(folder.train) // 20 * 20
    assert [len(x) for x, _ in source.statistics()] == [20, 20]  # of 50
    again = pipeline(folder)
    first, second = batches(again), batches(again)
    assert not torch.equal(first[0][0], second[0][0])


@pytest.mark.parametrize("loaders", [1, 3])
def test_batches_do_not_depend_on_how_many_processes_read(digits: Path, loaders: int) -> None:
    recipe = replace(RECIPE, cutout=6)
    folder = read_folder(digits, 12)
    one, other = pipeline(folder, recipe), pipeline(replace(folder, loaders=loaders), recipe)
    for _ in range(2):
        for make in (batches, lambda source: list(source.statistics()), lambda source: list(source.test())):
            for (x, y), (x_other, y_other) in zip(make(one), make(other), strict=True):
                assert torch.equal(x, x_other)
                assert torch.equal(y, y_other)
    assert not torch.equal(batches(one)[0][0], batches(pipeline(folder, recipe, seed=1))[0][0])


def test_torchs_own_generator_is_left_alone(digits: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    source = pipeline(read_folder(digits, 12))
    batches(source)
    list(source.test())
    assert torch.equal(torch.get_rng_state(), before)


def test_flips_and_cutout_follow_the_recipe(digits: Path) -> None:
    folder = read_folder(digits, 12)
    flips = [
        pipeline(folder, replace(RECIPE, flip=flip))._loader.dataset.train.transforms[1].p for flip in (True, False)
    ]
    assert flips == [0.5, 0.0]
    # Whatever is blanked is a square of 4, centred anywhere, so cut off at the edges.
    source = pipeline(folder, replace(RECIPE, cutout=4))
    x, _ = source.augmented(torch.full((2000, 12, 12, 3), 7, dtype=torch.uint8), torch.zeros(2000, dtype=torch.int64))
    blank = (x == 0).all(1)
    sides = torch.stack([blank.any(2).sum(1), blank.any(1).sum(1)])
    assert torch.equal(blank.sum((1, 2)), sides.prod(0))
    counts = [int((sides == side).sum()) for side in (2, 3, 4)]
    assert sum(counts) == 4000
    assert stats.chisquare(counts, 4000 * np.array([1, 2, 9]) / 12).pvalue > 1e-4


def learn(folder: Folder, recipe: Recipe, seed: int = 0) -> Result:
    return train(build(), folder, recipe, rng=torch.Generator().manual_seed(seed))


def test_digits_in_a_folder_are_learned(digits: Path) -> None:
    result = learn(read_folder(digits, 16), replace(RECIPE, epochs=6, flip=False))
    assert result.status == "finished"
    assert result.train_loss[-1] < 0.9 * result.train_loss[0]
    assert min(result.test_error) < 50, result
    counts = np.array(result.test_error) * len(read_folder(digits, 16).test) / 100
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)


def test_same_seed_same_numbers(digits: Path) -> None:
    folder = read_folder(digits, 12)
    first, again = learn(folder, RECIPE), learn(replace(folder, loaders=2), RECIPE)
    assert replace(first, seconds=0.0) == replace(again, seconds=0.0)
    assert learn(folder, RECIPE, seed=1).train_loss != first.train_loss


def test_shifts_are_refused_before_anything_is_trained(digits: Path, tmp_path: Path) -> None:
    arguments = ["generate", "resnet", "--models", "1", "--data", str(digits), "--image-size", "12", "--shift", "1"]
    result = CliRunner().invoke(edfkit, [*arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "--shift is not for a folder, whose images are cropped at random; leave it out." in result.output
    assert not (tmp_path / "run").exists()


def test_shifts_are_refused_since_images_are_cropped(digits: Path) -> None:
    with pytest.raises(EdfkitError, match="shifts images by up to 4 pixels, and those of a folder are cropped"):
        pipeline(read_folder(digits, 12), replace(RECIPE, shift=4))


def without_train(root: Path) -> None:
    shutil.rmtree(root / "train")


def without_test(root: Path) -> None:
    shutil.rmtree(root / "val")


def with_one_class(root: Path) -> None:
    for name in NAMES[1:]:
        shutil.rmtree(root / "train" / name)


def without_classes(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").mkdir()
    Image.new("L", (9, 9)).save(root / "train" / "1.png")


def with_an_empty_class(root: Path) -> None:
    (root / "train" / "four").mkdir()


def with_a_class_of_texts(root: Path) -> None:
    (root / "train" / "four").mkdir()
    (root / "train" / "four" / "1.txt").write_text("4")


def with_an_unknown_class(root: Path) -> None:
    (root / "train" / "zero").rename(root / "train" / "null")


def with_an_empty_test(root: Path) -> None:
    for image in (root / "val").rglob("*.png"):
        image.unlink()


def with_an_empty_image(root: Path) -> None:
    (root / "train" / "one" / "0.jpg").touch()


def with_a_lost_image(root: Path) -> None:
    (root / "train" / "one" / "0.jpg").symlink_to("nowhere.jpg")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_train, r"digits has no folder train/; expected train/CLASS/ and val/CLASS/ \(or test/CLASS/\)"),
        (without_test, "digits has no folder val/ or test/; expected"),
        (with_one_class, "train has 1 folders of classes, expected two or more"),
        (without_classes, "train has 0 folders of classes, expected two or more"),
        (with_an_empty_class, "The class 'four' in .*train has no image"),
        (with_a_class_of_texts, r"The class 'four' in .*train has no image \(.jpg, "),
        (with_an_unknown_class, "val has the class 'zero', which .*train lacks"),
        (with_an_empty_test, r"There is no image \(.*\) in .*val; expected"),
        (with_an_empty_image, r"The image .*0\.jpg is empty; restore it, or remove it"),
        (with_a_lost_image, "digits cannot be read .*No such file"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(copied: Path, spoil: Callable[[Path], None], said: str) -> None:
    assert data.own(copied, 16).classes == 4
    spoil(copied)
    with pytest.raises(EdfkitError, match=said) as caught:
        data.own(copied, 16)
    assert "\n" not in str(caught.value)


def test_a_size_below_1_is_refused(digits: Path) -> None:
    with pytest.raises(EdfkitError, match="is -3 pixels; give at least 1"):
        data.own(digits, -3)


@pytest.mark.parametrize("loaders", [0, 2])
@pytest.mark.parametrize("kind", ["text", "cut", "bomb"])
def test_an_image_that_cannot_be_read_is_named(copied: Path, kind: str, loaders: int) -> None:
    image = next((copied / "train" / "one").glob("*.png"))
    if kind == "bomb":  # a header of 2 to the power of 32 pixels
        content = bytearray(image.read_bytes())
        content[16:24] = (65536).to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
        image.write_bytes(content)
    else:
        image.write_bytes(b"no image" if kind == "text" else image.read_bytes()[:60])
    folder = replace(read_folder(copied, 12), loaders=loaders)
    recipe = replace(RECIPE, batch=len(folder.train))  # lest a last, partial batch have it
    with pytest.raises(EdfkitError, match=r"^The image .*\.png cannot be read \(.*; restore it, or remove it\.$"):
        train(build(), folder, recipe, rng=torch.Generator())


@pytest.fixture(scope="module")
def photographs(cifar_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders") / "photographs"
    return unpack(cifar_images, root, train=60, test=20, classes=("frog", "horse", "ship"))


@pytest.mark.parametrize(
    "definition",
    [
        {"like": "resnext-a_in", "depth": [1], "width": [16, 32], "name": "three-convolutions"},
        {"like": "resnext-a_in", "depth": [1], "width": [16, 32], "name": "pooled", "stem_stride": 4},
        {"like": "enas_in", "depth": [3], "width": [8], "name": "cells"},
    ],
    ids=lambda definition: definition["name"],
)
def test_real_photographs_are_trained_on_at_64_pixels(photographs: Path, definition: dict[str, object]) -> None:
    dataset = data.own(photographs, 64)
    assert dataset.geometry == {"image_size": 64, "channels": 3, "classes": 3}
    space = spaces.read(definition, "test", "")
    rng = torch.Generator().manual_seed(0)
    columns = space.draw(np.random.default_rng(0), 1)
    model = models.build_network(
        space.architecture, {name: column[0] for name, column in columns.items()}, channels=3, classes=3, rng=rng
    )
    recipe = Recipe(**dataset.recipe | {"epochs": 2, "batch": 20, "precise_bn": 100})
    result = train(model, dataset.load(None), recipe, rng=rng)
    assert result.status == "finished"
    assert result.train_loss[1] < result.train_loss[0]
    assert min(result.test_error) < 65  # of three classes; chance misses 67 %
