"""What an image's tag stands for now: references, credentials, registries, and the work of asking them."""
