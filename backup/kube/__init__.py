"""What pgproof asks of a Kubernetes cluster. The only importer of its client, which takes long to load: import late."""
