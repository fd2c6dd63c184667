"""What one's own machine does: tokens a second, watts, waits and prices, measured through a running fleet."""
