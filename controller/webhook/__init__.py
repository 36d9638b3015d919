"""The admission webhook: defaulting, validation and conversion of Knative's kinds, served to a cluster's API server."""
