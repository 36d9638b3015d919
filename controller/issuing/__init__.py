"""What fulfils Certificates: cert-manager, asked by us, or an authority of our own; and who else needs some."""
