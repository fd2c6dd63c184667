"""What the cards may draw and how warm they may get: decisions without any I/O; who reads and writes is elsewhere."""
