"""TF Serving's configuration, read by its own messages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from status_server import StatusServer
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from facenet_lib.errors import FacenetError
from facenet_lib.serving.answers import METRICS_PATH
from facenet_lib.serving.configuration import (
    TENSORFLOW_SERVING_IMAGE,
    BatchingParameters,
    ServedModel,
    batching_config,
    models_config,
    monitoring_config,
    write_configuration,
)


def parsed(text, message):
    return text_format.Parse(text, message)


def serving_messages() -> Mapping[str, Any]:
    """TF Serving's messages ``BatchingParameters`` and ``MonitoringConfig``, by name.

    They are part of its public configuration, but not of the wheel ``tensorflow-serving-api``.
    Here stand those of their fields that are used, as TF Serving's session_bundle_config.proto
    and monitoring_config.proto have them.
    """
    of = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="facenet_lib/tensorflow_serving_configuration.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )

    def declare(message: str, *fields: tuple[str, int, str | None]) -> None:
        declared = file.message_type.add(name=message)
        for number, (name, kind, type_name) in enumerate(fields, start=1):
            declared.field.add(
                name=name, number=number, type=kind, type_name=type_name, label=of.LABEL_OPTIONAL
            )

    integer = (of.TYPE_MESSAGE, ".google.protobuf.Int64Value")
    declare(
        "BatchingParameters",
        ("max_batch_size", *integer),
        ("batch_timeout_micros", *integer),
        ("max_enqueued_batches", *integer),
        ("num_batch_threads", *integer),
    )
    declare("PrometheusConfig", ("enable", of.TYPE_BOOL, None), ("path", of.TYPE_STRING, None))
    declare(
        "MonitoringConfig",
        ("prometheus_config", of.TYPE_MESSAGE, ".tensorflow.serving.PrometheusConfig"),
    )
    # A pool of its own, so that a wheel that has these messages one day may declare them too.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
        )
        for name in ("BatchingParameters", "MonitoringConfig")
    }


def test_models_are_told_in_tf_servings_own_words(model_folder):
    models = [
        ServedModel(model_folder),
        ServedModel(model_folder, "all-of-them", "all", {"old": 2}),
        ServedModel(model_folder, "chosen", (10, 1), {"stable": 1, "canary": 10}),
        ServedModel(model_folder, "two", "latest:2"),
    ]
    newest, every, chosen, two = parsed(
        models_config(models), ModelServerConfig()
    ).model_config_list.config
    assert [one.name for one in (newest, every, chosen)] == ["facenet", "all-of-them", "chosen"]
    for one in (newest, every, chosen):
        assert one.base_path == str(model_folder)
        assert one.model_platform == "tensorflow"
    assert not newest.HasField("model_version_policy")  # TF Serving's default: the latest
    assert every.model_version_policy.WhichOneof("policy_choice") == "all"
    assert dict(every.version_labels) == {"old": 2}
    assert chosen.model_version_policy.specific.versions == [1, 10]
    assert dict(chosen.version_labels) == {"stable": 1, "canary": 10}
    assert two.model_version_policy.latest.num_versions == 2


def test_a_container_sees_each_model_by_its_name(model_folder):
    models = [ServedModel(model_folder), ServedModel(model_folder, "other")]
    text = models_config(models, PurePosixPath("/models"))
    found = parsed(text, ModelServerConfig()).model_config_list.config
    assert [one.base_path for one in found] == ["/models/facenet", "/models/other"]


def test_batching_and_monitoring_are_told_in_tf_servings_own_words():
    messages = serving_messages()
    wanted = BatchingParameters(48, 1500, 7, 3)
    found = parsed(batching_config(wanted), messages["BatchingParameters"]())
    assert found.max_batch_size.value == 48
    assert found.batch_timeout_micros.value == 1500
    assert found.max_enqueued_batches.value == 7
    assert found.num_batch_threads.value == 3
    at_once = parsed(batching_config(BatchingParameters()), messages["BatchingParameters"]())
    assert at_once.HasField("batch_timeout_micros")  # 0 is said, and not left to the default
    monitoring = parsed(monitoring_config(), messages["MonitoringConfig"]())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS_PATH == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("text", [models_config, batching_config, monitoring_config])
def test_every_field_is_explained(model_folder, text):
    arguments = {
        models_config: [[ServedModel(model_folder, versions=(1,), labels={"stable": 1})]],
        batching_config: [BatchingParameters()],
    }
    lines = text(*arguments.get(text, [])).splitlines()
    comments = " ".join(line for line in lines if line.startswith("#"))
    fields = {line.split()[0].rstrip(":") for line in lines if not line.startswith("#")}
    # What only holds others, or needs no words.
    fields -= {"}", "model_config_list", "config", "specific", "versions", "model_platform"}
    fields -= {"key", "value", "prometheus_config", "enable", "path"}
    assert "config_file" in comments or "parameters_file" in comments
    assert fields or text is monitoring_config
    assert [name for name in fields if f"{name}:" not in comments] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "a/b"}, "model name"),
        ({"name": ""}, "model name"),
        ({"versions": "newest"}, "expected latest, latest:N, all or numbers"),
        ({"versions": ()}, "found ()"),
        ({"versions": (1, 5, 3)}, "not [3, 5]"),
        ({"labels": {"stable": 1}}, "versions that stay"),
        ({"versions": (1, 2), "labels": {"stable": 10}}, "found 10"),
        ({"versions": "all", "labels": {"stable": 3}}, "found 3"),
        ({"versions": "all", "labels": {"a:b": 1}}, "label"),
    ],
)
def test_models_that_tf_serving_would_refuse_are_refused_first(model_folder, options, told):
    with pytest.raises(FacenetError) as refused:
        ServedModel(model_folder, **options)
    assert told in str(refused.value)


def test_tf_serving_gets_no_network_of_another_runtime(tmp_path, model_folder):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").touch()
    with pytest.raises(FacenetError, match="with a version in it"):
        ServedModel(tmp_path)
    (model_folder / "11").mkdir()
    (model_folder / "11" / "model.xml").touch()
    with pytest.raises(FacenetError, match=r"has the versions \[1, 2, 10\], but not \[11\]"):
        ServedModel(model_folder, versions=(11,))


def test_a_folder_without_versions_is_told(tmp_path, model_folder):
    with pytest.raises(FacenetError, match="with a version in it"):
        ServedModel(model_folder / "1")  # a version's folder is none of a model
    with pytest.raises(FacenetError, match="none: expected a model's folder"):
        ServedModel(tmp_path / "none")


def test_models_of_one_name_and_no_model_are_refused(model_folder):
    for models in ([], [ServedModel(model_folder), ServedModel(model_folder)]):
        with pytest.raises(FacenetError, match="different names"):
            models_config(models)


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_size": 0},
        {"batch_timeout_micros": -1},
        {"max_enqueued_batches": 0},
        {"num_batch_threads": 0},
        {"max_batch_size": 1.5},
        {"num_batch_threads": True},
    ],
)
def test_batching_that_is_none_is_refused(options):
    with pytest.raises(FacenetError, match=next(iter(options))):
        BatchingParameters(**options)


def test_a_missing_extra_is_named(model_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.config.model_server_config_pb2", None)
    with pytest.raises(FacenetError, match=r"pip install 'facenet-lib\[serving\]'"):
        models_config([ServedModel(model_folder)])


# ------------------------------------------------------------------------------ compose


def test_the_configuration_is_four_files_that_agree(model_folder, tmp_path):
    out = tmp_path / "new" / "configuration"
    models = [ServedModel(model_folder), ServedModel(model_folder, "other")]
    files = write_configuration(
        out, models, host="0.0.0.0", rest_port=81, grpc_port=80, image="tensorflow/serving:2.21.1"
    )
    assert sorted(files) == sorted(out.iterdir())
    by_name = {path.name: path.read_text() for path in files}
    assert by_name["models.config"] == models_config(models, PurePosixPath("/models"))
    assert by_name["batching.config"] == batching_config(BatchingParameters())
    assert by_name["monitoring.config"] == monitoring_config()
    (service,) = yaml.safe_load(by_name["compose.yaml"])["services"].values()
    assert service["image"] == "tensorflow/serving:2.21.1"
    assert service["ports"] == ["0.0.0.0:80:8500", "0.0.0.0:81:8501"]
    flags = dict(word.removeprefix("--").split("=") for word in service["command"])
    assert (flags["port"], flags["rest_api_port"], flags["enable_batching"]) == (
        "8500",
        "8501",
        "true",
    )
    seen = {volume["target"]: Path(volume["source"]) for volume in service["volumes"]}
    assert all(volume["read_only"] for volume in service["volumes"])
    for flag in ("model_config_file", "batching_parameters_file", "monitoring_config_file"):
        inside = PurePosixPath(flags[flag])  # what the flags name, the container sees
        assert (seen[str(inside.parent)] / inside.name).is_file()
    config = parsed(by_name["models.config"], ModelServerConfig()).model_config_list.config
    assert [seen[one.base_path] for one in config] == [model_folder, model_folder]


def test_ports_of_this_machine_and_an_image_with_a_version_unless_told(model_folder, tmp_path):
    write_configuration(tmp_path / "x", [ServedModel(model_folder)])
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert service["image"] == TENSORFLOW_SERVING_IMAGE == "tensorflow/serving:2.21.0"


def test_an_address_of_ipv6_stands_in_brackets(model_folder, tmp_path):
    write_configuration(tmp_path / "x", [ServedModel(model_folder)], host="::1")
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    assert service["ports"] == ["[::1]:8500:8500", "[::1]:8501:8501"]


def test_a_dollar_in_a_path_is_no_variable_of_compose(model_folder, tmp_path):
    moved = shutil.move(model_folder, tmp_path / "$HOME")
    write_configuration(tmp_path / "x", [ServedModel(Path(moved))])
    text = (tmp_path / "x" / "compose.yaml").read_text()
    assert f"source: {tmp_path}/$$HOME\n" in text
    assert text.count("$") == 2


def test_what_cannot_be_written_is_told(model_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write_configuration(tmp_path / "file" / "x", [ServedModel(model_folder)])


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash, which TF Serving's image has")
def test_the_health_check_asks_for_an_available_version(model_folder, tmp_path):
    write_configuration(tmp_path / "x", [ServedModel(model_folder, "other")])
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    with StatusServer("LOADING", "AVAILABLE") as server:
        command[-1] = command[-1].replace("/8501", f"/{server.port}")
        ended = [subprocess.run(command, check=False, timeout=300).returncode for _ in range(2)]
        assert server.asked == 2 * ["/v1/models/other"]
    assert ended[0] != 0
    assert ended[1] == 0
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
