#!/bin/sh
# SeaweedFS with one account, which may do everything; it asks nobody outside anything and makes no bucket unasked.
set -eu
cat >/tmp/s3.json <<END
{"identities": [{"name": "pgproof", "credentials": [{"accessKey": "$ACCESS_KEY", "secretKey": "$SECRET_KEY"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
exec weed -logtostderr=true server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -master.telemetry=false \
  -master.volumeSizeLimitMB=1024 -volume.max=1000 -volume.minFreeSpace=1 -filer.localSocket=/tmp/filer.sock \
  -s3 -s3.port=8333 -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=/tmp/s3.sock -s3.config=/tmp/s3.json \
  -s3.iam=false -s3.autoCreateBucket=false
