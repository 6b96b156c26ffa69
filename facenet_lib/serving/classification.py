"""Classify, Regress and MultiInference: requests for models of another kind than ours.

TensorFlow Serving answers them from signatures that take serialized examples, as estimators were
exported with. A model of faces has none, and TensorFlow Serving then refuses the request as the
caller's mistake. So does the local server, with the same status. A signature that would do it
does not compute: it only predicts. Derived in chapter 8, "Serving".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from facenet_lib.serving.answers import DEFAULT_SIGNATURE
from facenet_lib.serving.messages import ServingError

CLASSIFY, REGRESS = tf.saved_model.CLASSIFY_METHOD_NAME, tf.saved_model.REGRESS_METHOD_NAME
"""What the two are called in a signature, and in a task of MultiInference."""

_INPUT = {CLASSIFY: tf.saved_model.CLASSIFY_INPUTS, REGRESS: tf.saved_model.REGRESS_INPUTS}
_OUTPUTS = {
    CLASSIFY: (tf.saved_model.CLASSIFY_OUTPUT_CLASSES, tf.saved_model.CLASSIFY_OUTPUT_SCORES),
    REGRESS: (tf.saved_model.REGRESS_OUTPUTS,),
}
_NOT_HERE = "this server does not classify or regress; ask by predict"


def check_examples(document: Mapping[str, Any]) -> None:
    """Refuse a request over REST that holds no ``examples``.

    Raises:
        ServingError: ``INVALID_ARGUMENT``.
    """
    examples = document.get("examples")
    if not isinstance(examples, list) or not examples:
        raise ServingError("expected the key 'examples' with a list of at least one")
    if not all(isinstance(example, dict) for example in examples):
        raise ServingError("examples: expected objects alone")


def inference_refusal(
    method: str, signature: str, signature_defs: Mapping[str, Any]
) -> ServingError:
    """Return why a version does not classify or regress.

    Args:
        method: ``CLASSIFY`` or ``REGRESS``.
        signature: the one that is asked for; empty: the default one.
        signature_defs: those of the version that would answer.

    Returns:
        ``INVALID_ARGUMENT`` where the signature is none of the kind; where it is,
        ``UNIMPLEMENTED``.
    """
    problem = _problem(method, signature, signature_defs)
    return ServingError(problem) if problem else ServingError(_NOT_HERE, "UNIMPLEMENTED")


def tasks_refusal(tasks: Sequence[Any], signature_defs: Mapping[str, Any]) -> ServingError:
    """Return why the tasks of a MultiInference are not done; see ``inference_refusal``."""
    asked = set()
    for task in tasks:
        spec = task.model_spec
        if spec.name != tasks[0].model_spec.name:
            return ServingError("MultiInference: expected tasks of one model, found several")
        if spec.signature_name in asked:
            return ServingError("MultiInference: expected a signature once, found one twice")
        asked.add(spec.signature_name)
        if task.method_name not in _INPUT:
            known = " or ".join(_INPUT)
            told = f"MultiInference: expected {known}, found {task.method_name or 'no method'}"
            return ServingError(told, "UNIMPLEMENTED")
        if problem := _problem(task.method_name, spec.signature_name, signature_defs):
            return ServingError(problem)
    return ServingError(_NOT_HERE, "UNIMPLEMENTED")


def _problem(method: str, signature: str, signature_defs: Mapping[str, Any]) -> str:
    signature, kind = signature or DEFAULT_SIGNATURE, method.rpartition("/")[2]
    if signature not in signature_defs:
        known = ", ".join(sorted(signature_defs))
        return f'{kind}: no signature "{signature}"; expected one of {known}'
    inputs, outputs = (
        sorted(tensors)
        for tensors in (signature_defs[signature].inputs, signature_defs[signature].outputs)
    )
    if inputs != [_INPUT[method]] or not outputs or not {*outputs} <= {*_OUTPUTS[method]}:
        return (
            f"{kind}: expected a signature of the input {_INPUT[method]} and the outputs "
            f"{' or '.join(_OUTPUTS[method])}, found {signature} of {', '.join(inputs)} and "
            f"{', '.join(outputs)}: ask by predict"
        )
    return ""
