"""Training on several devices with `tf.distribute`: each replica takes an equal part of every batch.

The loop is here and not Keras's `fit`, which fails with several workers. Two things differ from training on one device:
batch normalization in training sees a replica's part of the batch, unless it is synchronized, and its moving statistics
are averaged over the replicas after each epoch; dropout draws the same numbers in all replicas.
"""

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from ghostnet_tf.commands import BadInput, CommandError, MissingResource, log
from ghostnet_tf.quiet import quiet
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.pipeline import Share
from ghostnet_tf.training.workers import Worker

# What TensorFlow raises in a worker when another one is gone.
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


def start(config: RunConfig, worker: Worker) -> tf.distribute.Strategy:
    """The devices that a run trains on, ready; to be called before TensorFlow is used.

    Raises:
        BadInput: If a batch cannot be shared out evenly.
        MissingResource: If there is no TPU.
    """
    if config.strategy == "multiworker":
        log(f"worker {worker.index} of {', '.join(worker.addresses)}: waiting for the others")
    with quiet(), lost_workers(worker, None):
        strategy = _strategy(config.strategy)
    replicas = strategy.num_replicas_in_sync
    if config.strategy is not None:
        log(f"{replicas} replica{'s' * (replicas > 1)}, {config.batch_size // replicas} images of a batch each")
    check_batch(config.batch_size, replicas)
    return strategy


def check_batch(size: int, replicas: int) -> None:
    """Refuses a batch that cannot be shared out evenly."""
    if size % replicas:
        raise BadInput(f"expected --batch-size as a multiple of the {replicas} replicas. Received: {size}")


def _strategy(name: str | None) -> tf.distribute.Strategy:
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(os.environ.get("TPU_NAME", "local"))
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (ValueError, tf.errors.NotFoundError) as error:
            raise MissingResource(f"--strategy tpu found no TPU, TPU_NAME may name one: {error}") from error
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def lost_workers(worker: Worker, folder: Path | None) -> Iterator[None]:
    """Says what to do when another worker has gone, where TensorFlow says which call of which service failed."""
    try:
        yield
    except LOST as error:
        if not worker.addresses:
            raise
        way_out = f"training/train.py --resume {folder}" if folder else "the same command"
        reason = error.message.rpartition("}} ")[2].split("\n")[0]  # after the name of the operation
        raise CommandError(
            f"worker {worker.index} has lost the others ({type(error).__name__}: {reason}). One that stops stops all: "
            f"start every worker again, with {way_out}"
        ) from error


def synchronize_batch_norm(model: keras.Model) -> None:
    """Lets batch normalization in training see the whole batch instead of a replica's part."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def processes(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    return max(1, len(resolver.cluster_spec().as_dict().get("worker", ()))) if resolver else 1


def check_agreement(strategy: tf.distribute.Strategy, facts: object) -> None:
    """Refuses to train where another worker has other settings, data or checkpoints, by the `repr` of `facts`.

    Raises:
        CommandError: In all workers.
    """
    number = zlib.crc32(repr(facts).encode())

    def summed():
        return tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(number, tf.int64))

    @tf.function(autograph=False)
    def total():
        return strategy.run(summed)

    sums = strategy.experimental_local_results(total())
    if int(sums[0]) != number * strategy.num_replicas_in_sync:
        raise CommandError(
            "the workers do not agree in settings, data or the checkpoint that they continue from; "
            "start all of them with the same command, and with --resume where they see the same run folder"
        )


def fit_replicas(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    batches: Callable[..., tf.data.Dataset],
    held_out: Callable[..., tf.data.Dataset],
    *,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: list[keras.callbacks.Callback],
    validation_freq: list[int],
) -> None:
    """Keras's `fit` on all replicas of a strategy.

    Args:
        strategy: In whose scope the model was built and compiled, and this is called.
        model: Compiled.
        batches: Gives the training batches of a `share` from `initial_epoch` on.
        held_out: Gives the held-out batches of a `share`.
        epochs, initial_epoch, steps_per_epoch, callbacks: As for `fit`.
        validation_freq: The epochs, from 1, after which to evaluate the held-out images.
    """
    watchers = keras.callbacks.CallbackList(callbacks, model=model)
    # Repeated, since TensorFlow lets all workers agree at each step of a data set that may end.
    training = iter(_distributed(strategy, lambda share: batches(share=share).repeat()))
    measured = _distributed(strategy, lambda share: held_out(share=share))
    average, measure = _averaging(strategy, model), _measuring(strategy, model)
    trainable, train = None, None
    watchers.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        watchers.on_epoch_begin(epoch)
        if trainable != (trainable := [variable.path for variable in model.trainable_variables]):
            train = _training(strategy, model)
        for step in range(steps_per_epoch):
            watchers.on_train_batch_begin(step)
            watchers.on_train_batch_end(step, train(training))
        logs = model.get_metrics_result()
        average()
        if epoch + 1 in validation_freq:
            watchers.on_test_begin()
            model.reset_metrics()
            for batch in measured:
                measure(batch)
            results = model.get_metrics_result()
            watchers.on_test_end(results)
            logs |= {f"val_{name}": value for name, value in results.items()}
        watchers.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    watchers.on_train_end()


def _distributed(strategy: tf.distribute.Strategy, batches: Callable[[Share], tf.data.Dataset]):
    """What each process reads, shared out among its replicas."""

    def local(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync // context.num_input_pipelines
        return batches(Share(context.input_pipeline_id * count, count, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(local)


def _training(strategy: tf.distribute.Strategy, model: keras.Model) -> Callable:
    """A function that takes a step and gives the metrics of the epoch so far, each the mean of the replicas'."""

    @tf.function(autograph=False)
    def train(iterator):
        logs = strategy.run(model.train_step, args=(next(iterator),))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    return train


def _measuring(strategy: tf.distribute.Strategy, model: keras.Model) -> Callable:
    """A function that adds a batch to the metrics; a replica may have none of its images."""

    def test_step(batch):
        def some():
            model.test_step(batch)
            return True

        tf.cond(tf.size(batch[1]) > 0, some, lambda: False)

    @tf.function(autograph=False)
    def measure(batch):
        strategy.run(test_step, args=(batch,))

    return measure


def _averaging(strategy: tf.distribute.Strategy, model: keras.Model) -> Callable:
    """A function that gives all replicas the mean of their moving statistics, which Keras lets go apart."""
    statistics = [variable for variable in model.non_trainable_variables if "float" in variable.dtype]

    def mean():
        values = [tf.identity(variable) for variable in statistics]
        means = tf.distribute.get_replica_context().all_reduce("MEAN", values)
        for variable, value in zip(statistics, means, strict=True):
            variable.assign(value)

    @tf.function(autograph=False)
    def average():
        if statistics:
            strategy.run(mean)

    return average
