"""The queue-proxy: the sidecar in front of one pod; concurrency limit, queue, probes, statistics, drain."""
