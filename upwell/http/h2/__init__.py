"""HTTP/2 beside HTTP/1: frames, header memory, streams, and the connections of both sides. Loaded when first spoken."""
