"""TLS as every component does it: its settings, certificates that change while they are served, whom to expect."""
