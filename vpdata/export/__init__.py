"""Finished data sets enter; the same episodes in the layouts of LeRobot and robomimic leave."""
