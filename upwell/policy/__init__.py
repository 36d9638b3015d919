"""The decisions, pure: limits, windows, scale, capacity. No I/O; time is an argument."""
