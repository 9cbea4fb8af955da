"""Where backups live: a directory or an S3 bucket. The only importer of minio."""
