"""The reference's five optimizers, each with one operation a variable.

Keras spells an update out in a dozen operations, and in places it is another than TensorFlow 1's:
where epsilon stands, what a momentum adds up, what an average begins with. The optimizers here
take TensorFlow 1's steps, with the one operation that TensorFlow has for each. A gradient of some
rows of a matrix (``tf.IndexedSlices``), as a large classifier has it, changes these rows and
nothing else: a step then costs the same however many rows there are.

Derived in chapter 6, "Training"; chapter 4, "The network", shows what one operation saves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.runs.config import OPTIMIZERS


def make_optimizer(
    name: str,
    learning_rate: float,
    adam_epsilon: float = 0.1,
    global_clipnorm: float | None = None,
) -> keras.optimizers.Optimizer:
    """Make one of the reference's optimizers, with the reference's settings.

    - ADAGRAD: squares begin at 0.1.
    - ADADELTA: rho 0.9, epsilon 1e-6.
    - ADAM: beta_1 0.9, beta_2 0.999; the reference's epsilon is 0.1.
    - RMSPROP: rho 0.9, momentum 0.9, epsilon 1.
    - MOM: momentum 0.9, Nesterov's.

    Args:
        name: one of :data:`facenet_lib.runs.OPTIMIZERS`.
        learning_rate: may be set again between steps.
        adam_epsilon: ADAM's epsilon; the others have their own.
        global_clipnorm: largest norm of all gradients taken as one vector; None leaves them alone.

    Raises:
        FacenetError: for another name.

    Source: ``facenet.train`` of the reference.
    """
    common = {"learning_rate": float(learning_rate), "global_clipnorm": global_clipnorm}
    match name:
        case "ADAGRAD":
            return FusedAdagrad(initial_accumulator_value=0.1, epsilon=0.0, **common)
        case "ADADELTA":
            return FusedAdadelta(rho=0.9, epsilon=1e-6, **common)
        case "ADAM":
            return FusedAdam(beta_1=0.9, beta_2=0.999, epsilon=adam_epsilon, **common)
        case "RMSPROP":
            return FusedRMSprop(rho=0.9, momentum=0.9, epsilon=1.0, **common)
        case "MOM":
            return FusedMomentum(momentum=0.9, nesterov=True, **common)
    raise FacenetError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, found {name!r}")


class _Fused(keras.optimizers.Optimizer):
    """One operation for a whole variable; some rows of one are gathered, moved and put back.

    What an optimizer remembers of a variable, TensorFlow calls its slots.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, or the rows of it that the gradient has, and their slots."""
        index = self._get_variable_index(variable)
        slots = [of_variables[index].value.handle for of_variables in self._slots()]
        gradient = tf.cast(gradient, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        if not isinstance(gradient, tf.IndexedSlices):
            self._apply(variable.handle, slots, gradient, rate)
            return
        # TensorFlow has operations for rows as well, but not for all five, and not on GPUs.
        gradient = _without_repetition(gradient)
        rows = {"indices": gradient.indices}
        before = [
            tf.raw_ops.ResourceGather(resource=slot, dtype=variable.dtype, **rows) for slot in slots
        ]
        after, decrease = self._move(before, gradient.values, rate)
        for slot, values in zip(slots, after, strict=True):
            tf.raw_ops.ResourceScatterUpdate(resource=slot, updates=values, **rows)
        tf.raw_ops.ResourceScatterSub(resource=variable.handle, updates=decrease, **rows)

    @abstractmethod
    def _slots(self) -> Sequence[Sequence[keras.Variable]]:
        """One sequence for each kind of slot, in the order of the variables."""

    @abstractmethod
    def _apply(
        self, variable: tf.Tensor, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        """Update what the handles stand for."""

    @abstractmethod
    def _move(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The same in so many words: return the new slots and what the variable loses."""

    def _clip_gradients(self, gradients: list[Any]) -> list[Any]:
        if not self.global_clipnorm:
            return super()._clip_gradients(gradients)
        # Keras would fill up missing rows. One that is there twice counts with its sum.
        gradients = [_without_repetition(tf.cast(one, tf.float32)) for one in gradients]
        return tf.clip_by_global_norm(gradients, self.global_clipnorm)[0]


