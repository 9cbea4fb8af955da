"""A stream that is larger than an object may be, in a real bucket: volumes, each of many parts."""

from __future__ import annotations

from backup.demo.s3_server import S3Server
from backup.stores.addresses import LEAST_PART_SIZE
from backup.stream.readers import ByteReader
from backup.stream.volumes import Encoding, StoredStream, write_part
from tests.fixtures.s3 import s3_store, unfinished_uploads
from tests.support.streams import Stream, digest, expected

PART = LEAST_PART_SIZE
VOLUME = 7 * PART + 123
SIZE = 100_000_007


def test_a_stream_rolls_on_to_new_volumes_and_comes_back_as_one(s3_server: S3Server, bucket: str) -> None:
    store = s3_store(s3_server, bucket, "some/prefix")

    def put(name: str, data: ByteReader) -> int:
        return store.put(f"shop/1/{name}", data).bytes

    encoding = Encoding(compression="none", level=0, threads=0, volume_size=VOLUME)
    part = write_part("dump.pgc", Stream(SIZE), put=put, encoding=encoding)
    assert [volume.bytes for volume in part.volumes] == [VOLUME, VOLUME, SIZE - 2 * VOLUME]
    assert [(found.key, found.bytes) for found in store.list("shop/1/")] == [
        (f"shop/1/{volume.name}", volume.bytes) for volume in part.volumes
    ]
    with StoredStream(part.volumes, lambda name: store.open(f"shop/1/{name}")) as stored:
        assert digest(stored) == expected(SIZE)
    assert unfinished_uploads(store) == []


def test_an_object_of_many_parts_comes_back_whole(s3_server: S3Server, bucket: str) -> None:
    store = s3_store(s3_server, bucket)
    put = store.put("a", Stream(SIZE))
    assert put.bytes == SIZE
    assert put.etag.endswith("-20"), "made of 20 parts, as S3 says it in the ETag"
    with store.open("a") as reader:
        assert digest(reader) == expected(SIZE)
