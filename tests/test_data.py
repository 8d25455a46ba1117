"""Digits as scikit-learn has them; CIFAR-10 from real images in the layout of the official files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from sklearn.datasets import load_digits

from edfkit import EdfkitError
from edfkit.generator import data, models
from edfkit.generator.recipe import Recipe
from edfkit.generator.train import train


def test_digits_are_the_real_ones_split_in_their_order() -> None:
    images = data.find("digits").load(None)
    source = load_digits()
    assert images.x_train.shape == (1000, 8, 8, 1)
    assert images.x_test.shape == (797, 8, 8, 1)
    assert images.x_train.dtype == np.uint8
    np.testing.assert_array_equal(np.concatenate([images.x_train, images.x_test])[..., 0], source.images)
    np.testing.assert_array_equal(np.concatenate([images.y_train, images.y_test]), source.target)
    assert images.mean == (source.images[:1000].mean(),)
    assert images.std == pytest.approx((source.images[:1000].std(),))


@pytest.mark.parametrize("name", list(data.DATASETS))
def test_what_is_said_of_a_data_set_is_a_valid_recipe(name: str) -> None:
    Recipe(**data.find(name).recipe)
    assert data.find(name).classes == 10


@pytest.fixture
def cifar_folder(tmp_path: Path, cifar_images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write real images the way the official archive unpacks; its checksums, of all 60,000, cannot hold and are off."""
    with np.load(cifar_images) as subset:
        rows = subset["x"].transpose(0, 3, 1, 2).reshape(len(subset["y"]), 3072)
        labels = subset["y"].tolist()
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    parts = {"data_batch_1": slice(0, 800), "test_batch": slice(800, None)}
    for name, part in parts.items():
        (folder / name).write_bytes(pickle.dumps({"data": rows[part], "labels": labels[part]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    official = torchvision.datasets.CIFAR10
    monkeypatch.setattr(official, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(official, "test_list", [["test_batch", None]])
    monkeypatch.setattr(official, "meta", {**official.meta, "md5": None})
    return tmp_path


def test_cifar10_is_read_from_a_folder_and_trained_on(cifar_folder: Path, cifar_images: Path) -> None:
    images = data.find("cifar10").load(cifar_folder)
    with np.load(cifar_images) as subset:
        np.testing.assert_array_equal(images.x_train, subset["x"][:800])
        np.testing.assert_array_equal(images.y_test, subset["y"][800:])
    # The statistics are those of all 50,000 images; those of 800 must be near.
    pixels = images.x_train.reshape(-1, 3)
    np.testing.assert_allclose(pixels.mean(0), images.mean, rtol=0.05)
    np.testing.assert_allclose(pixels.std(0), images.std, rtol=0.05)

    rng = torch.Generator().manual_seed(0)
    model = models.build("res_basic_block", [1, 1, 1], [16, 16, 16], rng=rng)
    result = train(model, images, Recipe(epochs=3, precise_bn=256), rng=rng)
    assert result.train_loss[-1] < result.train_loss[0]
    assert result.status == "finished"


def test_a_folder_without_cifar10_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match=r"CIFAR-10 could not be read .* give the folder that holds"):
        data.find("cifar10").load(tmp_path)


def test_a_folder_for_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match="come with scikit-learn; leave it out"):
        data.find("digits").load(tmp_path)


def test_an_unknown_data_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(EdfkitError, match="'mnist'; choose one of digits, cifar10"):
        data.find("mnist")
