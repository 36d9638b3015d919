"""The only code that talks to the Kubernetes API: client, informers, work queues, leader election."""
