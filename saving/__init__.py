"""Everything that writes and reads save_model/."""
