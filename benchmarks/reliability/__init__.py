"""What faults do to asyncqueue, beside what they did to other workers: the report card."""
