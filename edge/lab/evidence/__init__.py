"""The ECG behind an alert: finds it, writes it as a WFDB record, draws it on ECG paper."""
