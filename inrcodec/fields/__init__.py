"""Fields: functions from coordinates to values that a few named arrays determine."""
