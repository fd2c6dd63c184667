"""The HTTP door: jobs, analyses, results and the fleet."""
