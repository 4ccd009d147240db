"""Write the file of an export task, in one step or in many."""
