"""What operators look at: metrics and logs. Listens to events; nothing below it knows that it is there."""
