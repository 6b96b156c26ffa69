"""The client over TF Serving's REST API, which loads no TensorFlow; derived in chapter 8."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
import urllib3

from facenet_lib.errors import FacenetError
from facenet_lib.serving.addresses import check_url
from facenet_lib.serving.answers import (
    MOST_TOLD,
    ModelMetadata,
    VersionStatus,
    beginning,
    metadata_from_json,
    not_understood,
    status_from_json,
)
from facenet_lib.serving.client import Client
from facenet_lib.serving.messages import json_of_bytes
from facenet_lib.serving.retries import TemporaryError, with_retries


class RestClient(Client):
    """Asks over TF Serving's REST API; imports no TensorFlow.

    Images travel as base64 within JSON, a third larger than they are.
    """

    def _open(self) -> str:
        url = check_url(self.server)
        self._url = f"{url}/v1/models/{urllib.parse.quote(self.model, safe='')}"
        if self.version is not None:
            self._url += f"/versions/{self.version}"
        if self.label is not None:
            self._url += f"/labels/{urllib.parse.quote(self.label, safe='')}"
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=8,
            timeout=urllib3.Timeout(connect=self.connect_timeout, read=self.timeout),
            retries=False,  # ours know the server's own words, and are gRPC's too
        )
        return url

    def status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, or of the one that the client names."""
        return status_from_json(self._request("GET", ""), self._where)

    def metadata(self) -> ModelMetadata:
        """Return which version answers, and the model's signatures."""
        return metadata_from_json(self._request("GET", "/metadata"), self._where)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _size(self, item: bytes | np.ndarray) -> int:
        if isinstance(item, bytes):
            return 4 * (len(item) // 3 + 1) + len('{"b64":""},')
        # Each number has a comma behind it, each row of them brackets and a comma.
        digits = 3 if item.dtype == np.uint8 else 25
        return (digits + 1) * item.size + 3 * (item.size // 3) + 3 * len(item) + 3

    def _predict(self, signature: str, inputs: Mapping[str, Any], answers: str) -> dict[str, Any]:
        columns = {
            name: images.tolist()
            if isinstance(images, np.ndarray)
            else [json_of_bytes(image) for image in images]
            for name, images in inputs.items()
        }
        request = {"signature_name": signature, "inputs": columns}
        body = json.dumps(request, separators=(",", ":")).encode()
        answer = self._request("POST", ":predict", body)
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise not_understood(self._where, f"{signature} with outputs", answer)
        outputs = answer["outputs"]
        # The name of an only output is left out.
        return outputs if isinstance(outputs, dict) else {answers: outputs}

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        return with_retries(lambda: self._attempt(method, self._url + path, body), self.retries)

    def _attempt(self, method: str, url: str, body: bytes | None) -> Any:
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                redirect=False,
                preload_content=False,
                decode_content=False,  # nothing packed is asked for
            )
            data = response.read(self.most_answer_bytes + 1)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise FacenetError(f"{url}: no answer in time: {_reason(error)}") from error
        except (urllib3.exceptions.NameResolutionError, urllib3.exceptions.SSLError) as error:
            raise FacenetError(f"{url}: {_reason(error)}") from error
        except urllib3.exceptions.NewConnectionError as error:
            raise TemporaryError(f"{url}: cannot be reached: {_reason(error)}") from error
        except urllib3.exceptions.ConnectTimeoutError as error:
            raise TemporaryError(f"{url}: cannot be reached in time: {_reason(error)}") from error
        except urllib3.exceptions.ProtocolError as error:
            raise TemporaryError(f"{url}: the connection broke: {_reason(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            raise FacenetError(f"{url}: {_reason(error)}") from error
        if len(data) > self.most_answer_bytes:
            response.close()
            raise not_understood(url, f"at most {self.most_answer_bytes:,} bytes", data[:MOST_TOLD])
        if response.status != 200:
            reason = beginning(response.reason)
            told = f"{url}: {response.status} {reason}: {_error_text(data)}"
            if response.status in (429, 502, 503):
                raise TemporaryError(told, _retry_after(response))
            raise FacenetError(told)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise not_understood(url, "JSON", data) from error


def _reason(error: Exception) -> str:
    """The system's own words, without urllib3's objects before them."""
    return str(error.__cause__ or error)


def _error_text(body: bytes) -> str:
    """What the server says is wrong: ``error`` of its JSON, or else the beginning of its words."""
    try:
        return beginning(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return beginning(body)


def _retry_after(response: urllib3.BaseHTTPResponse) -> float:
    """Seconds that a ``Retry-After`` asks for, which is a number of them or a date."""
    try:
        return urllib3.Retry().get_retry_after(response) or 0.0
    except (urllib3.exceptions.InvalidHeader, ValueError):
        return 0.0
