"""What the processes say of themselves: logs, metrics, the request log."""
