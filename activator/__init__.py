"""The activator: holds requests that have no ready capacity, and flips endpoints between itself and the pods."""
