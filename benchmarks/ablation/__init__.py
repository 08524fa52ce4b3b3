"""What the gate and the web are worth: questions whose passages have a fault, asked without and with them."""
