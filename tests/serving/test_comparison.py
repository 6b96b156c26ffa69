"""The page that compares the local server with TensorFlow Serving: no line without a test."""

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parents[1] / "book" / "comparison_with_tensorflow_serving.md"

# For each line of the page's tables, the tests that fail when it is no longer true. What stands
# in test_protocol.py is asked of both servers.
HELD_BY = {
    "status of a model, a version or a label": """
        test_protocol.test_status_tells_every_version
        test_protocol.test_status_by_label_tells_the_labelled_version""",
    "`/metadata`: the signatures": "test_protocol.test_metadata",
    "`:predict` in rows and in columns, base64, names that end in `_bytes`": """
        test_protocol.test_rows_with_two_inputs
        test_protocol.test_columns_with_two_inputs
        test_messages.test_bytes_are_base64_where_the_name_says_so""",
    "a request that is refused: status, and `error` in JSON": """
        test_protocol.test_a_request_for_files_that_is_refused
        test_protocol.test_a_request_for_numbers_that_is_refused""",
    "NaN and Infinity in JSON, in both directions": """
        test_protocol.test_infinities_and_nan_pass_in_both_directions""",
    "digits of a float32": """
        test_messages.test_a_float_is_written_in_the_fewest_digits_that_are_read_as_the_same""",
    "a body packed by gzip": """
        test_protocol.test_a_body_may_be_packed_by_gzip
        test_rest.test_the_limit_is_that_of_the_body_unpacked
        test_rest.test_what_gzip_did_not_pack_is_refused""",
    "a body packed otherwise": "test_rest.test_a_body_in_another_encoding_is_refused",
    "`OPTIONS`": "test_protocol.test_browsers_may_ask_whether_they_may_ask",
    "pages of other sites (CORS)": """
        test_rest.test_a_script_elsewhere_may_ask_where_its_origin_is_allowed""",
    "a name that leads to this machine and is not its own": """
        test_rest.test_other_names_for_this_machine_are_not_answered""",
    "`:classify` and `:regress` of models without such a signature": """
        test_protocol.test_classification_is_refused""",
    "`:classify` and `:regress` of models with one": """
        test_classification.test_a_signature_that_fits_is_told_that_nobody_computes_it""",
    "`:identify`, the page, `/healthz`": """
        test_naming.test_crops_are_named_or_nobodys
        test_rest.test_the_page_may_load_its_own_files_alone
        test_server.test_it_is_ready_once_its_models_are""",
    "`Predict`, `GetModelMetadata`, `GetModelStatus`": """
        test_protocol.test_grpc_predicts
        test_protocol.test_grpc_tells_the_signatures
        test_protocol.test_grpc_tells_the_status""",
    "`Classify`, `Regress`, `MultiInference` of models without such a signature": """
        test_protocol.test_grpc_does_not_classify""",
    "the same of models with one": "test_classification.test_tasks_are_looked_at_one_by_one",
    "health checks (`grpc.health.v1`)": """
        test_protocol.test_grpc_tells_its_health
        test_grpc.test_health_is_that_of_every_model""",
    "`Watch` of the health checks": "test_grpc.test_what_is_missing_is_told_as_such",
    "`HandleReloadConfigRequest`": "test_grpc.test_what_is_missing_is_told_as_such",
    "`SessionRun`": "test_grpc.test_what_is_missing_is_told_as_such",
    "several models in one server": """
        ../cli/test_serving.test_several_models_are_served_each_by_its_name""",
    "the latest version, the latest N, all, or those named": """
        test_versions.test_which_versions_are_served
        test_configuration.test_models_are_told_in_tf_servings_own_words""",
    "a new version takes over without a failed request": """
        test_versions.test_no_request_fails_while_versions_come_and_go""",
    "a version that cannot be loaded": """
        test_versions.test_a_damaged_version_replaces_none_and_is_tried_once""",
    "a version that is still being copied": "test_versions.test_a_version_that_grows_is_left_alone",
    "a label of a version that is not there": """
        test_versions.test_a_label_of_a_version_that_is_not_there_is_refused""",
    "warm-up requests": """
        test_batching.test_warm_up_requests_are_played_before_a_version_answers""",
    "SavedModels": "test_rest.test_an_exported_model_answers_as_it_does_in_process",
    "networks for ONNX Runtime and OpenVINO": """
        test_loading.test_every_runtime_answers_alike
        test_loading.test_signatures_are_described_alike""",
    "requests that wait become one batch": "test_batching.test_what_waits_becomes_one_batch",
    "a request of more rows than a batch may have": """
        test_batching.test_inputs_that_do_not_fit_are_refused_before_they_wait""",
    "a full queue": """
        test_rest.test_a_full_queue_says_when_to_come_again
        test_grpc.test_a_full_queue_is_unavailable_for_now""",
    "a request at which the model fails": """
        test_batching.test_a_request_at_which_the_model_fails_costs_its_batch_nothing""",
    "numbers that can be no pixels, in `embed_tensors`": """
        ../export/test_saved_model.test_what_can_be_no_pixels_is_marked_and_costs_its_neighbours_nothing
        test_rest.test_what_can_be_no_pixels_is_refused_by_the_model_s_server""",
    "seconds to answer": """
        test_rest.test_what_is_not_answered_in_time_is_given_up
        test_grpc.test_what_is_not_answered_in_time_is_given_up""",
    "seconds to send a request": """
        test_server.test_a_body_that_does_not_come_in_time_is_told_of
        test_grpc.test_calls_that_never_send_their_message_keep_nobody_waiting""",
    "bytes of a message": """
        test_abuse.test_a_body_just_under_the_limit_is_answered
        test_grpc.test_a_message_may_be_as_large_as_a_body""",
    "Prometheus: where, `request_count` and `request_latency`, their labels and types": """
        test_limits.test_requests_and_batches_are_counted""",
    "Prometheus: what happens in TensorFlow": """
        test_limits.test_requests_and_batches_are_counted""",
}
NOT_THERE_AT_ALL = {  # and so nothing that a test could ask for
    "encryption (TLS)",
    "labels and models changed while it runs",
    "TensorFlow Lite, and models of other kinds",
}


def lines_of_the_page() -> dict[str, str]:
    """The behaviours that the tables name, and how it stands with each."""
    rows = re.findall(r"^\| (.+?) \| (\w*) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return {behaviour: stand for behaviour, stand in rows if behaviour != "behaviour"}


@functools.cache
def names_in(module: str) -> set[str]:
    program = ast.parse((TESTS / f"{module}.py").read_text("utf-8"))
    return {one.name for one in program.body if isinstance(one, ast.FunctionDef)}


def test_each_line_has_its_tests_and_each_test_its_line():
    assert set(lines_of_the_page()) == {*HELD_BY, *NOT_THERE_AT_ALL}
    assert set(lines_of_the_page().values()) == {"same", "different", "missing"}


@pytest.mark.parametrize("behaviour", HELD_BY)
def test_the_names_in_a_line_are_there(behaviour):
    for test in HELD_BY[behaviour].split():
        module, _, name = test.rpartition(".")
        assert name in names_in(module)


def test_what_is_the_same_is_asked_of_both_servers_where_a_client_can_ask():
    told = {behaviour for behaviour, stand in lines_of_the_page().items() if stand == "same"}
    not_by_a_client = {
        "digits of a float32",
        "several models in one server",
        "a new version takes over without a failed request",
        "a label of a version that is not there",
        "SavedModels",
        "seconds to answer",
        "Prometheus: where, `request_count` and `request_latency`, their labels and types",
    }
    assert [one for one in told - not_by_a_client if "test_protocol." not in HELD_BY[one]] == []
