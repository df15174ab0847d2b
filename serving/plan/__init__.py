"""The plan: at most one action a customer, worth most under a budget and capacities."""
