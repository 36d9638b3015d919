"""Clients and apps of the bench: small programs that must never be what is measured.

They run on the core that the proxy does not have. Most are plain sockets with epoll or threads: between two system
calls there is as little Python as possible. Each prints one line of JSON, or serves until it is killed.
"""
