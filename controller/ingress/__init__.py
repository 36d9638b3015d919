"""Ingresses that others serve: what Upwell writes for the Gateway API and for Istio, and when that is served."""
