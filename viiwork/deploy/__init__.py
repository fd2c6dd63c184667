"""How a fleet is shipped: containers by a compose file, services of systemd by units. Documents; nothing runs here."""
