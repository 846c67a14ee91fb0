"""From an alert's evidence to what a person can look at: finding it, a WFDB record, a strip on ECG paper."""
