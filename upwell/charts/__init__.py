"""Charts over time: as text for a terminal, as SVG in a page that needs nothing else and no network."""
