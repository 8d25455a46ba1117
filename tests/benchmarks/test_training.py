"""What a training loop costs beside its network, each in turn with a reference: `pytest -n 0 tests/benchmarks -s`.

A bare loop is forward, backward and a fused step on one batch that is ready, in channels_last layout; the plain loop is
written as public code does it. Images are random, of the shape of those they stand for. See `test_speed` for the times.
"""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import in_turn
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from edfkit.generator.training import data
from edfkit.generator.training import stages as models
from edfkit.generator.training.images import Images
from edfkit.generator.training.pipeline import InMemory
from edfkit.generator.training.recipe import Recipe
from edfkit.generator.training.train import _Step, train

CPU = torch.device("cpu")
CIFAR, DIGITS = Recipe(), Recipe(**data.find("digits").recipe)
# Block, blocks and channels of each stage.
LARGE = ("res_basic_block", [1, 2, 1], [16, 32, 64])  # over 100 ms a step
SMALLEST = ("double_plain_block", [1, 1, 1], [16, 16, 16])
SMALLEST_RESNET = ("res_basic_block", [1, 1, 1], [16, 16, 16])

Network = tuple[str, list[int], list[int]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(network: Network, channels: int) -> nn.Module:
    rng = torch.Generator().manual_seed(0)
    model: nn.Module = models.build(*network, channels=channels, rng=rng)
    return model.to(memory_format=torch.channels_last).train()


def images_of(train_images: int, test_images: int, *, side: int, channels: int) -> Images:
    rng = np.random.default_rng(0)

    def part(images: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (images, side, side, channels)
        return rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 10, images)

    (x_train, y_train), (x_test, y_test) = part(train_images), part(test_images)
    return Images(x_train, y_train, x_test, y_test, (125.0,) * channels, (63.0,) * channels)


def fused(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)


def bare(model: nn.Module, batch: tuple[Tensor, Tensor], steps: int) -> Callable[[], None]:
    """Learn from one batch over and over."""
    model = copy.deepcopy(model)
    optimizer = fused(model)
    x, y = batch

    def run() -> None:
        for _ in range(steps):
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


@pytest.mark.parametrize(
    ("network", "recipe", "steps", "rounds", "most"),
    [
        (LARGE, CIFAR, 4, 12, 1.03),
        (SMALLEST, CIFAR, 5, 16, 1.10),
        (SMALLEST_RESNET, CIFAR, 5, 16, 1.10),
        (SMALLEST, DIGITS, 10, 60, 1.10),
        (SMALLEST_RESNET, DIGITS, 10, 60, 1.10),
    ],
    ids=["large", "smallest Vanilla", "smallest ResNet", "smallest Vanilla on digits", "smallest ResNet on digits"],
)
def test_an_epoch_against_bare_steps(
    benchmark: BenchmarkFixture, network: Network, recipe: Recipe, steps: int, rounds: int, most: float
) -> None:
    # The steps of an epoch, with shuffling, augmentation and counting, without what the bare loop lacks: the test.
    side, channels = (32, 3) if recipe is CIFAR else (8, 1)
    images = images_of(steps * recipe.batch, 1, side=side, channels=channels)
    model = build(network, channels)
    pipeline = InMemory(images, recipe, CPU, torch.Generator().manual_seed(0))
    reference = bare(model, pipeline.augmented(torch.arange(recipe.batch)), steps)
    step = _Step(model, pipeline, recipe, CPU, capturable=False)

    def ours() -> None:
        step.begin_epoch(0)
        for parts in pipeline.epoch():
            step(*parts)

    in_turn(benchmark, ours, reference, rounds, ratio_at_most=most)
    print(f"    {benchmark.extra_info['reference, ms'] / steps:.1f} ms a bare step")


@pytest.mark.parametrize(("network", "rounds"), [(LARGE, 2), (SMALLEST_RESNET, 3)], ids=["large", "smallest"])
def test_an_epoch_with_its_test_against_bare_steps(benchmark: BenchmarkFixture, network: Network, rounds: int) -> None:
    # A tenth of an epoch of CIFAR-10 with a tenth of its test images and of those for the batch norm statistics.
    recipe = Recipe(epochs=1, batch=128, precise_bn=128)
    images = images_of(39 * 128, 1000, side=32, channels=3)
    model = build(network, 3)
    rng = torch.Generator().manual_seed(0)
    pipeline = InMemory(images, recipe, CPU, torch.Generator().manual_seed(0))
    reference = bare(model, pipeline.augmented(torch.arange(128)), 39)
    in_turn(benchmark, lambda: train(model, images, recipe, rng=rng), reference, rounds)


class Plain(Dataset[tuple[Tensor, int]]):
    """Images that are augmented one by one."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.mean, self.std = (torch.tensor(values)[:, None, None] / 255 for values in (images.mean, images.std))

    def __len__(self) -> int:
        return len(self.images.x_train)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images.x_train[index]).permute(2, 0, 1).contiguous().float().div(255)
        image = functional.pad(image, (4, 4, 4, 4))
        down, right = (int(torch.randint(9, ())) for _ in range(2))
        image = image[:, down : down + 32, right : right + 32]
        if torch.rand(1) < 0.5:
            image = image.flip(-1)
        return (image - self.mean) / self.std, int(self.images.y_train[index])


@pytest.mark.parametrize(
    ("network", "steps", "rounds"), [(LARGE, 2, 8), (SMALLEST_RESNET, 4, 10)], ids=["large", "smallest"]
)
def test_an_epoch_against_a_plain_loop(benchmark: BenchmarkFixture, network: Network, steps: int, rounds: int) -> None:
    images = images_of(steps * 128, 1, side=32, channels=3)
    model = build(network, 3)
    pipeline = InMemory(images, CIFAR, CPU, torch.Generator().manual_seed(0))
    step = _Step(model, pipeline, CIFAR, CPU, capturable=False)
    twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loader = DataLoader(Plain(images), batch_size=128, shuffle=True, drop_last=True, num_workers=0)

    def ours() -> None:
        step.begin_epoch(0)
        for parts in pipeline.epoch():
            step(*parts)

    def plain() -> None:
        losses = correct = 0.0
        for x, y in loader:
            logits = twin(x)
            loss = functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item()
            correct += (logits.argmax(1) == y).float().mean().item()

    in_turn(benchmark, ours, plain, rounds, ratio_at_most=1 / 1.25)
