"""The proxy engine against arbitrary bytes, with h11 as second opinion; the `.raw` files are requests on the wire."""
