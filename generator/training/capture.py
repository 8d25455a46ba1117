"""A step on a CUDA device that is captured in a CUDA graph, so that one call starts all of it.

The steps of small networks are bound by the time to launch their hundreds of kernels, which a graph does at once.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture: libraries load, memory is found, the optimizer makes its state


class Captured:
    """Run a step eagerly a few times, then capture it and only replay it.

    The eager steps are real ones and a replay computes the same as they do, so capturing changes no number. Whatever
    changes from call to call has to be in the arguments, in tensors that stay where they are, or in the generator.
    Where the capture fails, the steps stay eager.

    Parameters
    ----------
    step : callable
        Takes tensors on the device, waits for nothing, and returns nothing.
    rng : torch.Generator
        The one that the step draws from, on the device.

    Attributes
    ----------
    note : str or None
        Why the steps are not captured.
    """

    def __init__(self, step: Callable[..., None], rng: torch.Generator) -> None:
        self.note: str | None = None
        self._step, self._rng = step, rng
        self._inputs: tuple[Tensor, ...] = ()
        self._calls = 0
        # One stream for the eager steps and the capture: what libraries keep per stream must exist before the capture.
        self._stream = torch.cuda.Stream(rng.device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *parts: Tensor) -> None:
        """Do a step; the shapes and types of the arguments are those of the first call."""
        if self.note is not None:
            self._step(*parts)
            return
        if not self._calls:
            self._inputs = tuple(torch.empty_like(part) for part in parts)
        for kept, part in zip(self._inputs, parts, strict=True):
            kept.copy_(part)
        self._calls += 1
        if self._calls <= WARM_UP:
            self._run_eagerly()
            return
        if self._graph is None:
            self._capture()
        if self._graph is None:
            self._step(*self._inputs)
        else:
            self._graph.replay()

    def _run_eagerly(self) -> None:
        usual = torch.cuda.current_stream()
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            self._step(*self._inputs)
        usual.wait_stream(self._stream)

    def _capture(self) -> None:
        usual, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer graphs notice which generators they use, and say so
            graph.register_generator_state(self._rng)
        unharmed = self._rng.clone_state()
        cause: BaseException | None = None
        try:
            # Other threads, such as those of a data loader, may go on using CUDA.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                try:
                    self._step(*self._inputs)
                except BaseException as error:
                    cause = error  # leaving a broken capture raises another error, which says less
                    raise
        except Exception as error:
            # A broken capture may leave its stream the current one, and the generator in a state that is no use.
            torch.cuda.set_stream(usual)
            self._rng.graphsafe_set_state(unharmed)
            graph.reset()
            cause = cause or error
            if isinstance(cause, torch.cuda.OutOfMemoryError):
                raise cause from None
            reason = str(cause).partition("\n")[0]
            self.note = f"its steps were not captured in a CUDA graph ({type(cause).__name__}: {reason})"
        else:
            self._graph = graph
