"""The controller: turns Services, Configurations, Revisions and Routes into the objects that run them."""
