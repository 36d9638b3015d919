"""The proxy engine: connections, parsing, exchanges, pools, deadlines, drain. Imports nothing of ours."""
