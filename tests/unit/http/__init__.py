"""The proxy engine without sockets: fake transports, a fake clock, bytes in and bytes out."""
