"""Basics that every other room uses: samples, leads, errors, files, and figures of the machine."""
