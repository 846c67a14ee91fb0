"""The doctor: what `ecg-edge doctor` inspects, and what it reports."""
