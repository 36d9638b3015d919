"""What a HorizontalPodAutoscaler does on a laptop: measure processes, and scale by what they use."""
