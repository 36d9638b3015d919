"""Upwell: Knative Serving's data plane, autoscaler and control plane in Python."""
