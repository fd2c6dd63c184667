"""What answers a job: one Protocol, and the engines that speak it."""