def _without_repetition(gradient: Any) -> Any:
    """Add up rows of the same index."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, position = tf.unique(gradient.indices)
    rows = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(indices))
    return tf.IndexedSlices(rows, indices, gradient.dense_shape)


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedAdagrad(_Fused, keras.optimizers.Adagrad):
    """Adagrad: steps that shrink with all squared gradients so far.

    ``squares += gradient**2``, and the variable loses
    ``learning_rate * gradient / (sqrt(squares) + epsilon)``.

    Source: Duchi et al. 2011.
    """

    def _slots(self) -> Sequence[Sequence[keras.Variable]]:
        return [self._accumulators]

    def _apply(
        self, variable: tf.Tensor, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable, accum=slots[0], lr=rate, epsilon=self.epsilon, grad=gradient
        )

    def _move(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        squares = slots[0] + tf.square(gradient)
        return [squares], rate * gradient / (tf.sqrt(squares) + self.epsilon)


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedAdadelta(_Fused, keras.optimizers.Adadelta):
    """Adadelta: steps in the unit of the variable, by averages of squared steps and gradients.

    ``squares = rho * squares + (1 - rho) * gradient**2``,
    ``step = sqrt(steps + epsilon) / sqrt(squares + epsilon) * gradient``,
    ``steps = rho * steps + (1 - rho) * step**2``, and the variable loses ``learning_rate * step``.

    Source: Zeiler 2012, algorithm 1.
    """

    def _slots(self) -> Sequence[Sequence[keras.Variable]]:
        return [self._accumulated_grads, self._accumulated_delta_vars]

    def _apply(
        self, variable: tf.Tensor, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable,
            accum=slots[0],
            accum_update=slots[1],
            lr=rate,
            rho=self.rho,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _move(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        squares = self.rho * slots[0] + (1 - self.rho) * tf.square(gradient)
        step = tf.sqrt(slots[1] + self.epsilon) / tf.sqrt(squares + self.epsilon) * gradient
        steps = self.rho * slots[1] + (1 - self.rho) * tf.square(step)
        return [squares, steps], rate * step


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedAdam(_Fused, keras.optimizers.Adam):
    """Adam: averages of gradients and of their squares, both corrected for beginning at zero.

    Equal to Keras' up to rounding: the variable loses ``rate * momentum / (sqrt(velocity) +
    epsilon)``, where ``rate = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`` in step t.
    Rows that a gradient leaves out keep their momentum and velocity: they do not decay.

    Raises:
        FacenetError: for ``amsgrad``, which the operation does not know.

    Source: Kingma and Ba 2015, the form at the end of section 2.
    """

    def build(self, variables: Any) -> None:
        """Make momentum and velocity of every variable."""
        if self.amsgrad:
            raise FacenetError("FusedAdam has no amsgrad; keras.optimizers.Adam has")
        super().build(variables)

    def _slots(self) -> Sequence[Sequence[keras.Variable]]:
        return [self._momentums, self._velocities]

    def _apply(
        self, variable: tf.Tensor, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        step = tf.cast(self.iterations + 1, gradient.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable,
            m=slots[0],
            v=slots[1],
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _move(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        step = tf.cast(self.iterations + 1, gradient.dtype)
        rate *= tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        momentum = self.beta_1 * slots[0] + (1 - self.beta_1) * gradient
        velocity = self.beta_2 * slots[1] + (1 - self.beta_2) * tf.square(gradient)
        return [momentum, velocity], rate * momentum / (tf.sqrt(velocity) + self.epsilon)


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedRMSprop(_Fused, keras.optimizers.RMSprop):
    """RMSprop: gradients divided by the root of their average square; with momentum.

    ``squares = rho * squares + (1 - rho) * gradient**2``,
    ``steps = momentum * steps + learning_rate * gradient / sqrt(squares + epsilon)``, and the
    variable loses ``steps``. As in TensorFlow 1, and not as in Keras, squares begin at one.

    Raises:
        FacenetError: for ``centered``, which the operation does not know.

    Source: Hinton's lecture 6 on neural networks for machine learning.
    """

    def build(self, variables: Any) -> None:
        """Make squares and steps of every variable."""
        if self.centered:
            raise FacenetError("FusedRMSprop is never centered; keras.optimizers.RMSprop may be")
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self._squares = self.add_optimizer_variables(variables, "squares", initializer="ones")
        self._steps = self.add_optimizer_variables(variables, "steps")

    def _slots(self) -> Sequence[Sequence[keras.Variable]]:
        return [self._squares, self._steps]

    def _apply(
        self, variable: tf.Tensor, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable,
            ms=slots[0],
            mom=slots[1],
            lr=rate,
            rho=self.rho,
            momentum=self.momentum,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _move(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        squares = self.rho * slots[0] + (1 - self.rho) * tf.square(gradient)
        steps = self.momentum * slots[1] + rate * gradient / tf.sqrt(squares + self.epsilon)
        return [squares, steps], steps


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedMomentum(_Fused, keras.optimizers.SGD):
    """Gradient descent with momentum, which adds up gradients where Keras' adds up steps.

    ``sums = momentum * sums + gradient``, and the variable loses ``learning_rate * sums``; with
    ``nesterov``, ``learning_rate * (gradient + momentum * sums)``. While the learning rate stays
    the same, that is Keras' path; when it changes, here the old gradients count with the new
    rate too.

    Raises:
        FacenetError: without a momentum, of which nothing would be left but the name.

    Source: Sutskever et al. 2013.
    """

    def build(self, variables: Any) -> None:
        """Make the sums of every variable."""
        if not self.momentum:
            raise FacenetError("FusedMomentum needs a momentum; keras.optimizers.SGD does not")
        super().build(variables)

    def _slots(self) -> Sequence[Sequence[keras.Variable]]:
        return [self.momentums]

    def _apply(
        self, variable: tf.Tensor, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyMomentum(
            var=variable,
            accum=slots[0],
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )

    def _move(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        sums = self.momentum * slots[0] + gradient
        return [sums], rate * (gradient + self.momentum * sums if self.nesterov else sums)
