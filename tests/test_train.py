"""The training loop: its parts against plain re-computation, and real training on real images."""

import hashlib
import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from edfkit import EdfkitError
from edfkit.generator.training import data
from edfkit.generator.training import stages as models
from edfkit.generator.training import train as training
from edfkit.generator.training.capture import WARM_UP, Captured
from edfkit.generator.training.images import Images
from edfkit.generator.training.layers import DropPath
from edfkit.generator.training.pipeline import InMemory, Pipeline
from edfkit.generator.training.recipe import Recipe, enhanced

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = data.find("digits").load(None)
RECIPE = Recipe(**data.find("digits").recipe)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


def build(
    device: torch.device, seed: int = 0, *, auxiliary: bool = False, drop_path: bool = False
) -> tuple[nn.Module, torch.Generator]:
    """Build a small network, with the same weights on every device, and the generator to train it with."""
    rng = torch.Generator().manual_seed(seed)
    options = {"channels": 1, "auxiliary": auxiliary, "drop_path": drop_path}
    model = models.build("res_basic_block", [1, 1, 1], [16, 24, 32], rng=rng, **options).to(device)
    if device.type == "cpu":
        return model, rng
    rng = torch.Generator(device).manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, DropPath):
            layer.rng = rng
    return model, rng


CPU = torch.device("cpu")


def run(seed: int = 0, recipe: Recipe = RECIPE, images: Images = DIGITS, device: torch.device = CPU) -> training.Result:
    model, rng = build(device, seed, auxiliary=recipe.auxiliary > 0, drop_path=recipe.drop_path > 0)
    return training.train(model, images, recipe, rng=rng)


def few(images: int) -> Images:
    return replace(DIGITS, x_train=DIGITS.x_train[:images], y_train=DIGITS.y_train[:images])


def pipeline(recipe: Recipe, seed: int = 0) -> InMemory:
    return InMemory(DIGITS, recipe, torch.device("cpu"), torch.Generator().manual_seed(seed))


def test_training_on_real_images_learns(device: torch.device) -> None:
    result = run(device=device)
    assert (result.status, result.note) == ("finished", None)
    assert {len(curve) for curve in (result.test_error, result.train_error, result.train_loss)} == {8}
    assert result.test_error[-1] < 15 < 50 < result.test_error[0]
    assert result.train_loss[-1] < 0.5 < 1.5 < result.train_loss[0]
    assert result.seconds > 0


def test_errors_are_whole_counts_of_images() -> None:
    result = run(recipe=replace(RECIPE, epochs=2))
    for errors, images in ((result.test_error, 797), (result.train_error, 1000)):
        counts = np.array(errors) * images / 100
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)


def test_same_seed_same_numbers_whatever_was_trained_before(device: torch.device) -> None:
    recipe = Recipe(**enhanced({**data.find("digits").recipe, "epochs": 1}, 8))
    recipe = replace(recipe, epochs=2)
    first, other, again = (run(seed, recipe, few(500), device) for seed in (5, 6, 5))
    assert replace(first, seconds=0.0) == replace(again, seconds=0.0)
    assert first.train_loss != other.train_loss
    # Even after one that diverged, and whatever torch's own generator is at.
    torch.rand(7, device=device)
    run(1, replace(recipe, lr=1e9, schedule="constant"), few(300), device)
    assert replace(first, seconds=0.0) == replace(run(5, recipe, few(500), device), seconds=0.0)


def test_a_diverged_run_is_a_result() -> None:
    result = run(recipe=replace(RECIPE, epochs=4, lr=1e9, schedule="constant"))
    assert result.status == "diverged"
    assert len(result.test_error) == len(result.train_error) == len(result.train_loss) == 4
    assert result.test_error[-1] == result.train_error[-1] == 100.0
    assert math.isnan(result.train_loss[-1])


def test_logits_that_are_not_finite_are_misses() -> None:
    logits = torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert training._misses(logits, torch.tensor([0, 0, 0, 0])).item() == 3


