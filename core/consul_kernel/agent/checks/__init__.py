"""How each kind of health check is carried out."""
