"""The figures of deliveries: backlog, totals of attempts, lag, and whether a worker delivers."""
