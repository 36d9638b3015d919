"""The embedded Kubernetes-compatible API server: what `upwell up` puts where a cluster has kube-apiserver."""
