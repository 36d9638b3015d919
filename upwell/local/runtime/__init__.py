"""Runs Deployments as processes on this machine: a small kubelet, deployment and endpoint-slice controller."""
