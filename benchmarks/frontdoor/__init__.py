"""What the front door costs, and whether it keeps what it promises."""
