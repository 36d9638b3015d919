"""The gateway: routes by host, path, header and percentage, as Ingress objects say."""
