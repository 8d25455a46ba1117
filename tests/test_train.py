"""The training loop: its parts against plain re-computation, and real training on real images."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from edfkit import EdfkitError
from edfkit.generator import data, models
from edfkit.generator import train as training
from edfkit.generator.data import Images
from edfkit.generator.layers import DropPath
from edfkit.generator.recipe import Recipe, enhanced

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = data.find("digits").load(None)
RECIPE = Recipe(**data.find("digits").recipe)


def run(seed: int = 0, recipe: Recipe = RECIPE, images: Images = DIGITS) -> training.Result:
    rng = torch.Generator().manual_seed(seed)
    model = models.build("res_basic_block", [1, 1, 1], [16, 24, 32], channels=1, rng=rng)
    return training.train(model, images, recipe, rng=rng)


def few(images: int) -> Images:
    return replace(DIGITS, x_train=DIGITS.x_train[:images], y_train=DIGITS.y_train[:images])


def pipeline(recipe: Recipe, seed: int = 0) -> training._Pipeline:
    return training._Pipeline(DIGITS, recipe, torch.device("cpu"), torch.Generator().manual_seed(seed))


def test_training_on_real_images_learns() -> None:
    result = run()
    assert result.status == "finished"
    assert {len(curve) for curve in (result.test_error, result.train_error, result.train_loss)} == {8}
    assert result.test_error[-1] < 15 < 50 < result.test_error[0]
    assert result.train_loss[-1] < 0.5 < 1.5 < result.train_loss[0]
    assert result.seconds > 0


def test_errors_are_whole_counts_of_images() -> None:
    result = run(recipe=replace(RECIPE, epochs=2))
    for errors, images in ((result.test_error, 797), (result.train_error, 1000)):
        counts = np.array(errors) * images / 100
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)


def test_same_seed_same_numbers() -> None:
    recipe = replace(RECIPE, epochs=3)
    first, again, other = (run(seed, recipe) for seed in (5, 5, 6))
    assert replace(first, seconds=0.0) == replace(again, seconds=0.0)
    assert first.train_loss != other.train_loss


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
    x, y = source.train(index)
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


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_blanks_one_square_of_each_image_centred_anywhere(side: int) -> None:
    recipe = Recipe(flip=False, shift=0, cutout=side)
    plain = pipeline(replace(recipe, cutout=0)).train(torch.arange(1000))[0][:, 0]
    cut = pipeline(recipe).train(torch.arange(1000))[0][:, 0]
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
    first, second = source.order(), source.order()
    assert sorted(first.tolist()) == list(range(1000))
    assert first.tolist() != second.tolist()


def test_test_images_are_normalised_and_nothing_else() -> None:
    x, y = pipeline(RECIPE).test(100, 150)
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
    batches = again.order()[:350].split(100)[:3]
    stem, norm = model[0], model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    outputs = [stem(again.train(index)[0]).detach() for index in batches]
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
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
