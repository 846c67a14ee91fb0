"""What every training shares: checkpoints, resuming, optimizer, log and pictures."""
