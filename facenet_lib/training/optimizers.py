"""The reference's five optimizers, each with one operation a variable.

Keras spells an update out in a dozen operations, and in places it is another than TensorFlow 1's:
where epsilon stands, what a momentum adds up, what an average begins with. The optimizers here
take TensorFlow 1's steps, with the one operation that TensorFlow has for each. A gradient of some
rows of a matrix (``tf.IndexedSlices``), as a large classifier has it, changes these rows and
nothing else: a step then costs the same however many rows there are.

Derived in chapter 6, "Training"; chapter 4, "The network", shows what one operation saves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.runs.config import OPTIMIZERS


def make_optimizer(
    name: str, learning_rate: float, adam_epsilon: float = 0.1, global_clipnorm: float | None = None
) -> keras.optimizers.Optimizer:
    """Make one of the reference's optimizers, with the reference's settings.

    With g for the gradient, every number of a variable loses:

    - ADAGRAD: ``rate * g / sqrt(squares)``, where ``squares += g**2`` and begins at 0.1
      (Duchi et al. 2011).
    - ADADELTA: ``rate * step``, where ``squares = rho * squares + (1 - rho) * g**2``,
      ``step = sqrt(steps + epsilon) / sqrt(squares + epsilon) * g`` and
      ``steps = rho * steps + (1 - rho) * step**2``; rho 0.9, epsilon 1e-6 (Zeiler 2012,
      algorithm 1).
    - ADAM: ``rate * sqrt(1 - beta2**t) / (1 - beta1**t) * momentum / (sqrt(velocity) +
      epsilon)`` in step t, with the averages momentum of g and velocity of ``g**2``; beta1 0.9,
      beta2 0.999, the reference's epsilon is 0.1 (Kingma and Ba 2015, the form at the end of
      section 2). Up to rounding Keras' own, but for rows that a gradient leaves out: they keep
      their averages, which do not decay.
    - RMSPROP: ``steps = momentum * steps + rate * g / sqrt(squares + epsilon)``, where
      ``squares = rho * squares + (1 - rho) * g**2`` begins at one (Keras' at zero); rho 0.9,
      momentum 0.9, epsilon 1 (Hinton's lecture 6 on neural networks for machine learning).
    - MOM: ``rate * (g + momentum * sums)``, where ``sums = momentum * sums + g``; momentum 0.9
      (Nesterov's; Sutskever et al. 2013). Keras' adds up steps instead of gradients: when the
      rate changes, here the old gradients count with the new rate too.

    Args:
        name: one of :data:`facenet_lib.runs.OPTIMIZERS`.
        learning_rate: may be set again between steps.
        adam_epsilon: ADAM's epsilon; the others have their own.
        global_clipnorm: largest norm of all gradients taken as one vector; None leaves them alone.

    Raises:
        FacenetError: for another name.

    Source: ``facenet.train`` of the reference.

    >>> optimizer, variable = make_optimizer("MOM", learning_rate=0.1), keras.Variable(1.0)
    >>> optimizer.apply([tf.constant(1.0)], [variable])
    >>> round(float(variable), 3)
    0.81
    """
    settings = {"epsilon": adam_epsilon} if name == "ADAM" else {}
    return FusedOptimizer(name, learning_rate, settings, global_clipnorm)


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedOptimizer(keras.optimizers.Optimizer):
    """One operation for a whole variable; some rows of one are gathered, moved and put back.

    What an optimizer remembers of a variable, TensorFlow calls its slots.
    """

    def __init__(
        self,
        rule: str,
        learning_rate: float = 0.001,
        settings: Mapping[str, float] | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        """Choose what a step is; ``build``, or the first step, makes the slots.

        Args:
            rule: one of :data:`facenet_lib.runs.OPTIMIZERS`.
            learning_rate: may be set again between steps.
            settings: what takes the place of the reference's settings of this rule.
            global_clipnorm: largest norm of all gradients taken as one vector; None: any.
            name: of the optimizer in Keras.

        Raises:
            FacenetError: for another rule, or a setting that it does not have.
        """
        super().__init__(float(learning_rate), global_clipnorm=global_clipnorm, name=name)
        if rule not in _RULES:
            raise FacenetError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, found {rule!r}")
        self.rule = rule
        self.settings = dict(_RULES[rule].settings)
        for setting, value in (settings or {}).items():
            if setting not in self.settings:
                raise FacenetError(f"{rule} has {', '.join(self.settings)}, found {setting!r}")
            self.settings[setting] = value
        self._moved: list[tf.Variable] = []
        self._slots: list[tuple[tf.Variable, ...]] = []

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the slots of every variable; those who call ``apply`` keep the order."""
        if self.built:
            return
        super().build(variables)
        slots: list[Sequence[keras.Variable]] = []
        for together in _RULES[self.rule].slots:
            names, first = zip(*together.values(), strict=True)
            initializers = [keras.initializers.Constant(value) for value in first]
            slots += self.add_optimizer_variables(variables, names, initializers)
        self._moved = [variable.value for variable in variables]
        self._slots = [tuple(slot.value for slot in of_one) for of_one in zip(*slots, strict=True)]

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Take one step of all variables, on several replicas by the sum of their gradients.

        Args:
            grads: tensors or ``tf.IndexedSlices``, in the order of the variables; None leaves a
                variable as it is.
            trainable_variables: what ``build`` had; on the first step it builds.

        Raises:
            FacenetError: where there is no gradient at all.
        """
        if trainable_variables is not None:
            self.build(trainable_variables)
        whole = zip(self._moved, self._slots, grads, strict=True)
        parts = [part for part in whole if part[-1] is not None]
        if not parts:
            raise FacenetError(f"{self.rule}: expected gradients, found none for any variable")
        moved, of_moved, grads = zip(*parts, strict=True)
        if self.global_clipnorm:
            # Keras would fill up missing rows. One that is there twice counts with its sum.
            grads = [_without_repetition(tf.cast(one, tf.float32)) for one in grads]
            grads = tf.clip_by_global_norm(grads, self.global_clipnorm)[0]
        context = tf.distribute.get_replica_context()
        grads = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))

        def update_all(strategy: tf.distribute.Strategy, grads: Sequence[Any]) -> None:
            # Once for all variables: an operation for each of a hundred is felt at a run's start.
            update = functools.partial(
                self._update, tf.convert_to_tensor(self.learning_rate), self._powers()
            )
            for variable, slots, grad in zip(moved, of_moved, grads, strict=True):
                # What is given to the update is each replica's own part of it.
                strategy.extended.update(variable, update, args=(grad, *slots), group=False)

        context.merge_call(update_all, args=(grads,))
        self.iterations.assign_add(1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same optimizer."""
        return {
            "rule": self.rule,
            "learning_rate": float(self.learning_rate),
            "settings": self.settings,
            "global_clipnorm": self.global_clipnorm,
            "name": self.name,
        }

    def _powers(self) -> dict[str, tf.Tensor]:
        """Of the settings of which the rule wants it, the power by the number of the step."""
        step = tf.cast(self.iterations + 1, tf.float32)
        return {f"{name}_power": self.settings[name] ** step for name in _RULES[self.rule].powers}

    def _update(
        self,
        learning_rate: tf.Tensor,
        powers: Mapping[str, tf.Tensor],
        variable: tf.Variable,
        gradient: Any,
        *slots: tf.Variable,
    ) -> None:
        """Update one variable, or the rows of it that the gradient has, and their slots."""
        rule = _RULES[self.rule]
        gradient = tf.cast(gradient, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        powers = {name: tf.cast(power, variable.dtype) for name, power in powers.items()}
        if not isinstance(gradient, tf.IndexedSlices):
            names = [name for together in rule.slots for name in together]
            handles = zip(names, (slot.handle for slot in slots), strict=True)
            rule.operation(
                var=variable.handle,
                lr=rate,
                grad=gradient,
                **self.settings,
                **powers,
                **dict(handles),
            )
            return
        # TensorFlow has operations for rows as well, but not for all five, and not on GPUs.
        gradient = _without_repetition(gradient)
        before = [tf.gather(slot, gradient.indices) for slot in slots]
        after, decrease = rule.spelled_out(before, gradient.values, rate, **self.settings, **powers)
        for slot, values in zip(slots, after, strict=True):
            slot.scatter_update(tf.IndexedSlices(values, gradient.indices))
        variable.scatter_sub(tf.IndexedSlices(decrease, gradient.indices))


def _without_repetition(gradient: Any) -> Any:
    """Add up rows of the same index."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, position = tf.unique(gradient.indices)
    rows = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(indices))
    return tf.IndexedSlices(rows, indices, gradient.dense_shape)


@dataclass(frozen=True)
class _Rule:
    """How one optimizer moves a variable.

    Attributes:
        operation: moves a whole variable.
        settings: name to the reference's value, by the operation's names.
        slots: the operation's name of what it remembers to the name of a variable, and its value
            at first. The names, and which of them are made together, decide the order of the
            optimizer's variables, and so what stands where in a checkpoint.
        spelled_out: the same in so many words: returns the new slots and what the variable loses.
        powers: settings of which the operation wants the power by the number of the step.
    """

    operation: Callable[..., Any]
    settings: Mapping[str, float]
    slots: Sequence[Mapping[str, tuple[str, float]]]
    spelled_out: Callable[..., tuple[list[tf.Tensor], tf.Tensor]]
    powers: tuple[str, ...] = ()


def _adagrad(slots: Any, grad: Any, lr: Any, epsilon: float) -> Any:
    squares = slots[0] + tf.square(grad)
    return [squares], lr * grad / (tf.sqrt(squares) + epsilon)


def _adadelta(slots: Any, grad: Any, lr: Any, rho: float, epsilon: float) -> Any:
    squares = rho * slots[0] + (1 - rho) * tf.square(grad)
    change = tf.sqrt(slots[1] + epsilon) / tf.sqrt(squares + epsilon) * grad
    return [squares, rho * slots[1] + (1 - rho) * tf.square(change)], lr * change


def _adam(
    slots: Any,
    grad: Any,
    lr: Any,
    beta1: float,
    beta2: float,
    epsilon: float,
    beta1_power: Any,
    beta2_power: Any,
) -> Any:
    lr *= tf.sqrt(1 - beta2_power) / (1 - beta1_power)
    momentum = beta1 * slots[0] + (1 - beta1) * grad
    velocity = beta2 * slots[1] + (1 - beta2) * tf.square(grad)
    return [momentum, velocity], lr * momentum / (tf.sqrt(velocity) + epsilon)


def _rmsprop(slots: Any, grad: Any, lr: Any, rho: float, momentum: float, epsilon: float) -> Any:
    squares = rho * slots[0] + (1 - rho) * tf.square(grad)
    steps = momentum * slots[1] + lr * grad / tf.sqrt(squares + epsilon)
    return [squares, steps], steps


def _nesterov(slots: Any, grad: Any, lr: Any, momentum: float, use_nesterov: bool) -> Any:
    sums = momentum * slots[0] + grad
    return [sums], lr * (grad + momentum * sums)


_RULES = {
    "ADAGRAD": _Rule(
        tf.raw_ops.ResourceApplyAdagradV2,
        {"epsilon": 0.0},
        [{"accum": ("accumulator", 0.1)}],
        _adagrad,
    ),
    "ADADELTA": _Rule(
        tf.raw_ops.ResourceApplyAdadelta,
        {"rho": 0.9, "epsilon": 1e-6},
        [{"accum": ("accumulated_grad", 0.0), "accum_update": ("accumulated_delta_var", 0.0)}],
        _adadelta,
    ),
    "ADAM": _Rule(
        tf.raw_ops.ResourceApplyAdam,
        {"beta1": 0.9, "beta2": 0.999, "epsilon": 0.1},
        [{"m": ("momentum", 0.0), "v": ("velocity", 0.0)}],
        _adam,
        powers=("beta1", "beta2"),
    ),
    "RMSPROP": _Rule(
        tf.raw_ops.ResourceApplyRMSProp,
        {"rho": 0.9, "momentum": 0.9, "epsilon": 1.0},
        [{"ms": ("squares", 1.0)}, {"mom": ("steps", 0.0)}],
        _rmsprop,
    ),
    "MOM": _Rule(
        tf.raw_ops.ResourceApplyMomentum,
        {"momentum": 0.9, "use_nesterov": True},
        [{"accum": ("momentum", 0.0)}],
        _nesterov,
    ),
}
