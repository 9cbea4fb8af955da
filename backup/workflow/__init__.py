"""One file a use case. Takes ports and values, never settings; knows no adapter."""
