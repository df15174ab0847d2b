"""What becomes of the endpoint when something breaks: counts, under a load that is checked.

A real `lifecycle serve` on a copy of a workspace is asked for customers by id while orders are
pushed to it, and a fault is made on the way. Every answer is compared, to the last digit, with what
the scorer of the very version and day that it names says of the facts in the ledger and the push
log; every answer must be in the record of decisions, and every push that was acknowledged in the
log and in the answers that follow.

    python -m benchmarks.faults --workspace workspace      # all of them
    python -m benchmarks.faults worker_killed disk_full    # some, on the demo's
"""