def test_the_first_step_is_that_of_nesterov_with_weight_decay() -> None:
    # One step by hand: g = gradient + wd * w, velocity = g, w - lr * (g + momentum * velocity).
    recipe = Recipe(epochs=1, batch=100, lr=0.05, momentum=0.8, weight_decay=0.01, flip=False, shift=0, precise_bn=0)
    rng = torch.Generator().manual_seed(0)
    model = models.build("double_plain_block", [1, 1, 1], [16, 16, 16], channels=1, rng=rng)
    twin = models.build("double_plain_block", [1, 1, 1], [16, 16, 16], channels=1, rng=torch.Generator().manual_seed(0))
    images = few(100)
    training.train(model, images, recipe, rng=rng)

    x = (torch.from_numpy(images.x_train).float() - images.mean[0]) / images.std[0]
    functional.cross_entropy(twin(x.permute(0, 3, 1, 2)), torch.from_numpy(images.y_train)).backward()
    for trained, start in zip(model.parameters(), twin.parameters(), strict=True):
        assert start.grad is not None
        step = start.grad + 0.01 * start
        expected = start - 0.05 * (step + 0.8 * step)
        torch.testing.assert_close(trained, expected, rtol=1e-4, atol=2e-6)


def test_learning_rate_is_a_half_cosine_moved_once_an_epoch() -> None:
    recipe = Recipe(epochs=100)
    rates = [recipe.learning_rate(epoch) for epoch in range(100)]
    assert rates[0] == 0.1
    assert rates[50] == pytest.approx(0.05)
    assert rates[99] == pytest.approx(0.1 / 2 * (1 + math.cos(0.99 * math.pi)))
    assert rates == sorted(rates, reverse=True)
    assert replace(recipe, schedule="constant").learning_rate(77) == 0.1


@pytest.mark.parametrize(("flip", "shift"), [(False, 0), (False, 1), (True, 0), (True, 2)])
def test_every_augmented_image_is_a_flip_and_a_shift_of_its_own(flip: bool, shift: int) -> None:
    # Each one is found among all the flips and shifts of its original, made one by one with numpy.
    source = pipeline(Recipe(flip=flip, shift=shift, batch=100))
    index = torch.arange(400)
    x, y = source.augmented(index)
    assert y.tolist() == DIGITS.y_train[:400].tolist()
    assert x.is_contiguous(memory_format=torch.channels_last)
    normalised = (DIGITS.x_train[:400, :, :, 0].astype(np.float32) - DIGITS.mean[0]) / DIGITS.std[0]
    padded = np.pad(normalised, ((0, 0), (shift, shift), (shift, shift)))
    variants = {
        (mirrored, row, column): (padded[:, :, ::-1] if mirrored else padded)[:, row : row + 8, column : column + 8]
        for mirrored in ([False, True] if flip else [False])
        for row in range(2 * shift + 1)
        for column in range(2 * shift + 1)
    }
    fits = np.array([np.abs(x[:, 0].numpy() - image).max((1, 2)) < 1e-5 for image in variants.values()])
    assert fits.any(axis=0).all()
    # Every variant occurs, about equally often: 400 images over at most 50 variants (some fit by chance, none misses).
    assert fits.sum(axis=1).min() > 0
    used = fits[:, fits.sum(axis=0) == 1].sum(axis=1)
    assert used.max() < 3 * used.mean() + 10


