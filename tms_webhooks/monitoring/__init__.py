"""How deliveries fare, in figures: backlog, totals of attempts, lag, and whether any worker delivers."""
