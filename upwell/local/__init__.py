"""A laptop's cluster: the embedded API server and the process runtime behind `upwell up`."""