@pytest.mark.parametrize("shape", [(7, 3, 2), (8, 1, 1), (5, 2, 0)])
def test_augmented_images_are_those_of_a_plain_computation_to_the_bit(shape: tuple[int, int, int]) -> None:
    # The same random numbers, drawn in the same order, and one image after the other.
    side, channels, shift = shape
    numpy_rng = np.random.default_rng(0)
    pixels = numpy_rng.integers(0, 256, (90, side, side, channels), dtype=np.uint8)
    labels = numpy_rng.integers(0, 10, 90)
    mean, std = (120.3, 99.1, 130.7)[:channels], (61.3, 70.9, 50.1)[:channels]
    recipe = Recipe(batch=40, flip=True, shift=shift, cutout=3)
    source = InMemory(Images(pixels, labels, pixels, labels, mean, std), recipe, CPU, torch.Generator().manual_seed(3))
    rng = torch.Generator().manual_seed(3)
    index = torch.arange(10, 50)
    x, y = source.augmented(index)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.tolist() == labels[10:50].tolist()

    def drawn(high: int) -> list[int]:
        return torch.randint(high, (40, 1), generator=rng)[:, 0].tolist()

    mirrored = drawn(2)
    down, right = (drawn(2 * shift + 1) for _ in range(2)) if shift else ([0] * 40, [0] * 40)
    top, left = ([middle - 1 for middle in drawn(side)] for _ in range(2))
    for i in range(40):
        normalised = (pixels[10 + i].astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
        padded = np.pad(normalised, ((shift, shift), (shift, shift), (0, 0)))
        image = padded[down[i] : down[i] + side, right[i] : right[i] + side]
        image = image[:, ::-1].copy() if mirrored[i] else image.copy()
        image[max(top[i], 0) : top[i] + 3, max(left[i], 0) : left[i] + 3] = 0
        assert x[i].permute(1, 2, 0).numpy().tobytes() == image.tobytes()


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_blanks_one_square_of_each_image_centred_anywhere(side: int) -> None:
    recipe = Recipe(flip=False, shift=0, cutout=side)
    plain = pipeline(replace(recipe, cutout=0)).augmented(torch.arange(1000))[0][:, 0]
    cut = pipeline(recipe).augmented(torch.arange(1000))[0][:, 0]
    assert (plain != 0).all()  # the mean is no whole number, so what is 0 is blanked
    assert torch.equal(cut, plain.where(cut != 0, 0))
    squares = torch.zeros(8, 8, 8, 8, dtype=torch.bool)  # by the row and the column of the centre
    for row in range(8):
        for column in range(8):
            top, left = row - side // 2, column - side // 2
            squares[row, column, max(0, top) : top + side, max(0, left) : left + side] = True
    fits = (squares.flatten(0, 1)[:, None] == (cut == 0)).all((2, 3)).sum(1)
    assert fits.sum() == 1000  # the square of each image is one of these
    assert stats.chisquare(fits).pvalue > 1e-4


def test_an_auxiliary_classifier_teaches_but_is_not_reported() -> None:
    def first_epoch(weight: float) -> tuple[training.Result, nn.Module]:
        recipe = Recipe(epochs=1, batch=100, lr=0.05, flip=False, shift=0, precise_bn=0, auxiliary=weight)
        rng = torch.Generator().manual_seed(0)
        model = models.build("res_basic_block", [1, 1, 1], [16, 16, 16], channels=1, auxiliary=weight > 0, rng=rng)
        rng.manual_seed(1)
        return training.train(model, few(100), recipe, rng=rng), model

    # One step: the loss before it is that without the head, whatever its weight; the head and all before it learn.
    (plain, alone), (with_head, model) = first_epoch(0.0), first_epoch(0.4)
    assert with_head.train_loss[0] == pytest.approx(plain.train_loss[0], rel=1e-5)
    twin = models.build(
        "res_basic_block", [1, 1, 1], [16, 16, 16], channels=1, auxiliary=True, rng=torch.Generator().manual_seed(0)
    )
    changed = {
        n for (n, a), b in zip(model.named_parameters(), twin.parameters(), strict=True) if not torch.equal(a, b)
    }
    assert changed == {name for name, _ in model.named_parameters()}
    assert not torch.equal(next(model.parameters()), next(alone.parameters()))


def test_the_probability_of_dropping_a_path_rises_linearly_and_is_0_in_tests() -> None:
    recipe = replace(RECIPE, epochs=4, drop_path=0.4)
    assert [recipe.drop_probability(epoch) for epoch in range(4)] == pytest.approx([0, 0.1, 0.2, 0.3])
    rng = torch.Generator().manual_seed(0)
    model = models.build("res_basic_block", [1, 1, 1], [16, 16, 16], channels=1, drop_path=True, rng=rng)
    path = next(layer for layer in model.modules() if isinstance(layer, DropPath))
    seen: list[tuple[bool, float]] = []
    path.register_forward_hook(lambda *_: seen.append((path.training, path.probability)))
    training.train(model, few(200), replace(recipe, precise_bn=100), rng=rng)
    # Each epoch: two steps, one batch for the statistics, one for the test.
    learning, statistics, test = [seen[step::4] for step in (0, 1)], seen[2::4], seen[3::4]
    for steps in learning:
        assert all(training_mode for training_mode, _ in steps)
        assert [probability for _, probability in steps] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert statistics == [(True, 0.0)] * 4
    assert [training_mode for training_mode, _ in test] == [False] * 4


def test_the_enhanced_recipe_learns() -> None:
    recipe = Recipe(**enhanced({**data.find("digits").recipe, "epochs": 1}, 8))
    assert (recipe.epochs, recipe.auxiliary, recipe.cutout, recipe.drop_path) == (6, 0.4, 4, 0.2)
    rng = torch.Generator().manual_seed(0)
    model = models.build(
        "res_basic_block", [1, 1, 1], [16, 24, 32], channels=1, auxiliary=True, drop_path=True, rng=rng
    )
    result = training.train(model, DIGITS, recipe, rng=rng)
    assert result.train_loss[-1] < 1.5 < result.train_loss[0]
    assert result.test_error[-1] < 30


def test_a_recipe_without_enhancements_does_not_mention_them() -> None:
    assert set(Recipe().as_dict()) == {
        "epochs", "batch", "lr", "schedule", "weight_decay", "momentum", "flip", "shift", "precise_bn"
    }  # fmt: skip
    whole = Recipe(auxiliary=0.4, cutout=16, drop_path=0.2)
    assert Recipe(**whole.as_dict()) == whole
    assert Recipe(**Recipe(precise_bn=0).as_dict()) == Recipe(precise_bn=0)


def test_shuffling_visits_every_image_once() -> None:
    source = pipeline(RECIPE)
    first, second = (torch.cat([index for (index,) in source.epoch()]) for _ in range(2))
    assert sorted(first.tolist()) == list(range(1000))
    assert first.tolist() != second.tolist()


def test_test_images_are_normalised_and_nothing_else() -> None:
    x, y = (whole[100:150] for whole in next(pipeline(RECIPE).test()))
    expected = (DIGITS.x_test[100:150, :, :, 0] - DIGITS.mean[0]) / DIGITS.std[0]
    np.testing.assert_allclose(x[:, 0].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert y.tolist() == DIGITS.y_test[100:150].tolist()


def test_precise_statistics_are_the_average_over_the_batches() -> None:
    recipe = replace(RECIPE, precise_bn=350)  # three whole batches of 100
    rng = torch.Generator().manual_seed(3)
    model = models.build("double_plain_block", [1, 1, 1], [16, 16, 16], channels=1, rng=rng).train()
    source = pipeline(recipe, seed=4)
    training._set_precise_statistics(model, source, recipe)

    again = pipeline(recipe, seed=4)
    stem, norm = model[0], model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    outputs = [stem(x).detach() for x, _ in again.statistics()]
    assert len(outputs) == 3
    mean = torch.stack([out.mean((0, 2, 3)) for out in outputs]).mean(0)
    variance = torch.stack([out.var((0, 2, 3)) for out in outputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1


def test_a_last_partial_batch_is_dropped() -> None:
    # 250 images in batches of 100 are two steps: errors are multiples of 1 / 200.
    result = run(recipe=replace(RECIPE, epochs=2), images=few(250))
    counts = np.array(result.train_error) * 200 / 100
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)


def test_a_batch_larger_than_the_training_set_is_refused() -> None:
    with pytest.raises(EdfkitError, match="A batch of 100 is larger than the training set of 99"):
        run(images=few(99))


# A step: what it waits for, how it is captured


def prepared(
    device: torch.device, recipe: Recipe, *, capturable: bool, seed: int = 0
) -> tuple[training._Step, torch.Generator]:
    model, rng = build(device, seed, auxiliary=recipe.auxiliary > 0, drop_path=recipe.drop_path > 0)
    model = model.to(memory_format=torch.channels_last).train()
    source = InMemory(DIGITS, recipe, device, rng)
    return training._Step(model, source, recipe, device, capturable=capturable), rng


def fingerprint(step: training._Step) -> str:
    """Hash weights, statistics and momentum."""
    momenta = [momentum for momentum in step.momenta if momentum is not None]
    content = hashlib.sha256()
    for tensor in [*step.model.state_dict().values(), *momenta, step.loss_sum, step.misses]:
        content.update(tensor.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


class Operators(TorchDispatchMode):
    """Collects which operators are called, among them those that make the host wait for a number."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket._qualified_op_name
        # To index by a mask is to find out how many elements are true.
        masked = name.startswith("aten::index") and any(
            isinstance(tensor, Tensor) and tensor.dtype == torch.bool
            for index in args[1:2]
            for tensor in (index if isinstance(index, list) else [])
        )
        self.seen.add("aten::nonzero" if masked else name)
        return func(*args, **(kwargs or {}))

    @property
    def waits(self) -> set[str]:
        # Copies between devices are seen by the debug mode of CUDA.
        return self.seen & {
            "aten::_local_scalar_dense",
            "aten::item",
            "aten::is_nonzero",
            "aten::equal",
            "aten::nonzero",
        }


ENHANCED = Recipe(**enhanced({**data.find("digits").recipe, "epochs": 1, "flip": True}, 8))


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("recipe", [RECIPE, ENHANCED], ids=["plain", "enhanced"])
def test_a_step_does_not_wait_for_the_device(device: torch.device, recipe: Recipe, capturable: bool) -> None:
    step, _ = prepared(device, recipe, capturable=capturable)
    step.begin_epoch(1)
    batches = step.pipeline.epoch()
    step(*next(batches))  # makes the state of the optimizer
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        with Operators() as operators:
            step(*next(batches))
            step.begin_epoch(2)
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert {"aten::convolution", "aten::convolution_backward", "aten::_fused_sgd_"} <= operators.seen
    assert not operators.waits


@pytest.mark.parametrize(
    "wait", [lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x[x > 0], torch.nonzero, float]
)
def test_waiting_for_the_device_would_be_seen(wait: Any) -> None:
    with Operators() as operators:
        wait(torch.ones(1))
    assert operators.waits


def test_the_layout_of_a_step_is_channels_last(device: torch.device) -> None:
    layouts: set[bool] = set()

    class Watched(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            layouts.update(t.is_contiguous(memory_format=torch.channels_last) for t in (x, self.weight, out))
            return out

    step, _ = prepared(device, RECIPE, capturable=device.type == "cuda")
    for layer in step.model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.__class__ = Watched
    step.begin_epoch(0)
    step(*next(step.pipeline.epoch()))
    assert layouts == {True}
    norms = [layer for layer in step.model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {norm.num_batches_tracked for norm in norms} == {None}


def test_numbers_in_tensors_give_the_same_steps() -> None:
    # What a captured step reads, a rate in a tensor and a batch in one place, against numbers and batches as they come.
    recipe = replace(RECIPE, epochs=3, flip=True)
    (plain, _), (fixed, _) = (prepared(CPU, recipe, capturable=capturable) for capturable in (False, True))
    place = torch.empty(recipe.batch, dtype=torch.int64)
    for epoch in range(3):
        for step in (plain, fixed):
            step.begin_epoch(epoch)
        for parts in plain.pipeline.epoch():
            plain(*parts)
        for (index,) in fixed.pipeline.epoch():
            fixed(place.copy_(index))
        assert fingerprint(plain) == fingerprint(fixed)
    assert fixed.lr is fixed.rate
    assert fixed.rate.item() == pytest.approx(recipe.learning_rate(2))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_sgd(device: torch.device, momentum: float) -> None:
    recipe = replace(RECIPE, epochs=2, momentum=momentum)
    step, _ = prepared(device, recipe, capturable=False)
    twin = deepcopy(step.model)
    optimizer = torch.optim.SGD(
        twin.parameters(), momentum=momentum, nesterov=momentum > 0, weight_decay=recipe.weight_decay, fused=True
    )
    for epoch in range(2):
        step.begin_epoch(epoch)
        optimizer.param_groups[0]["lr"] = recipe.learning_rate(epoch)
        for parts in step.pipeline.epoch():
            step(*parts)
            for weight, ours in zip(twin.parameters(), step.model.parameters(), strict=True):
                weight.grad = ours.grad
            optimizer.step()
    for weight, ours in zip(twin.parameters(), step.model.parameters(), strict=True):
        assert torch.equal(weight, ours)


def test_gradients_are_given_the_strides_of_their_weights() -> None:
    layers = [nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Conv2d(4, 6, 1, bias=False)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    expected = []
    for weight in model.parameters():
        expected.append(torch.arange(weight.numel(), dtype=torch.float32).view(weight.shape))
        weight.grad = expected[-1]  # contiguous: the same memory, as an axis has length 1
    assert any(weight.grad.stride() != weight.stride() for weight in model.parameters() if weight.grad is not None)
    training._align_gradients(model.parameters())
    for weight, values in zip(model.parameters(), expected, strict=True):
        assert weight.grad is not None
        assert weight.grad.stride() == weight.stride()
        assert torch.equal(weight.grad, values)


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda", torch.cuda.current_device())


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("recipe", [RECIPE, ENHANCED], ids=["plain", "enhanced"])
def test_captured_steps_give_the_numbers_of_eager_ones(cuda: torch.device, recipe: Recipe, precision: str) -> None:
    recipe = replace(recipe, epochs=3, precision=precision)
    marks = []
    for captured in (False, True):
        with training._arithmetic(cuda, precision):
            step, rng = prepared(cuda, recipe, capturable=True)
            do = Captured(step, rng) if captured else step
            curves = list(training._train(step, do))
        if isinstance(do, Captured):
            assert do.note is None
            assert do._graph is not None
        marks.append((curves, fingerprint(step), rng.get_state().tolist()))
    assert marks[0] == marks[1]


def test_a_step_that_cannot_be_captured_stays_eager_with_a_note(cuda: torch.device) -> None:
    marks = []
    for waits in (False, True):
        step, rng = prepared(cuda, replace(RECIPE, epochs=2, flip=True), capturable=True)
        calls = 0

        def do(*parts: Tensor, step: training._Step = step, waits: bool = waits) -> None:
            nonlocal calls
            calls += 1
            step(*parts)
            if waits:
                step.loss_sum.item()

        captured = Captured(do, rng)
        curves = list(training._train(step, captured))
        assert (captured.note is not None) == waits
        # Eager steps of two epochs, and one that was captured or was to be.
        assert calls == (20 + 1 if waits else WARM_UP + 1)
        marks.append((curves, fingerprint(step), rng.get_state().tolist()))
    assert marks[0] == marks[1]


# Precision


def precise_and_rounded(seed: int, epochs: int, device: torch.device) -> tuple[training.Result, training.Result]:
    recipe = replace(RECIPE, epochs=epochs)
    full, rounded = (run(seed, replace(recipe, precision=precision), device=device) for precision in ("fp32", "bf16"))
    assert full.train_loss != rounded.train_loss
    return full, rounded


def test_bf16_trains_like_fp32(device: torch.device) -> None:
    full, rounded = precise_and_rounded(0, 3, device)
    assert rounded.train_loss == pytest.approx(full.train_loss, rel=0.03)
    assert rounded.train_error == pytest.approx(full.train_error, abs=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bf16_ends_where_fp32_does(device: torch.device, seed: int) -> None:
    full, rounded = precise_and_rounded(seed, 8, device)
    assert rounded.train_loss == pytest.approx(full.train_loss, abs=0.04)
    assert rounded.test_error[-1] == pytest.approx(full.test_error[-1], abs=2)


def test_bf16_is_what_the_convolutions_see_and_nothing_else(device: torch.device) -> None:
    step, _ = prepared(device, replace(ENHANCED, precision="bf16"), capturable=device.type == "cuda")
    seen: dict[type[nn.Module], set[torch.dtype]] = {}
    for layer in step.model.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            layer.register_forward_hook(lambda layer, _, out: seen.setdefault(type(layer), set()).add(out.dtype))
    step.begin_epoch(1)
    step(*next(step.pipeline.epoch()))
    assert seen[nn.Conv2d] == seen[nn.Linear] == {torch.bfloat16}
    norms = [layer for layer in step.model.modules() if isinstance(layer, nn.BatchNorm2d)]
    tensors = [*step.model.state_dict().values(), *(weight.grad for weight in step.model.parameters())]
    tensors += step.momenta
    assert norms
    assert {tensor.dtype for tensor in tensors if tensor is not None} == {torch.float32}
    logits, auxiliary = training._logits(step.model, step.pipeline.augmented(torch.arange(100))[0], step.recipe)
    assert auxiliary is not None
    assert logits.dtype == auxiliary.dtype == torch.float32  # so the loss is computed in it
    assert math.isfinite(step.loss_sum.item())


def test_tf32_is_refused_on_a_processor() -> None:
    with pytest.raises(
        EdfkitError, match=r"precision = tf32, which CUDA devices alone have, .* on cpu; give fp32 or bf16"
    ):
        run(recipe=replace(RECIPE, precision="tf32"))


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_products_on_a_cuda_device_are_in_the_precision_asked_for(precision: str, tf32: bool) -> None:
    def settings() -> tuple[bool, ...]:
        cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
        return cudnn.allow_tf32, products.allow_tf32, cudnn.deterministic, cudnn.benchmark

    before = settings()
    with training._arithmetic(torch.device("cuda"), precision):
        assert settings() == (tf32, tf32, True, False)
    assert settings() == before
    with training._arithmetic(CPU, precision):
        assert settings() == before


def test_the_precision_is_recorded_unless_it_is_the_usual_one() -> None:
    assert "precision" not in Recipe().as_dict()
    for precision in ("tf32", "bf16"):
        recipe = Recipe(precision=precision)
        assert recipe.as_dict() == {**Recipe().as_dict(), "precision": precision}
        assert Recipe(**recipe.as_dict()) == recipe


# Images that bring their own pipeline


class Own:
    """Digits in another guise."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def pipeline(self, recipe: Recipe, device: torch.device, rng: torch.Generator) -> Pipeline:
        made = InMemory(DIGITS, recipe, device, rng)
        if self.failure is not None:
            made.augmented = self._fail
        return made

    def _fail(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        assert self.failure is not None
        raise self.failure


def test_images_may_bring_their_own_pipeline(device: torch.device) -> None:
    recipe = replace(RECIPE, epochs=2)
    model, rng = build(device)
    result = training.train(model, Own(), recipe, rng=rng)
    assert replace(result, seconds=0.0) == replace(run(recipe=recipe, device=device), seconds=0.0)
    model, rng = build(device)
    with pytest.raises(EdfkitError, match="A batch of 1001 is larger than the training set of 1000"):
        training.train(model, Own(), replace(RECIPE, batch=1001), rng=rng)


def test_a_lack_of_memory_is_raised_as_it_is(device: torch.device) -> None:
    error = torch.cuda.OutOfMemoryError("CUDA out of memory")
    model, rng = build(device)
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        training.train(model, Own(error), RECIPE, rng=rng)
    assert caught.value is error


def test_read_only_images_are_read() -> None:
    arrays = [array.copy() for array in (DIGITS.x_train, DIGITS.y_train, DIGITS.x_test, DIGITS.y_test)]
    for array in arrays:
        array.flags.writeable = False
    images = Images(*arrays, DIGITS.mean, DIGITS.std)
    recipe = replace(RECIPE, epochs=1)
    assert run(recipe=recipe, images=images).train_loss == run(recipe=recipe).train_loss


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp16"}, "precision = 'fp16'; give fp32, tf32, bf16"),
        ({"epochs": 0}, "epochs = 0"),
        ({"batch": -1}, "batch = -1"),
        ({"lr": math.nan}, "lr = nan"),
        ({"weight_decay": -0.1}, "weight_decay = -0.1"),
        ({"momentum": math.inf}, "momentum = inf"),
        ({"schedule": "step"}, "schedule = 'step'"),
        ({"drop_path": 1.0}, "drop_path = 1.0; give a probability below 1"),
    ],
)
def test_impossible_recipes_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        Recipe(**settings)
