"""What a series of times says: its percentiles, and its ratio to another series with an interval."""

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000


def summarize(times: np.ndarray) -> dict[str, float]:
    """Median, 5th and 95th percentile, mean, standard deviation (of the population), least and greatest of `times`.

    Args:
        times: Milliseconds `(runs,)`; so is the result, and its keys end in `_ms`.
    """
    p5, median, p95 = np.percentile(times, (5, 50, 95))
    values = {
        "median": median,
        "p5": p5,
        "p95": p95,
        "mean": np.mean(times),
        "std": np.std(times),
        "min": np.min(times),
        "max": np.max(times),
    }
    return {f"{name}_ms": float(value) for name, value in values.items()}


def ratio(times: np.ndarray, reference: np.ndarray, seed: int = 0) -> dict[str, float | None]:
    """The median over the rounds of `times / reference`, with its 95 % percentile bootstrap interval.

    Args:
        times, reference: Times `(rounds,)` of the same rounds.
        seed: Of the bootstrap's resampling.

    Returns:
        `ratio`, `ratio_low` and `ratio_high`; the bounds are `None` for a single round.
    """
    from scipy.stats import bootstrap

    ratios = times / reference
    low = high = None
    if len(ratios) > 1:
        interval = bootstrap(
            (ratios,),
            np.median,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return {"ratio": float(np.median(ratios)), "ratio_low": low, "ratio_high": high}
