"""pg_dump in a pipe: into a bucket by Amazon's command line and by rclone, and into a file."""

from __future__ import annotations

from bench.peers.ground import Database, Ground, Peer
from bench.peers.running import Command, Pipe

_OBJECT = "bench.dump"
_PACKED = "bench.dump.zst"
_PACK = ("-3", "-T0")
"""A thread for each core."""


def pipes() -> list[Peer]:
    """All of them."""
    return [
        Peer(
            key="file",
            name="pg_dump, zstd, a local file",
            how="`pg_dump -Fc -Z0 | zstd -3 -T0 -o bench.dump.zst`; `zstd -dc bench.dump.zst | pg_restore`. No bucket",
            needs=("zstd",),
            backup=lambda ground: (ground.dump("-Z0"), _zstd(ground, *_PACK, "-f", "-o", _file(ground))),
            restore=lambda ground, into: (_zstd(ground, "-dc", _file(ground)), ground.load(into)),
            stored=on_the_shelf,
            listed=lambda ground: list(on_the_shelf(ground)),
        ),
        Peer(
            key="aws",
            name="pg_dump, aws s3 cp",
            how="`pg_dump -Fc | aws s3 cp -`, as in most scripts, pg_dump's gzip; `aws s3 cp - | pg_restore`",
            needs=("aws",),
            backup=lambda ground: (ground.dump(), _aws(ground, "-", _address(ground, _OBJECT))),
            restore=lambda ground, into: (_aws(ground, _address(ground, _OBJECT), "-"), ground.load(into)),
        ),
        Peer(
            key="aws-zstd",
            name="pg_dump, zstd, aws s3 cp",
            how="`pg_dump -Fc -Z0 | zstd -3 -T0 | aws s3 cp -`",
            needs=("aws", "zstd"),
            backup=lambda ground: (
                ground.dump("-Z0"),
                _zstd(ground, *_PACK),
                _aws(ground, "-", _address(ground, _PACKED)),
            ),
        ),
        Peer(
            key="rclone",
            name="pg_dump, zstd, rclone rcat",
            how="`pg_dump -Fc -Z0 | zstd -3 -T0 | rclone rcat`, whose defaults upload 4 parts at once; "
            "`rclone cat | zstd -d | pg_restore`",
            needs=("rclone", "zstd"),
            backup=lambda ground: (ground.dump("-Z0"), _zstd(ground, *_PACK), _rclone(ground, "rcat")),
            restore=_rclone_back,
        ),
    ]


def on_the_shelf(ground: Ground) -> dict[str, int]:
    """Files of the shelf and their bytes."""
    files = (path for path in ground.shelf.rglob("*") if path.is_file())
    return {str(path.relative_to(ground.shelf)): path.stat().st_size for path in files}


def _file(ground: Ground) -> str:
    return str(ground.shelf / _PACKED)


def _zstd(ground: Ground, *options: str) -> Command:
    return ground.command(ground.programs.path("zstd"), "-q", *options, env={})


def _address(ground: Ground, name: str) -> str:
    return f"s3://{ground.bucket}/{name}"


def _aws(ground: Ground, source: str, to: str) -> Command:
    argv = ("s3", "cp", "--only-show-errors", "--endpoint-url", ground.s3.endpoint, source, to)
    return ground.command(ground.programs.path("aws"), *argv, env=ground.keys)


def _rclone(ground: Ground, verb: str) -> Command:
    """The remote is named by variables; the bucket is there, so it need not be looked for (`no_check_bucket`)."""
    remote = {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_REMOTE_TYPE": "s3",
        "RCLONE_CONFIG_REMOTE_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_REMOTE_ENDPOINT": ground.s3.endpoint,
        "RCLONE_CONFIG_REMOTE_ENV_AUTH": "true",
        "RCLONE_CONFIG_REMOTE_NO_CHECK_BUCKET": "true",
    }
    argv = (verb, f"remote:{ground.bucket}/{_PACKED}")
    return ground.command(ground.programs.path("rclone"), *argv, env={**ground.keys, **remote})


def _rclone_back(ground: Ground, into: Database) -> Pipe:
    return (_rclone(ground, "cat"), _zstd(ground, "-dc"), ground.load(into))
