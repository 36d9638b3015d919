"""Revision → Deployment and PodAutoscaler: the pod, its sidecar, and what a failing pod says."""
