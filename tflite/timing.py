"""Timing `.tflite` files against each other: the same thread, one run of each a round, in a new order each round."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ghostnet_tf import commands
from ghostnet_tf.runtime import TFLiteModel

CLOCKS = ("wall", "cpu")


def clock(name: str, num_threads: int) -> Callable[[], int]:
    """A function that reads the clock `name` in nanoseconds.

    `wall` is what a user waits. `cpu` leaves out the time in which other programs had the processor: that of the
    calling thread with one thread, and with more the sum over all threads, which is work and not latency.
    """
    if commands.choose("clock", name, CLOCKS) == "wall":
        return time.perf_counter_ns
    return time.thread_time_ns if num_threads == 1 else time.process_time_ns


def partitions(model: TFLiteModel) -> int:
    """Into how many pieces XNNPACK takes the graph: 1 is best, 0 means that it took nothing."""
    return sum(node["op_name"] == "DELEGATE" for node in model.interpreter._get_ops_details())


def fill_inputs(model: TFLiteModel, seed: int) -> None:
    """Random data in every input, see `random_values`."""
    rng = np.random.default_rng(seed)
    for details in model.interpreter.get_input_details():
        if -1 in details["shape_signature"][1:]:
            raise commands.BadInput(
                f"expected inputs of a fixed size. Received: input {details['name']!r} of shape "
                f"{details['shape_signature'].tolist()}; convert the model with a fixed input size"
            )
        values = random_values(details["shape"], np.dtype(details["dtype"]), rng, details["name"])
        model.interpreter.set_tensor(details["index"], values)


def random_values(shape: Sequence[int], dtype: np.dtype, rng: np.random.Generator, name: str) -> np.ndarray:
    """Values for the input `name`: the whole range of an integer type of up to 16 bits, 0-255 for a float type."""
    if dtype.kind == "f":
        return rng.uniform(0, 255, shape).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    raise commands.BadInput(
        f"expected inputs of a float type or of integers of up to 16 bits. Received: input {name!r} of {dtype}"
    )


def timed(action: Callable[[], object], read_clock: Callable[[], int]) -> float:
    """Milliseconds that `action` takes."""
    start = read_clock()
    action()
    return (read_clock() - start) / 1e6


def orders(contestants: int, rounds: int, seed: int) -> Iterator[list[int]]:
    """The order of each round: every contestant once, shuffled anew."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield rng.permutation(contestants).tolist()


def measure(
    models: Sequence[TFLiteModel],
    *,
    num_runs: int = 50,
    warmup_runs: int = 5,
    read_clock: Callable[[], int] = time.perf_counter_ns,
    seed: int = 0,
) -> np.ndarray:
    """Milliseconds of each inference of models whose inputs are filled, `(models, num_runs)`.

    Only the interpreter's `invoke` is timed. A column is one round, so that the ratios within it are of
    neighbouring moments: what slows the machine for a while slows them all. Each run finds the processor's caches
    as the other models left them.
    """
    for model in models:
        for _ in range(warmup_runs):
            model.interpreter.invoke()
    times = np.empty((len(models), num_runs))
    rounds = commands.progress(orders(len(models), num_runs, seed), "rounds", num_runs)
    for number, order in enumerate(rounds):
        for index in order:
            times[index, number] = timed(models[index].interpreter.invoke, read_clock)
    return times
