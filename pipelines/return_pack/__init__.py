"""What goes back to the hospital: findings with remedy, points and effect, and what a resubmission changed.

Record numbers are read from the delivered files alone and written only where the caller says. No rule is judged
here and nothing of the city is changed.
"""
