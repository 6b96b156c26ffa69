"""Adam with one operation a variable.

Derived in chapter 6, "Training"; chapter 4, "The network", shows what it saves.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from facenet_lib.errors import FacenetError


@keras.saving.register_keras_serializable(package="facenet_lib")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, whose update of a variable is one TensorFlow operation instead of a dozen.

    Equal to Keras' up to rounding: the variable loses ``rate * momentum / (sqrt(velocity) +
    epsilon)``, where ``rate = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)``. Variables
    and gradients are dense.

    Raises:
        FacenetError: for ``amsgrad``, which the operation does not know.

    Source: Kingma and Ba 2015, the form at the end of section 2. Derived in chapter 6,
    "Training".
    """

    def build(self, variables: Any) -> None:
        """Make momentum and velocity of every variable."""
        if self.amsgrad:
            raise FacenetError("FusedAdam has no amsgrad; keras.optimizers.Adam has")
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, its momentum and its velocity."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
