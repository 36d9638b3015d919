"""DomainMapping → Ingress: domains of one's own, whose they are, and where they lead."""
