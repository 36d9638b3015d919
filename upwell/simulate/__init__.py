"""The lab: a policy tried on traffic, with the deciding code that runs in production, on a clock of its own."""
