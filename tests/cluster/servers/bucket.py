"""Makes a bucket, says what is in one, fetches or damages an object; run in the witness's pod, by its Python.

Owns the view of the store that does not come from pgproof: the SDK alone, one JSON value on stdout.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable

from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

_START_SECONDS = 60.0


def make(client: Minio, bucket: str) -> None:
    """Make the bucket unless it is there; the server may be starting still."""
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)
        except (MinioException, HTTPError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def holds(client: Minio, bucket: str) -> dict[str, object]:
    """The sizes of all objects by their keys, and the keys of uploads that are neither completed nor aborted."""
    unfinished = client._list_multipart_uploads(bucket)  # noqa: SLF001 - the SDK has no public way
    return {
        "objects": {each.object_name: each.size for each in client.list_objects(bucket, recursive=True)},
        "unfinished": [each.object_name for each in unfinished.uploads],
    }


def read(client: Minio, bucket: str, key: str) -> str:
    """An object, which is text."""
    response = client.get_object(bucket, key)
    try:
        return response.read().decode()
    finally:
        response.close()
        response.release_conn()


def damage(client: Minio, bucket: str, key: str) -> int:
    """Change one byte in the middle of an object; its size, which stays."""
    response = client.get_object(bucket, key)
    try:
        content = bytearray(response.read())
    finally:
        response.close()
        response.release_conn()
    content[len(content) // 2] ^= 1
    client.put_object(bucket, key, io.BytesIO(content), len(content))
    return len(content)


def main() -> None:
    """`bucket.py make|holds|read|damage BUCKET [KEY]`, with S3_ENDPOINT, ACCESS_KEY and SECRET_KEY."""
    client = Minio(
        os.environ["S3_ENDPOINT"],
        access_key=os.environ["ACCESS_KEY"],
        secret_key=os.environ["SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )
    verbs: dict[str, Callable[..., object]] = {"make": make, "holds": holds, "read": read, "damage": damage}
    verb, *arguments = sys.argv[1:]
    print(json.dumps(verbs[verb](client, *arguments)))  # noqa: T201 - that is what it is for


if __name__ == "__main__":
    main()
