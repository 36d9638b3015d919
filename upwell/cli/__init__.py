"""The `upwell` command."""
