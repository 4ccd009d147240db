"""What shows the project to a newcomer: the demo, its made-up data, and the count that judges both."""
