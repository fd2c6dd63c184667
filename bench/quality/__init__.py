"""How good the answers are: gates that run offline once their documents are there. `docs/quality.md` tells of them."""
