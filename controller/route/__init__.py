"""Route → Ingress and placeholder Services: targets, hosts, splits, gradual rollouts and labels."""
