"""Our load tester beside others: each loads the same server, whose own log says what was true."""
