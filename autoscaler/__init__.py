"""The autoscaler: metrics in, desired scale and Serve or Proxy mode out."""
