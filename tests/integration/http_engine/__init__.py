"""The proxy engine on real sockets and on uvloop, as processes run it."""
